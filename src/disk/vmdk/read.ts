import { damaged, notFound, refused, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes, readUpTo } from "../../bytes/source.js";
import type { Disk, Neighbours } from "../disk.js";
import { holding } from "../holding.js";
import { mappedDisk } from "../mapped.js";
import { openParent } from "../parent.js";
import {
	DESCRIPTOR_LIMIT,
	type Descriptor,
	type ExtentLine,
	type ParentLink,
	parseDescriptor,
	rawDevice,
} from "./descriptor.js";
import { detailsOf } from "./details.js";
import { openCowdExtent, openSeSparseExtent } from "./esx-extent.js";
import { type HostedExtent, openHostedExtent } from "./hosted-extent.js";
import { kindOf } from "./kind.js";
import { CAPACITY_LIMIT, SECTOR } from "./layout.js";
import { type DiskPart, flatPart, joinedParts, zeroPart } from "./part.js";

/** The file that is opened, before those that it names. */
export interface VmdkImage {
	readonly descriptor: Descriptor;
	/** The extent that the descriptor is embedded in; undefined where it is a file of its own. */
	readonly embedding: HostedExtent | undefined;
}

/**
 * Opens a sparse file with its own descriptor (`streamOptimized`, `monolithicSparse`), or a descriptor file with any
 * number of flat, sparse and zero extents (`monolithicFlat`, `vmfs`, `vmfsSparse`, `seSparse`, `twoGbMaxExtentSparse`, …).
 * A snapshot is read together with the disks that it continues.
 *
 * @throws `unsupported` for raw devices; `refused` for encrypted disks, and for one extent of several
 */
export function openVmdk(source: ByteSource, neighbours: Neighbours): Promise<Disk> {
	return holding(async (hold) => {
		const { descriptor, embedding } = await readImage(source);
		const { parent } = descriptor;
		const below = parent && hold(await openSnapshotParent(source.name, parent, neighbours));
		const parts: DiskPart[] = embedding === undefined ? [] : [embedding];
		if (embedding === undefined) {
			for (const line of descriptor.extents) {
				parts.push(await openPart(line, source.name, async (name) => hold(await neighbours.open(name))));
			}
		}
		return mappedDisk({
			...joinedParts(parts),
			name: source.name,
			format: `vmdk/${createTypeOf(descriptor, parts)}`,
			sectorSize: SECTOR,
			details: detailsOf(descriptor, parts),
			below,
		});
	});
}

/** `createType` comes from the file: anything but a plain word is not repeated. */
function createTypeOf({ createType }: Descriptor, [first]: readonly DiskPart[]): string {
	if (/^\w{1,32}$/.test(createType)) return createType;
	if (first?.sparse === undefined) return "monolithicFlat";
	return first.sparse.tables.layout.compressed ? "streamOptimized" : "monolithicSparse";
}

export async function readImage(source: ByteSource): Promise<VmdkImage> {
	const file = source.name;
	const kind = kindOf(await readUpTo(source, 0, SECTOR));
	if (kind === undefined) throw damaged(`${file}: does not begin as a VMDK does`, { file, offset: 0 });
	if (kind === "descriptor") return { descriptor: await readDescriptor(source), embedding: undefined };

	const embedding = kind === "hosted" ? await openHostedExtent(source) : undefined;
	if (embedding?.descriptor !== undefined) return { descriptor: embedding.descriptor, embedding };
	const what =
		kind === "hosted" ? "a part of a disk that is split into several files" : `the data of a snapshot (${kind})`;
	throw refused(`${file}: only ${what}`, {
		file,
		hint: "Open the descriptor instead: the small .vmdk text file that names this one.",
	});
}

async function readDescriptor(source: ByteSource): Promise<Descriptor> {
	const file = source.name;
	if (source.size > DESCRIPTOR_LIMIT) {
		throw damaged(`${file}: a VMDK descriptor of ${source.size} bytes; ${DESCRIPTOR_LIMIT} are possible`, { file });
	}
	const descriptor = parseDescriptor(await readBytes(source, 0, source.size), file);
	const size = descriptor.extents.reduce((sum, line) => sum + line.size, 0);
	if (size === 0) throw damaged(`${file}: the descriptor names no extents`, { file });
	if (size > CAPACITY_LIMIT) {
		throw damaged(`${file}: the extents add up to ${size} bytes, more than any disk`, { file });
	}
	return descriptor;
}

const NO_FILE = "Look at how the file is named in the descriptor, and put it beside it under that name.";

/** Opens what one line of the descriptor `file` describes. */
export async function openPart(line: ExtentLine, file: string, openFile: Neighbours["open"]): Promise<DiskPart> {
	const { type, size, fileName, offset } = line;
	if (type === "ZERO") return zeroPart(size);
	if (/^VMFSR(DM|AW)/.test(type)) throw rawDevice(file, type);
	const flat = type === "FLAT" || type === "VMFS";
	if (!flat && type !== "SPARSE" && type !== "VMFSSPARSE" && type !== "SESPARSE") {
		throw unsupported(`${file}: extents of type ${type.slice(0, 32)} (${fileName})`, { file });
	}
	if (fileName === "") {
		throw notFound(`${file}: the descriptor does not say which file holds its ${type} extent`, { file, hint: NO_FILE });
	}
	const neighbour = await openFile(fileName);
	if (flat) return flatPart(neighbour, offset, size);
	const extent = await openSparse(neighbour);
	if (extent.size >= size) return { ...extent, size };
	throw damaged(`${neighbour.name}: holds ${extent.size} bytes of the disk, but its descriptor says ${size}`, { file });
}

async function openSparse(source: ByteSource): Promise<DiskPart> {
	const kind = kindOf(await readUpTo(source, 0, SECTOR));
	if (kind === "hosted") return openHostedExtent(source);
	if (kind === "COWD") return openCowdExtent(source);
	if (kind === "seSparse") return openSeSparseExtent(source);
	throw damaged(`${source.name}: is not the sparse extent that the descriptor says it is`, {
		file: source.name,
		offset: 0,
	});
}

const CONSOLIDATE = "Put the parent beside it, or consolidate first: delete the VM's snapshots in VMware.";

/** Opens the disk that a snapshot continues; `damaged` unless its content is still what it was then. */
function openSnapshotParent(child: string, { cid, fileName }: ParentLink, neighbours: Neighbours): Promise<Disk> {
	const verify = async (file: ByteSource) => {
		const { descriptor } = await readImage(file);
		if (descriptor.cid === cid) return;
		const now = descriptor.cid ?? "none";
		throw damaged(`${child}: it was taken when ${file.name} had the content ID ${cid}; now it has ${now}`, {
			file: child,
			hint: "Find the parent that belongs to it; if only its content ID was changed, put the old one into its descriptor.",
		});
	};
	return openParent(neighbours, { child, format: "vmdk", paths: [fileName], verify, hint: CONSOLIDATE });
}
