import { AnyvisorError, damaged, notFound } from "./bytes/errors.js";
import { type ByteSource, readBytes, readUpTo } from "./bytes/source.js";
import type { Disk } from "./disk/disk.js";
import { confinedNeighbours } from "./disk/neighbours.js";
import { openDisk, recognise } from "./disk/registry.js";
import type { DescriptorFile, Machine } from "./machine/machine.js";
import type { Decompress } from "./machine/ovf/files.js";
import type { Manifest } from "./machine/ovf/manifest.js";
import { isVma } from "./machine/vma/mark.js";
import { isXva } from "./machine/xva/mark.js";
import type { Vm } from "./pipeline.js";
import type { OpenNeighbour } from "./source/confine.js";
import { isTar } from "./source/tar-header.js";

/** Where a VM or a disk comes from: the bytes that were named, and a way to those beside them. */
export interface Origin {
	readonly source: ByteSource;
	/** Opens a file of the same folder; names that leave it are `refused`. */
	readonly neighbour: OpenNeighbour;
	/** Opens the content of a compressed file; it is closed together with the source. */
	readonly decompress?: Decompress;
}

/** What was named, as images of its disks that are not opened yet. */
export interface Images {
	/** How it was named: `disk`, `ova`, `xva`, `vma`, or the id of a machine format. */
	readonly kind: string;
	readonly described: Machine | undefined;
	/** One for each disk, in the machine's order. */
	readonly images: readonly Image[];
	/** The digests of a package's files, where it has such. */
	readonly manifest?: ReadManifest;
}

type ReadManifest = () => Promise<Manifest | undefined>;

/** Called with what was named, and a way to its manifest, before disks are opened. */
export type CheckIntegrity = (name: string, manifest: ReadManifest) => Promise<void>;

/** How what was named is to be understood. */
export interface OpenOptions {
	/** Disk format to assume instead of recognising one: what was named is a disk. */
	readonly format?: string | undefined;
	/** Which machine of a descriptor of several, by its id. */
	readonly system?: string | undefined;
	readonly integrity?: CheckIntegrity | undefined;
}

interface Image extends Origin {
	/** Disk format, where the package settles it. */
	readonly format?: string;
}

/** Larger than any descriptor in the field; a larger file is a disk. */
export const DESCRIPTOR_LIMIT = 8 * 2 ** 20;

/** Opens an OVA, a descriptor with the disks it names, or a bare disk, recognised by content. */
export async function openVm(origin: Origin, options: OpenOptions = {}): Promise<Vm> {
	const { name, size } = origin.source;
	const { format } = options;
	const found = await findImages(origin, options);
	const { kind, described, images } = found;
	if (images.length === 0) {
		throw notFound(`${name} describes a machine without a disk`, {
			file: name,
			hint: "Export the VM again with its disks, or name the disk image itself.",
		});
	}
	await checkIntegrity(found, name, options);
	const disks: Disk[] = [];
	for (const { source, neighbour, format: settled } of images) {
		disks.push(await openDisk(source, { format: format ?? settled, neighbours: confinedNeighbours(neighbour) }));
	}
	return { name, size, kind, described: described && withFiles(described), disks };
}

/** Without the disks that are in no file: blank ones, and those that only their host has. */
function withFiles(machine: Machine): Machine {
	const isThere = ({ kind, file }: Machine["disks"][number]) => kind !== "disk" || file !== undefined;
	const absent = machine.disks.filter((disk) => !isThere(disk));
	if (absent.length === 0) return machine;
	const lost = absent.map(({ id, capacity, controller, unit }) => {
		const place = controller === undefined ? "" : ` at ${controller}:${unit ?? 0}`;
		const size = capacity === undefined ? "" : `: add a blank one of ${capacity} bytes where it is needed`;
		return `The disk ${id}${place} is in no file, and is not carried over${size}.`;
	});
	return { ...machine, disks: machine.disks.filter(isThere), lost: [...machine.lost, ...lost] };
}

