import { notFound } from "./bytes/errors.js";
import { type ByteSource, readBytes, readUpTo } from "./bytes/source.js";
import type { Disk } from "./disk/disk.js";
import { confinedNeighbours } from "./disk/neighbours.js";
import { openDisk } from "./disk/registry.js";
import type { DescriptorFile, Machine } from "./machine/machine.js";
import { readOva, readOvfFolder } from "./machine/ovf/package.js";
import { machineFormatOf } from "./machine/registry.js";
import type { Vm } from "./pipeline.js";
import { isTar, readTar } from "./source/tar.js";

/** Where a VM comes from: the bytes that were named, and a way to those beside them. */
export interface Origin {
	readonly source: ByteSource;
	/** Opens a file of the same folder; names that leave it are `refused`. */
	readonly neighbour: (name: string) => Promise<ByteSource>;
}

/** Larger than any descriptor in the field; a larger file is a disk. */
const descriptorLimit = 8 * 2 ** 20;

/**
 * Opens an OVA, a descriptor with the disks it names, or a bare disk, recognised by content.
 *
 * @param format disk format to assume instead of recognising one
 */
export async function openVm(origin: Origin, format?: string): Promise<Vm> {
	const { source } = origin;
	const { name, size } = source;
	const described = format === undefined ? await openDescribed(origin) : undefined;
	if (described?.disks.length === 0) {
		throw notFound(`${name} describes a machine without a disk`, {
			file: name,
			hint: "Export the VM again with its disks, or name the disk image itself.",
		});
	}
	if (described) return { name, size, ...described };
	const disk = await openDisk(source, { format, neighbours: confinedNeighbours(origin.neighbour) });
	return { name, size, kind: "disk", described: undefined, disks: [disk] };
}

async function openDescribed({
	source,
	neighbour,
}: Origin): Promise<Pick<Vm, "kind" | "described" | "disks"> | undefined> {
	const head = await readUpTo(source, 0, 4096);
	if (isTar(head)) {
		const members = await readTar(source);
		const ova = await readOva(members, source.name);
		return { kind: "ova", described: ova.machine, disks: await openAll(ova.disks, alone(source.name)) };
	}
	if (source.size > descriptorLimit) return undefined;
	const descriptor: DescriptorFile = {
		name: source.name.replace(/^.*[\\/]/, ""),
		bytes: await readBytes(source, 0, source.size),
	};
	const machineFormat = machineFormatOf(descriptor);
	if (!machineFormat) return undefined;
	if (machineFormat.id === "ovf") {
		const { machine, disks } = await readOvfFolder(descriptor, neighbour);
		return { kind: "ovf", described: machine, disks: await openAll(disks, neighbour) };
	}
	const machine = await machineFormat.read(descriptor);
	const files = await Promise.all(
		diskFiles(machine).map(async (file) => ({ source: await neighbour(file.replace(/^.*[\\/]/, "")) })),
	);
	return { kind: machineFormat.id, described: machine, disks: await openAll(files, neighbour) };
}

const diskFiles = ({ disks }: Machine) =>
	disks.flatMap(({ kind, file }) => (kind === "disk" && file !== undefined ? [file] : []));

async function openAll(
	files: readonly { readonly source: ByteSource }[],
	neighbour: Origin["neighbour"],
): Promise<Disk[]> {
	const disks: Disk[] = [];
	for (const { source } of files) disks.push(await openDisk(source, { neighbours: confinedNeighbours(neighbour) }));
	return disks;
}

/** Members of an archive have no neighbours: a disk in an OVA is one file. */
const alone = (archive: string) => (name: string) =>
	Promise.reject<ByteSource>(
		notFound(`A disk in ${archive} refers to ${name}, which cannot be read from inside an archive`, {
			file: archive,
			hint: "Unpack the archive (tar -xf) and name its .ovf instead.",
		}),
	);
