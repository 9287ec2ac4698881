import { type HashAlgorithm, hasher } from "../../bytes/checksum/index.js";
import { damaged, refused, unsupported } from "../../bytes/errors.js";
import { type ByteSource, bytesSource, readBytes } from "../../bytes/source.js";
import type { DescriptorFile } from "../machine.js";
import { MAX_DESCRIPTOR } from "../xml-read.js";
import { decoded, isNotFound, type Open, openReference } from "./files.js";

/** The digests of a package's files. DSP0243 1.1, 5.1 */
export interface Manifest extends DescriptorFile {
	readonly entries: readonly { readonly name: string; readonly algorithm: string; readonly digest: string }[];
	/** Files that the machine is made of and that no digest protects. */
	readonly unlisted: readonly string[];
	/** Bytes of all files that are listed. */
	size(): Promise<number>;
	/**
	 * Reads every listed file once and compares its digest. `onProgress` gets the bytes read since its last call.
	 *
	 * @throws `damaged` naming the first file that differs, `not-found` for a listed file that is missing.
	 */
	verify(options?: { readonly onProgress?: (bytes: number) => void; readonly signal?: AbortSignal }): Promise<void>;
	/** The file with a signature of this one, where there is one. */
	certificate(): Promise<DescriptorFile | undefined>;
}

export interface PackageFiles {
	readonly descriptor: DescriptorFile;
	readonly open: Open;
	/** As they should be named, or are. */
	readonly manifestName: string;
	readonly certificateName: string;
}

/** A small file of a package, whole. */
export async function readSmall(name: string, source: ByteSource): Promise<DescriptorFile> {
	if (source.size > MAX_DESCRIPTOR) {
		throw refused(`${name} has ${source.size} bytes; descriptors beyond ${MAX_DESCRIPTOR} are not read`, {
			file: name,
		});
	}
	return { name, bytes: await readBytes(source, 0, source.size) };
}

async function readIfThere(name: string, open: Open): Promise<DescriptorFile | undefined> {
	try {
		return await readSmall(name, await open(name));
	} catch (error) {
		if (isNotFound(error)) return undefined;
		throw error;
	}
}

/** By their names in manifests; OpenSSL 3, and with it manifests made by hand, says SHA2-256. */
const ALGORITHMS: ReadonlyMap<string, HashAlgorithm> = new Map([
	["SHA1", "sha1"],
	["SHA256", "sha256"],
	["SHA2-256", "sha256"],
	["SHA512", "sha512"],
	["SHA2-512", "sha512"],
]);

/**
 * The manifest of a package, undefined where it has none.
 *
 * @param made names of the files that the machine is made of
 * @throws `damaged` also where only a signature is left of it
 */
export async function readManifest(files: PackageFiles, made: readonly string[]): Promise<Manifest | undefined> {
	const { descriptor, open, manifestName, certificateName } = files;
	const certificate = () => readIfThere(certificateName, open);
	const manifest = await readIfThere(manifestName, open);
	if (manifest === undefined) {
		if ((await certificate()) === undefined) return undefined;
		throw damaged(`${certificateName} signs ${manifestName}, which is not there`, { file: certificateName });
	}
	const entries = parseManifest(manifest);
	const own = descriptor.name.replace(/^.*\//, "");
	const listed = new Set(entries.map(({ name }) => decoded(name)));
	const openListed = (name: string) =>
		name === own ? Promise.resolve(bytesSource(descriptor.bytes, name)) : openReference(name, manifest.name, open);
	return {
		...manifest,
		entries,
		unlisted: [own, ...made].filter((name) => !listed.has(decoded(name))),
		certificate,
		async size() {
			let bytes = 0;
			for (const { name } of entries) bytes += (await openListed(name)).size;
			return bytes;
		},
		async verify({ onProgress, signal } = {}) {
			for (const { name, algorithm, digest } of entries) {
				const known = ALGORITHMS.get(algorithm.toUpperCase());
				if (known === undefined) {
					throw unsupported(`${manifest.name} uses ${algorithm}, which cannot be checked`, { file: manifest.name });
				}
				if ((await digestOf(await openListed(name), known, onProgress, signal)) === digest) continue;
				throw damaged(`${name} does not have the digest that ${manifest.name} lists`, {
					file: name,
					hint: "It was changed or damaged after it was packaged: get it again, or add --no-verify to take it as it is.",
				});
			}
		},
	};
}

async function digestOf(
	source: ByteSource,
	algorithm: HashAlgorithm,
	onProgress: ((bytes: number) => void) | undefined,
	signal: AbortSignal | undefined,
): Promise<string> {
	const hash = await hasher(algorithm);
	const buffer = new Uint8Array(1 << 20);
	for (let at = 0; at < source.size; at += buffer.length) {
		signal?.throwIfAborted();
		const piece = buffer.subarray(0, Math.min(buffer.length, source.size - at));
		await source.read(at, piece);
		hash.update(piece);
		onProgress?.(piece.length);
	}
	return hash.digest();
}

/** `algorithm(file)= digest`, a line per file. */
function parseManifest({ name: file, bytes }: DescriptorFile): Manifest["entries"] {
	return new TextDecoder()
		.decode(bytes)
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
}
