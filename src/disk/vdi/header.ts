import { damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, checkRange, readBytes } from "../../bytes/source.js";
import { ENTRY_SIZE, Header, PreHeader, SECTOR, TYPE, VERSION } from "./layout.js";
import { SIGNATURE } from "./mark.js";

/** What reading needs of the header, checked. */
export interface VdiHeader {
	readonly type: "dynamic" | "static" | "differencing";
	/** Virtual size in bytes, whole sectors. */
	readonly size: number;
	readonly blockSize: number;
	/** Bytes before the data of each block. */
	readonly blockExtra: number;
	/** Entries of the block map. */
	readonly blocks: number;
	readonly blocksAllocated: number;
	/** Offsets of the block map and of the blocks in the file. */
	readonly mapAt: number;
	readonly dataAt: number;
	readonly uuid: string;
	/** UUID of the disk that a differencing image continues. */
	readonly parentUuid: string | undefined;
	readonly creator: string;
	readonly comment: string;
}

/** VirtualBox makes blocks of 1 MiB unless it is told otherwise. */
const SMALLEST_BLOCK = 4096;

const HINT = "Fetch the file again, or clone the disk with the VirtualBox it comes from: VBoxManage clonemedium.";

export async function readHeader(source: ByteSource): Promise<VdiHeader> {
	const file = source.name;
	const fail = (field: keyof typeof Header.offsets, message: string) =>
		damaged(`${file}: ${message}`, { file, offset: PreHeader.size + Header.offsets[field], hint: HINT });

	const bytes = await readBytes(source, 0, PreHeader.size + Header.size);
	const { szFileInfo, u32Signature, u32Version } = PreHeader.parse(bytes, 0, file);
	if (u32Signature !== SIGNATURE) throw damaged(`${file}: this is not a VDI`, { file, offset: 64, hint: HINT });
	if (u32Version !== VERSION) {
		const version = `${Math.floor(u32Version / 0x1_0000)}.${u32Version % 0x1_0000}`;
		throw unsupported(`${file}: VDI version ${version} is not supported, only 1.1 is`, {
			file,
			offset: PreHeader.offsets.u32Version,
			hint: "Clone it with any VirtualBox, which writes version 1.1: VBoxManage clonemedium.",
		});
	}

	const header = Header.parse(bytes, PreHeader.size, file);
	const { cbBlock: blockSize, cbBlockExtra: blockExtra, cBlocks: blocks, offBlocks: mapAt, offData: dataAt } = header;
	const type = typeOf(header.u32Type, file);
	if (header.cbHeader < Header.size) throw fail("cbHeader", `a header of ${header.cbHeader} bytes is too short`);
	if (blockSize < SMALLEST_BLOCK || !Number.isInteger(Math.log2(blockSize))) {
		throw fail("cbBlock", `blocks of ${blockSize} bytes; a power of two from ${SMALLEST_BLOCK} on is possible`);
	}
	// VirtualBox makes disks of odd sizes out of raw files that have one.
	const size = Math.ceil(header.cbDisk / SECTOR) * SECTOR;
	if (blocks * blockSize < size) {
		throw fail("cBlocks", `${blocks} blocks of ${blockSize} bytes cannot hold a disk of ${size} bytes`);
	}
	if (mapAt < PreHeader.size + Header.size) throw fail("offBlocks", "the block map lies inside of the header");
	if (dataAt < mapAt + blocks * ENTRY_SIZE) throw fail("offData", "the data lie inside of the block map");
	checkRange(source, mapAt, blocks * ENTRY_SIZE);

	return {
		type,
		size,
		blockSize,
		blockExtra,
		blocks,
		blocksAllocated: header.cBlocksAllocated,
		mapAt,
		dataAt,
		uuid: header.uuidCreate,
		parentUuid: type === "differencing" ? header.uuidLinkage : undefined,
		creator: /^<<< (.*?)( Disk Image)? >>>/.exec(szFileInfo)?.[1] ?? "",
		comment: textOf(header.szComment),
	};
}

function typeOf(type: number, file: string): VdiHeader["type"] {
	switch (type) {
		case TYPE.dynamic:
			return "dynamic";
		case TYPE.static:
			return "static";
		case TYPE.differencing:
			return "differencing";
		default: {
			const what = type === TYPE.undo ? "an undo image, which nothing writes any more" : `of type ${type}`;
			throw unsupported(`${file}: this VDI is ${what}; dynamic, static and differencing ones are read`, {
				file,
				offset: PreHeader.size + Header.offsets.u32Type,
				hint: "Clone it with the VirtualBox it comes from: VBoxManage clonemedium.",
			});
		}
	}
}

function textOf(bytes: Uint8Array): string {
	const end = bytes.indexOf(0);
	return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}
