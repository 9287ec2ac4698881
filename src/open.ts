import { AnyvisorError, notFound } from "./bytes/errors.js";
import { type ByteSource, readBytes, readUpTo } from "./bytes/source.js";
import type { Disk } from "./disk/disk.js";
import { confinedNeighbours } from "./disk/neighbours.js";
import { openDisk, recognise } from "./disk/registry.js";
import type { DescriptorFile, Machine } from "./machine/machine.js";
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
}

/** What was named, as images of its disks that are not opened yet. */
export interface Images {
	/** How it was named: `disk`, `ova`, `xva`, `vma`, or the id of a machine format. */
	readonly kind: string;
	readonly described: Machine | undefined;
	/** One for each disk, in the machine's order. */
	readonly images: readonly Image[];
}

interface Image extends Origin {
	/** Disk format, where the package settles it. */
	readonly format?: string;
}

/** Larger than any descriptor in the field; a larger file is a disk. */
export const DESCRIPTOR_LIMIT = 8 * 2 ** 20;

/**
 * Opens an OVA, a descriptor with the disks it names, or a bare disk, recognised by content.
 *
 * @param format disk format to assume instead of recognising one
 */
export async function openVm(origin: Origin, format?: string): Promise<Vm> {
	const { name, size } = origin.source;
	const { kind, described, images } = await findImages(origin, format);
	if (images.length === 0) {
		throw notFound(`${name} describes a machine without a disk`, {
			file: name,
			hint: "Export the VM again with its disks, or name the disk image itself.",
		});
	}
	const disks: Disk[] = [];
	for (const { source, neighbour, format: settled } of images) {
		disks.push(await openDisk(source, { format: format ?? settled, neighbours: confinedNeighbours(neighbour) }));
	}
	return { name, size, kind, described, disks };
}

/** The images of all disks of what was named; of a bare disk, itself. With `format`, it is one. */
export async function findImages(origin: Origin, format?: string): Promise<Images> {
	const { source } = origin;
	const disk: Images = { kind: "disk", described: undefined, images: [origin] };
	if (format !== undefined) return disk;
	const head = await readUpTo(source, 0, 512);
	if (isTar(head)) return imagesOfArchive(source);
	if (isVma(head)) return imagesOfBackup(source);
	if (source.size > DESCRIPTOR_LIMIT || (await bearsDiskMark(source))) return disk;
	return (await imagesDescribed(origin)) ?? disk;
}

/** Whether a file is a disk by its content, other than a raw one. What is wrong with it is told when it is opened. */
export async function bearsDiskMark(source: ByteSource): Promise<boolean> {
	try {
		return (await recognise(source)).id !== "raw";
	} catch {
		return false;
	}
}

/** An OVA, which has its descriptor anywhere, an XVA, or a VMA. */
export async function isPackage(source: ByteSource): Promise<boolean> {
	const head = await readUpTo(source, 0, 512);
	if (isVma(head)) return true;
	if (!isTar(head)) return false;
	if (isXva(head)) return true;
	const { readTar } = await import("./source/tar.js");
	return (await readTar(source)).some(({ name }) => /\.ovf$/i.test(name));
}

/** What describes machines is loaded only where there is something to read. */
async function imagesOfArchive(source: ByteSource): Promise<Images> {
	const [{ readTar }, { readOva }, { readXva }] = await Promise.all([
		import("./source/tar.js"),
		import("./machine/ovf/package.js"),
		import("./machine/xva/package.js"),
	]);
	const members = await readTar(source);
	const neighbour = alone(source.name);
	if (isXva(await readUpTo(source, 0, 512))) {
		const { machine, disks } = await readXva(members, source.name);
		const images = disks.map((disk) => ({ source: disk, neighbour, format: "raw" }));
		return { kind: "xva", described: machine, images };
	}
	const { machine, disks } = await readOva(members, source.name);
	return { kind: "ova", described: machine, images: disks.map((disk) => ({ source: disk.source, neighbour })) };
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

async function imagesDescribed(origin: Origin): Promise<Images | undefined> {
	const { neighbour } = origin;
	const found = await descriptorAt(origin);
	if (found === undefined) return undefined;
	const { descriptor, format } = found;
	if (format.id === "ovf") {
		const { readOvfFolder } = await import("./machine/ovf/package.js");
		const { machine, disks } = await readOvfFolder(descriptor, neighbour);
		return { kind: "ovf", described: machine, images: disks.map((disk) => ({ source: disk.source, neighbour })) };
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
export async function readDescribed(origin: Origin): Promise<Machine | undefined> {
	const { source } = origin;
	const head = await readUpTo(source, 0, 512);
	if (isTar(head)) return (await imagesOfArchive(source)).described;
	if (isVma(head)) return (await imagesOfBackup(source)).described;
	if (source.size > DESCRIPTOR_LIMIT || (await bearsDiskMark(source))) return undefined;
	const found = await descriptorAt(origin);
	return found?.format.read(found.descriptor);
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
