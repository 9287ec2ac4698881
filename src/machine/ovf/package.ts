import { type HashAlgorithm, hasher } from "../../bytes/checksum/index.js";
import { AnyvisorError, damaged, notFound, refused, unsupported } from "../../bytes/errors.js";
import { type ByteSource, bytesSource, readBytes } from "../../bytes/source.js";
import type { DescriptorFile, Machine, ReadOptions } from "../machine.js";
import { MAX_DESCRIPTOR } from "../xml-read.js";
import { readOvf } from "./read.js";

/** A file of a package: a member of an OVA, or a file beside an OVF. */
export interface PackageMember {
	readonly name: string;
	/** As a tar has it; what is not a `file` is passed over. */
	readonly type?: string;
	readonly source: ByteSource;
}

/** An OVF machine with what it is made of. */
export interface OvfPackage {
	readonly machine: Machine;
	/** One for each disk of the machine that has a file, in the machine's order. */
	readonly disks: readonly { readonly id: string; readonly source: ByteSource }[];
	readonly manifest?: Manifest;
}

export interface Manifest {
	readonly entries: readonly { readonly name: string; readonly algorithm: string; readonly digest: string }[];
	/**
	 * Reads every listed file once and compares its digest. `onProgress` gets the bytes read since its last call.
	 *
	 * @throws `damaged` naming the first file that differs, `not-found` for a listed file that is missing.
	 */
	verify(options?: { readonly onProgress?: (bytes: number) => void; readonly signal?: AbortSignal }): Promise<void>;
}

type Open = (name: string) => Promise<ByteSource>;

/**
 * Reads an OVA from the members of its tar ({@link readTar}), which may stand in any order. The first `.ovf` describes
 * the machine. `name` is the archive's, for messages.
 */
