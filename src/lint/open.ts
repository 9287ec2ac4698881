import { damaged, notFound, refused, unsupported } from "../bytes/errors.js";
import { type ByteSource, readBytes, readUpTo } from "../bytes/source.js";
import { confinedNeighbours } from "../disk/neighbours.js";
import { openDisk } from "../disk/registry.js";
import type { DescriptorFile, Machine } from "../machine/machine.js";
import { rootTag } from "../machine/xml-head.js";
import { attribute, MAX_DESCRIPTOR, parseXml, type XmlElement } from "../machine/xml-read.js";
import { RECORDS } from "../machine/xva/mark.js";
import { xva as xvaFormat } from "../machine/xva/xva.js";
import type { OpenNeighbour } from "../source/confine.js";
import { isTar, readTar, safeMemberName, type TarMember } from "../source/tar.js";
import { manifestView } from "./manifest.js";
import { ovfView } from "./ovf-view.js";
import type { DiskView, ManifestView, Subject } from "./subject.js";
import { isGzip, peekTarball } from "./tarball.js";
import { xvaView } from "./xva-view.js";

/** A file of a package. */
export interface Part {
	readonly name: string;
	readonly source: ByteSource;
}

/** What a package is made of, to be written again. */
export interface Parts {
	readonly kind: "ova" | "ovf" | "xva";
	readonly descriptor: DescriptorFile;
	/** Name of the manifest, where there is one. */
	readonly manifest?: string;
	/** All others, in the order of the archive. */
	readonly files: readonly Part[];
}

export interface Opened extends AsyncDisposable {
	readonly subject: Subject;
	/** Of packages that are made of several files. */
	readonly parts?: Parts;
}

export interface OpenSubjectOptions {
	/** Compare every file with its digest in the manifest, which reads all of them. */
	readonly verify?: boolean;
	readonly signal?: AbortSignal;
}

interface Named {
	readonly source: ByteSource;
	/** Opens a file beside it. */
	readonly neighbour: OpenNeighbour;
}

/**
 * Looks at a package as an importer does, without correcting what it finds; undefined where it is none whose raw form
 * matters: a bare disk, or another kind of descriptor.
 *
 * @throws what {@link readTar} and the XML parser throw; `refused` for members that would leave their folder
 */
export async function openSubject(
	{ source, neighbour }: Named,
	options: OpenSubjectOptions = {},
): Promise<Opened | undefined> {
	const head = await readUpTo(source, 0, 512);
	if (isTar(head)) return openArchive(source, options);
	if (isGzip(head)) {
		const tarball = await peekTarball(source);
		if (tarball === undefined) return undefined;
		const subject: Subject = { name: source.name, kind: "tarball", members: [], disks: [], tarball };
		return { subject, [Symbol.asyncDispose]: () => Promise.resolve() };
	}
	if (source.size > MAX_DESCRIPTOR || rootTag(await readUpTo(source, 0, MAX_DESCRIPTOR))?.name !== "Envelope") {
		return undefined;
	}
	return openFolder(source, neighbour, options);
}

