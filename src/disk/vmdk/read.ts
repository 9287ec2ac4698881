import { damaged, notFound, refused, unsupported } from "../../bytes/errors.js";
import { type ByteSource, checkRange, readBytes, readUpTo, slice } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import type { Disk, Extent, Neighbours } from "../disk.js";
import { holding } from "../holding.js";
import { joined } from "../sparse.js";
import { CAPACITY_LIMIT, DESCRIPTOR_LIMIT, type ExtentLine, isDescriptor, parseDescriptor } from "./descriptor.js";
import { COWD_MAGIC, SECTOR, SESPARSE_MAGIC, SPARSE_MAGIC } from "./layout.js";
import { type DiskPart, openSparseExtent } from "./sparse-extent.js";

/** Recognises all kinds of VMDK, those too that {@link openVmdk} then names as unsupported. */
export function isVmdk(head: Uint8Array): boolean {
	if (head.length < 8) return false;
	const magic = viewOf(head).getUint32(0, true);
	return magic === SPARSE_MAGIC || magic === COWD_MAGIC || isSeSparse(head) || isDescriptor(head);
}

const isSeSparse = (head: Uint8Array) => viewOf(head).getBigUint64(0, true) === SESPARSE_MAGIC;

const NO_SPARSE_ESX = "Clone the disk with `vmkfstools -i`, or export the VM as OVA, and use the result.";

/**
 * Opens a sparse file with its own descriptor (`streamOptimized`, `monolithicSparse`), or a descriptor file with any
 * number of flat, sparse and zero extents (`monolithicFlat`, `vmfs`, `twoGbMaxExtentSparse`, …). ESX's snapshot formats,
 * snapshots and raw devices are `unsupported`, encrypted disks `refused`.
 */
export async function openVmdk(source: ByteSource, neighbours: Neighbours): Promise<Disk> {
	const file = source.name;
	const head = await readUpTo(source, 0, SECTOR);
	if (head.length < 8) throw damaged(`${file}: too short for a VMDK`, { file });
	if (isDescriptor(head)) {
		return holding((hold) => openDescriptor(source, async (name) => hold(await neighbours.open(name))));
	}
	if (viewOf(head).getUint32(0, true) === COWD_MAGIC) {
		throw unsupported(`${file}: an ESX sparse extent (vmfsSparse, COWD)`, { file, hint: NO_SPARSE_ESX });
	}
	if (isSeSparse(head)) {
		throw unsupported(`${file}: a space-efficient sparse extent (seSparse)`, { file, hint: NO_SPARSE_ESX });
	}

	const { descriptor, size, compressed, read, extents } = await openSparseExtent(source);
	if (descriptor === undefined) {
		throw refused(`${file}: only a part of a disk that is split into several files`, {
			file,
			hint: "Open the descriptor instead: the small .vmdk text file that names this one.",
		});
	}
	const format = formatName(descriptor.createType, compressed ? "streamOptimized" : "monolithicSparse");
	return { name: file, format, size, sectorSize: SECTOR, read, extents };
}

/** `createType` comes from the file: anything but a plain word is not repeated. */
const formatName = (createType: string, otherwise: string) =>
	`vmdk/${/^\w{1,32}$/.test(createType) ? createType : otherwise}`;

type OpenFile = Neighbours["open"];

async function openDescriptor(source: ByteSource, openFile: OpenFile): Promise<Disk> {
	const file = source.name;
	if (source.size > DESCRIPTOR_LIMIT) {
		throw damaged(`${file}: a VMDK descriptor of ${source.size} bytes; ${DESCRIPTOR_LIMIT} are possible`, { file });
	}
	const descriptor = parseDescriptor(await readBytes(source, 0, source.size), file);
	const size = descriptor.extents.reduce((sum, line) => sum + line.size, 0);
	if (descriptor.extents.length === 0) throw damaged(`${file}: the descriptor names no extents`, { file });
	if (size > CAPACITY_LIMIT)
		throw damaged(`${file}: the extents add up to ${size} bytes, more than any disk`, { file });
	if (/device/i.test(descriptor.createType)) {
		throw unsupported(`${file}: the disk is a device of its host (${descriptor.createType})`, {
			file,
			hint: "Copy the device into an image first, and use that.",
		});
	}

	const parts: { at: number; part: DiskPart }[] = [];
	let end = 0;
	for (const line of descriptor.extents) {
		parts.push({ at: end, part: await openPart(line, file, openFile) });
		end += line.size;
	}

	async function* extents(): AsyncGenerator<Extent> {
		for (const { at, part } of parts) {
			for await (const extent of part.extents()) yield { ...extent, at: at + extent.at };
		}
	}
	return {
		name: file,
		format: formatName(descriptor.createType, "monolithicFlat"),
		size,
		sectorSize: SECTOR,
		async read(at, into) {
			checkRange({ name: file, size }, at, into.length);
			for (const { at: start, part } of parts) {
				const from = Math.max(at, start);
				const to = Math.min(at + into.length, start + part.size);
				if (from < to) await part.read(from - start, into.subarray(from - at, to - at));
			}
		},
		extents: () => joined(extents()),
	};
}

async function openPart(line: ExtentLine, file: string, openFile: OpenFile): Promise<DiskPart> {
	const { type, size, fileName, offset } = line;
	if (type === "ZERO") return wholly("zero", size, (_, into) => Promise.resolve(void into.fill(0)));
	if (type !== "FLAT" && type !== "VMFS" && type !== "SPARSE") {
		throw unsupported(`${file}: extents of type ${type.slice(0, 32)} (${fileName})`, { file, hint: NO_SPARSE_ESX });
	}
	if (fileName === "")
		throw notFound(`${file}: the descriptor does not say which file holds its ${type} extent`, { file });

	const neighbour = await openFile(fileName);
	if (type === "SPARSE") {
		const extent = await openSparseExtent(neighbour);
		if (extent.size === size) return extent;
		throw damaged(`${neighbour.name}: holds ${extent.size} bytes of the disk, but its descriptor says ${size}`, {
			file,
		});
	}
	const window = slice(neighbour, offset, size);
	return wholly("data", size, (at, into) => window.read(at, into));
}

function wholly(kind: Extent["kind"], size: number, read: DiskPart["read"]): DiskPart {
	return {
		size,
		read,
		async *extents() {
			yield { at: 0, length: size, kind };
		},
	};
}