export async function readOva(
	members: readonly PackageMember[],
	name: string,
	options: ReadOptions = {},
): Promise<OvfPackage> {
	const sources = new Map<string, ByteSource>();
	for (const member of members) {
		if (member.type !== undefined && member.type !== "file") continue;
		const path = member.name.replace(/^\.\//, "");
		if (sources.has(path)) throw damaged(`${name} has two members named ${path}`, { file: name });
		sources.set(path, member.source);
	}
	const descriptor = [...sources].find(([path]) => /\.ovf$/i.test(path));
	if (descriptor === undefined) {
		throw notFound(`${name} has no .ovf in it, so it is no OVA`, {
			file: name,
			hint: "List its members with tar -tf.",
		});
	}
	const [path, source] = descriptor;
	const folder = path.slice(0, path.lastIndexOf("/") + 1);
	// It should be named like the descriptor, and mostly is.
	const manifest = [manifestOf(path), ...sources.keys()].find((each) => /\.mf$/i.test(each) && sources.has(each));
	const open: Open = (wanted) => {
		const found = sources.get(folder + wanted) ?? sources.get(wanted);
		if (found !== undefined) return Promise.resolve(found);
		return Promise.reject(
			notFound(`${name} has no member ${wanted}, which its descriptor needs`, {
				file: name,
				hint: "The archive is incomplete: download or export it again.",
			}),
		);
	};
	const manifestName = manifest?.slice(manifest.lastIndexOf("/") + 1);
	return assemble(await readDescriptor(path, source), open, manifestName, options);
}

const manifestOf = (descriptor: string) => descriptor.replace(/\.ovf$/i, ".mf");

/** Reads an OVF whose files lie beside it; `open` opens one of them by the name the descriptor uses. */
export const readOvfFolder = (descriptor: DescriptorFile, open: Open, options: ReadOptions = {}): Promise<OvfPackage> =>
	assemble(descriptor, open, manifestOf(descriptor.name.replace(/^.*\//, "")), options);

async function readDescriptor(name: string, source: ByteSource): Promise<DescriptorFile> {
	if (source.size > MAX_DESCRIPTOR) {
		throw refused(`${name} has ${source.size} bytes; descriptors beyond ${MAX_DESCRIPTOR} are not read`, {
			file: name,
		});
	}
	return { name, bytes: await readBytes(source, 0, source.size) };
}

async function assemble(
	descriptor: DescriptorFile,
	open: Open,
	manifestName: string | undefined,
	options: ReadOptions,
): Promise<OvfPackage> {
	const machine = await readOvf(descriptor, options);
	const disks: { id: string; source: ByteSource }[] = [];
	for (const { id, kind, file } of machine.disks) {
		if (kind === "disk" && file !== undefined) disks.push({ id, source: await openReference(file, descriptor, open) });
	}
	const manifest = manifestName === undefined ? undefined : await openManifest(manifestName, descriptor, open);
	return manifest === undefined ? { machine, disks } : { machine, disks, manifest };
}

/** References are URIs: `%20` may stand for a space, or for itself where the packager did not know. */
async function openReference(href: string, descriptor: DescriptorFile, open: Open): Promise<ByteSource> {
	const about = { file: descriptor.name };
	if (/^[a-z][a-z0-9+.-]*:/i.test(href) || href.startsWith("/") || /\\|(^|\/)\.\.(\/|$)/.test(decoded(href))) {
		throw refused(`${descriptor.name} refers to ${href}, which is outside of its package`, {
			...about,
			hint: "Put that file beside the descriptor, and its plain name into the <File> entry.",
		});
	}
	if (/\.gz$/i.test(href)) {
		throw unsupported(`${descriptor.name} refers to ${href}, a disk compressed as a whole`, {
			...about,
			hint: `Decompress it (gunzip ${href.replace(/^.*\//, "")}), and name the result in the <File> entry.`,
		});
	}
	try {
		return await open(href);
	} catch (error) {
		const plain = decoded(href);
		if (!(error instanceof AnyvisorError) || error.kind !== "not-found" || plain === href) throw error;
		return open(plain);
	}
}

function decoded(href: string): string {
	try {
		return decodeURIComponent(href);
	} catch {
		return href;
	}
}

async function openManifest(name: string, descriptor: DescriptorFile, open: Open): Promise<Manifest | undefined> {
	try {
		const { bytes } = await readDescriptor(name, await open(name));
		return parseManifest(name, new TextDecoder().decode(bytes), descriptor, open);
	} catch (error) {
		if (error instanceof AnyvisorError && error.kind === "not-found") return undefined;
		throw error;
	}
}

/** By their names in manifests; OpenSSL 3, and with it manifests made by hand, says SHA2-256. */
const ALGORITHMS: ReadonlyMap<string, HashAlgorithm> = new Map([
	["SHA1", "sha1"],
	["SHA256", "sha256"],
	["SHA2-256", "sha256"],
]);

/** DSP0243 5.1: `algorithm(file)= digest`, a line per file. */
function parseManifest(file: string, text: string, descriptor: DescriptorFile, open: Open): Manifest {
	const entries = text
		.split("\n")
		.map((line) => line.trim())
		.filter((line) => line !== "")
		.map((line) => {
			const [, algorithm, name, digest] = /^([\w-]+)\s*\((.+)\)\s*=\s*([0-9a-f]{32,128})$/i.exec(line) ?? [];
			if (algorithm === undefined || name === undefined || digest === undefined) {
				throw damaged(`${file} has a line that is no digest: "${line.slice(0, 80)}"`, { file });
			}
			return { name, algorithm, digest: digest.toLowerCase() };
		});
	return {
		entries,
		async verify({ onProgress, signal } = {}) {
			for (const { name, algorithm, digest } of entries) {
				const known = ALGORITHMS.get(algorithm.toUpperCase());
				if (known === undefined) throw unsupported(`${file} uses ${algorithm}, which cannot be checked`, { file });
				const hash = await hasher(known);
				const source = await openListed(name, descriptor, open);
				const buffer = new Uint8Array(1 << 20);
				for (let at = 0; at < source.size; at += buffer.length) {
					signal?.throwIfAborted();
					const piece = buffer.subarray(0, Math.min(buffer.length, source.size - at));
					await source.read(at, piece);
					hash.update(piece);
					onProgress?.(piece.length);
				}
				if (hash.digest() !== digest) {
					throw damaged(`${name} does not have the digest that ${file} lists`, {
						file: name,
						hint: "It was changed or damaged after it was packaged: get it again.",
					});
				}
			}
		},
	};
}

async function openListed(name: string, descriptor: DescriptorFile, open: Open): Promise<ByteSource> {
	if (name === descriptor.name.replace(/^.*\//, "")) return bytesSource(descriptor.bytes, name);
	return openReference(name, descriptor, open);
}