async function openArchive(source: ByteSource, options: OpenSubjectOptions): Promise<Opened> {
	const members = await readTar(source);
	const files = new Map<string, TarMember>();
	for (const member of members) {
		if (member.type === "folder") continue;
		const name = safeMemberName(member.name);
		if (member.type !== "file") {
			throw refused(`${source.name} has a member "${name}" that is a ${member.type}, which no package needs`, {
				file: name,
				hint: "Make the package again from plain files.",
			});
		}
		if (files.has(name)) {
			throw damaged(`${source.name} has two members named ${name}`, { file: source.name, offset: member.at });
		}
		files.set(name, member);
	}
	const path = [...files.keys()].find((name) => /\.ovf$/i.test(name));
	if (path === undefined && files.has(RECORDS)) return openXva(source, files);
	if (path === undefined) {
		throw notFound(`${source.name} has neither an .ovf nor an ${RECORDS} in it, so it is no package`, {
			file: source.name,
			hint: "List its members with tar -tf.",
		});
	}
	const folder = path.slice(0, path.lastIndexOf("/") + 1);
	const open = (name: string) => {
		const found = files.get(folder + name) ?? files.get(name);
		return Promise.resolve(found && { name: files.has(folder + name) ? folder + name : name, source: found.source });
	};
	const descriptor = await descriptorOf(path, files.get(path)?.source);
	const manifest = [path.replace(/\.ovf$/i, ".mf"), ...files.keys()].find(
		(name) => /\.mf$/i.test(name) && files.has(name),
	);
	const subject = await ovfSubject(source.name, "ova", descriptor, open);
	const parts: Parts = {
		kind: "ova",
		descriptor,
		...(manifest !== undefined && { manifest }),
		files: Array.from(files, ([name, member]) => ({ name, source: member.source })).filter(
			({ name }) => name !== path && name !== manifest,
		),
	};
	return {
		subject: {
			...subject,
			members: members.map(({ name, size }) => ({ name, size })),
			...(await manifestOf(files.get(manifest ?? "")?.source, manifest, descriptor, open, options)),
		},
		parts,
		[Symbol.asyncDispose]: () => Promise.resolve(),
	};
}

async function openFolder(source: ByteSource, neighbour: OpenNeighbour, options: OpenSubjectOptions): Promise<Opened> {
	const held: ByteSource[] = [];
	const known = new Map<string, Part>();
	const open = async (name: string) => {
		const found = known.get(name);
		if (found !== undefined) return found;
		const opened = await orAbsent(neighbour(name));
		if (opened === undefined) return undefined;
		held.push(opened);
		const part = { name, source: opened };
		known.set(name, part);
		return part;
	};
	const close = async () => {
		for (const each of held) await each[Symbol.asyncDispose]?.();
	};
	try {
		const descriptor = await descriptorOf(source.name.replace(/^.*[\\/]/, ""), source);
		const manifest = descriptor.name.replace(/\.ovf$/i, ".mf");
		const listed = manifest === descriptor.name ? undefined : await open(manifest);
		const subject = await ovfSubject(source.name, "ovf", descriptor, open);
		const checked = await manifestOf(listed?.source, manifest, descriptor, open, options);
		const files = [...known.values()].filter(({ name }) => name !== manifest);
		return {
			subject: { ...subject, members: files.map(({ name, source: { size } }) => ({ name, size })), ...checked },
			parts: { kind: "ovf", descriptor, ...(listed !== undefined && { manifest }), files },
			[Symbol.asyncDispose]: close,
		};
	} catch (error) {
		await close();
		throw error;
	}
}

const orAbsent = (opening: Promise<ByteSource>) =>
	opening.catch((error: { readonly kind?: string }) => {
		if (error.kind === "not-found") return undefined;
		throw error;
	});

async function descriptorOf(name: string, source: ByteSource | undefined): Promise<DescriptorFile> {
	if (source === undefined || source.size > MAX_DESCRIPTOR) {
		throw refused(`${name} has ${source?.size} bytes; descriptors beyond ${MAX_DESCRIPTOR} are not read`, {
			file: name,
		});
	}
	return { name, bytes: await readBytes(source, 0, source.size) };
}

type Open = (name: string) => Promise<Part | undefined>;

async function ovfSubject(name: string, kind: "ova" | "ovf", descriptor: DescriptorFile, open: Open): Promise<Subject> {
	const root = await parseXml(descriptor);
	if (root.name !== "Envelope") {
		throw unsupported(`${descriptor.name} is no OVF: its root is <${root.name}>`, { file: descriptor.name });
	}
	const ovf = ovfView(descriptor.name, root, rootTag(descriptor.bytes)?.tag ?? "");
	const used = new Set([...ovf.disks.values()].map((disk) => attribute(disk, "fileRef")));
	const disks: DiskView[] = [];
	for (const [id, file] of ovf.files) disks.push(...(await fileView(file, used.has(id), open)));
	return { name, kind, members: [], ovf, disks };
}