/** As the options have it; done once it is clear that what was named will be used. */
export const checkIntegrity = async ({ manifest }: Images, name: string, { integrity }: OpenOptions): Promise<void> =>
	integrity?.(name, manifest ?? (() => Promise.resolve(undefined)));

/** The images of all disks of what was named; of a bare disk, itself. With a `format`, it is one. */
export async function findImages(origin: Origin, options: OpenOptions = {}): Promise<Images> {
	const { source } = origin;
	const images = await imagesIn(origin, options);
	if (options.system !== undefined && images?.kind !== "ovf" && images?.kind !== "ova")
		throw noChoice(source, options.system);
	return images ?? { kind: "disk", described: undefined, images: [origin] };
}

async function imagesIn(origin: Origin, { format, system }: OpenOptions): Promise<Images | undefined> {
	const { source } = origin;
	if (format !== undefined) return undefined;
	const head = await readUpTo(source, 0, 512);
	if (isTar(head)) return imagesOfArchive(origin, system);
	if (isVma(head)) return imagesOfBackup(source);
	if (source.size > DESCRIPTOR_LIMIT || (await bearsDiskMark(source))) return undefined;
	return imagesDescribed(origin, system);
}

const noChoice = ({ name }: ByteSource, system: string) =>
	new AnyvisorError("usage", `${name} is no OVF, of whose machines "${system}" could be one`, {
		file: name,
		hint: "Leave out --system.",
	});

/** Whether a file is a disk by its content, other than a raw one. What is wrong with it is told when it is opened. */
export async function bearsDiskMark(source: ByteSource): Promise<boolean> {
	try {
		return (await recognise(source)).id !== "raw";
	} catch {
		return false;
	}
}

/** An OVA, which has its descriptor anywhere, an XVA, a VMA, or a Vagrant box. */
export async function isPackage(source: ByteSource): Promise<boolean> {
	const head = await readUpTo(source, 0, 512);
	if (isVma(head)) return true;
	if (!isTar(head)) return false;
	if (isXva(head)) return true;
	const [{ readTar }, { boxIn }] = await Promise.all([import("./source/tar.js"), import("./vagrant-box.js")]);
	const members = await readTar(source);
	return members.some(({ name }) => /\.ovf$/i.test(name)) || (await boxIn(members)) !== undefined;
}

/** What describes machines is loaded only where there is something to read. */
async function imagesOfArchive(origin: Origin, system: string | undefined): Promise<Images> {
	const { source, decompress } = origin;
	const [{ readTar }, { readOva }, { readXva }, { boxIn, openBox }] = await Promise.all([
		import("./source/tar.js"),
		import("./machine/ovf/package.js"),
		import("./machine/xva/package.js"),
		import("./vagrant-box.js"),
	]);
	const members = await readTar(source);
	const neighbour = alone(source.name);
	if (isXva(await readUpTo(source, 0, 512))) {
		const { machine, disks } = await readXva(members, source.name);
		const images = disks.map((disk) => ({ source: disk, neighbour, format: "raw" }));
		return { kind: "xva", described: machine, images };
	}
	const box = await boxIn(members);
	if (box !== undefined) {
		const opened = await openBox(box, members, origin);
		if ("disks" in opened) return { kind: "vagrant", described: undefined, images: opened.disks };
		const found = await imagesDescribed(opened.descriptor, system);
		if (found === undefined) throw noDescriptor(opened.descriptor.source);
		return found;
	}
	const { machine, disks, manifest } = await readOva(members, source.name, { system, decompress });
	const images = disks.map((disk) => ({ source: disk.source, neighbour }));
	return { kind: "ova", described: machine, images, manifest };
}

async function imagesOfBackup(source: ByteSource): Promise<Images> {
	const { readVma } = await import("./machine/vma/package.js");
	const { machine, disks } = await readVma(source);
	const neighbour = alone(source.name);
	return {
		kind: "vma",
		described: machine,
		images: disks.map((disk) => ({ source: disk, neighbour, format: "raw" })),
	};
}