const MOST_CHUNKS = 1_000_000;
const chunkOf = (href: string, index: number) => `${href}.${String(index).padStart(9, "0")}`;

/** All behind the first: they are files of the package as well. */
async function openChunks(href: string, open: Open): Promise<void> {
	for (let next = 1; next < MOST_CHUNKS; next++) {
		if ((await openHref(chunkOf(href, next), open)) === undefined) return;
	}
}

/** What is known of a file that the descriptor refers to; nothing of one that is there and no disk. */
async function fileView(file: XmlElement, isDisk: boolean, open: Open): Promise<readonly DiskView[]> {
	const href = attribute(file, "href");
	if (href === undefined) return [];
	const name = href;
	const whole = attribute(file, "compression") ?? "identity";
	const chunked = attribute(file, "chunkSize") !== undefined;
	let part: Part | undefined;
	try {
		part = await openHref(chunked ? chunkOf(href, 0) : href, open);
		if (chunked && part !== undefined) await openChunks(href, open);
	} catch (error) {
		return [{ name, problem: error instanceof Error ? error.message : String(error) }];
	}
	if (part === undefined) return [{ name, missing: true }];
	if (!isDisk) return [];
	if (whole !== "identity" || chunked) return [{ name, problem: "it is compressed or cut into pieces as a whole" }];
	try {
		const disk = await openDisk(part.source, {
			neighbours: confinedNeighbours(async (other) => {
				const found = await open(other);
				if (found === undefined) throw notFound(`${name} refers to ${other}, which is not there`, { file: name });
				return found.source;
			}),
		});
		const { format, size } = disk;
		await disk[Symbol.asyncDispose]?.();
		return [{ name, format, size }];
	} catch (error) {
		return [{ name, problem: error instanceof Error ? error.message : String(error) }];
	}
}

async function openHref(href: string, open: Open): Promise<Part | undefined> {
	let plain = href;
	try {
		plain = decodeURIComponent(href);
	} catch {
		// It was no URI then.
	}
	const names = [href, plain].map((name) => {
		if (/^[a-z][a-z0-9+.-]*:/i.test(name)) throw refused(`${name} is outside of the package`, { file: name });
		return safeMemberName(name);
	});
	for (const name of new Set(names)) {
		const part = await open(name);
		if (part !== undefined) return part;
	}
	return undefined;
}

async function manifestOf(
	source: ByteSource | undefined,
	name: string | undefined,
	descriptor: DescriptorFile,
	open: Open,
	options: OpenSubjectOptions,
): Promise<{ readonly manifest?: ManifestView }> {
	if (source === undefined || name === undefined) return {};
	const { bytes } = await descriptorOf(name, source);
	return { manifest: await manifestView(name, bytes, descriptor, (wanted) => openHref(wanted, open), options) };
}

async function openXva(source: ByteSource, files: ReadonlyMap<string, TarMember>): Promise<Opened> {
	const descriptor = await descriptorOf(RECORDS, files.get(RECORDS)?.source);
	const machine: Machine = await xvaFormat.read(descriptor);
	const members = Array.from(files, ([name, { size }]) => ({ name, size }));
	const xva = await xvaView(members, machine, await parseXml(descriptor), async (name) => {
		const member = files.get(name);
		if (member === undefined) return "";
		return new TextDecoder().decode(await readUpTo(member.source, 0, 64));
	});
	const rest = Array.from(files, ([name, member]) => ({ name, source: member.source }));
	return {
		subject: { name: source.name, kind: "xva", members, xva, machine, disks: [] },
		parts: { kind: "xva", descriptor, files: rest.filter(({ name }) => name !== RECORDS) },
		[Symbol.asyncDispose]: () => Promise.resolve(),
	};
}