async function machineOfArchive(origin: Origin, system: string | undefined): Promise<Machine | undefined> {
	const { source } = origin;
	if (isXva(await readUpTo(source, 0, 512))) {
		if (system !== undefined) throw noChoice(source, system);
		return (await imagesOfArchive(origin, undefined)).described;
	}
	const [{ readTar }, { readOvaMachine }, { boxIn, openBox }] = await Promise.all([
		import("./source/tar.js"),
		import("./machine/ovf/package.js"),
		import("./vagrant-box.js"),
	]);
	const members = await readTar(source);
	const box = await boxIn(members);
	if (box === undefined) return readOvaMachine(members, source.name, { system });
	const opened = await openBox(box, members, origin);
	return "disks" in opened ? undefined : readDescribed(opened.descriptor, { system });
}

const noDescriptor = ({ name }: ByteSource) =>
	damaged(`${name} is no machine description that can be read`, { file: name });

async function imagesDescribed(origin: Origin, system: string | undefined): Promise<Images | undefined> {
	const { neighbour, decompress } = origin;
	const found = await descriptorAt(origin);
	if (found === undefined) return undefined;
	const { descriptor, format } = found;
	if (format.id === "ovf") {
		const { readOvfFolder } = await import("./machine/ovf/package.js");
		const { machine, disks, manifest } = await readOvfFolder(descriptor, neighbour, { system, decompress });
		const images = disks.map((disk) => ({ source: disk.source, neighbour }));
		return { kind: "ovf", described: machine, images, manifest };
	}
	const machine = await format.read(descriptor);
	const images = await Promise.all(
		diskFiles(machine).map(async (file) => ({ source: await openDiskFile(file, neighbour), neighbour })),
	);
	return { kind: format.id, described: machine, images };
}

/** The descriptor that was named, and the format that recognises it. */
async function descriptorAt({ source }: Origin) {
	const { machineFormatOf } = await import("./machine/registry.js");
	const descriptor: DescriptorFile = {
		name: source.name.replace(/^.*[\\/]/, ""),
		bytes: await readBytes(source, 0, source.size),
	};
	const format = machineFormatOf(descriptor);
	return format === undefined ? undefined : { descriptor, format };
}

/** Opens a disk where the descriptor has it, inside of its own folder; or beside it, where it was moved to. */
async function openDiskFile(file: string, neighbour: OpenNeighbour): Promise<ByteSource> {
	const parts = file.split(/[\\/]/);
	const last = parts.at(-1) ?? file;
	if (parts.length === 1 || /^(?:[\\/]|[A-Za-z]:)/.test(file) || parts.includes("..")) return neighbour(last);
	try {
		return await neighbour(parts.join("/"));
	} catch (error) {
		if (error instanceof AnyvisorError && error.kind === "not-found") return neighbour(last);
		throw error;
	}
}

/** The machine that was named, by its descriptor alone; undefined for a bare disk. Disks are not looked for. */
export async function readDescribed(
	origin: Origin,
	{ format, system }: OpenOptions = {},
): Promise<Machine | undefined> {
	const { source } = origin;
	if (format !== undefined) return undefined;
	const head = await readUpTo(source, 0, 512);
	if (isTar(head)) return machineOfArchive(origin, system);
	if (isVma(head)) {
		if (system !== undefined) throw noChoice(source, system);
		return (await imagesOfBackup(source)).described;
	}
	if (source.size > DESCRIPTOR_LIMIT || (await bearsDiskMark(source))) return undefined;
	const found = await descriptorAt(origin);
	if (system !== undefined && found?.format.id !== "ovf") throw noChoice(source, system);
	return found?.format.read(found.descriptor, { system });
}

const diskFiles = ({ disks }: Machine) =>
	disks.flatMap(({ kind, file }) => (kind === "disk" && file !== undefined ? [file] : []));

/** Members of an archive have no neighbours: a disk in an OVA is one file. */
const alone = (archive: string) => (name: string) =>
	Promise.reject<ByteSource>(
		notFound(`A disk in ${archive} refers to ${name}, which cannot be read from inside an archive`, {
			file: archive,
			hint: "Unpack the archive (tar -xf) and name its .ovf instead.",
		}),
	);
