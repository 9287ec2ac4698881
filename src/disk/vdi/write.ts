import { AnyvisorError, unsupported } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import { contentUuid } from "../content-uuid.js";
import { copyUnits } from "../copy.js";
import type { Disk, WriteOptions, Written } from "../disk.js";
import { preallocated } from "../preallocate.js";
import { variantOf } from "../variant.js";
import { Appender } from "../write-behind.js";
import {
	BLOCK,
	BLOCKS_LIMIT,
	ENTRY_SIZE,
	Entry,
	FILE_INFO,
	Header,
	HeaderPlus,
	NO_GEOMETRY,
	PreHeader,
	SECTOR,
	TYPE,
	VERSION,
} from "./layout.js";
import { SIGNATURE, VARIANTS } from "./mark.js";

/** The UUID by which VirtualBox knows an image of `disk`, for a file of that name. */
export const imageUuid = (disk: Disk, file: Pick<ByteSink, "name">): Promise<string> =>
	contentUuid(disk, file, "vdi create");

const MAP_AT = SECTOR;
/** A stretch of the block map that says nothing: {@link BLOCK_FREE} in every entry. */
const FREE = new Uint8Array(64 * 1024).fill(0xff);

/**
 * Writes `disk` as VDI 1.1 with blocks of 1 MiB, each at a multiple of 1 MiB of the file. Blocks without data are not in
 * a dynamic image, and holes of the file in a static one. UUIDs are made from the file's name and the disk's beginning.
 */
export async function writeVdi(disk: Disk, sink: ByteSink, options: WriteOptions): Promise<Written> {
	const variant = variantOf("vdi", options, VARIANTS);
	const fixed = variant === "static";
	checkOptions(disk, options);
	const blocks = Math.ceil(disk.size / BLOCK);
	const dataAt = Math.ceil((MAP_AT + blocks * ENTRY_SIZE) / BLOCK) * BLOCK;
	const map = new MapWriter(sink, blocks);
	let allocated = 0;
	/** Gives `block` its place; in a static image, every block before it as well. */
	const place = async (block: number) => {
		for (let next = fixed ? allocated : block; next <= block; next++) await map.set(next, allocated++);
		return dataAt + (allocated - 1) * BLOCK;
	};
	const whole = fixed ? { from: dataAt, to: dataAt + blocks * BLOCK } : undefined;
	try {
		await preallocated(sink, options, whole, (into) => copyUnits(disk, into, { unit: BLOCK, place }, options));
		if (fixed && allocated < blocks) await place(blocks - 1);
		await map.finish();
	} finally {
		await map.settle();
	}
	await sink.write(0, await buildHeader(disk, sink, { type: TYPE[variant], dataAt, blocks, allocated }));
	return { size: dataAt + allocated * BLOCK };
}

function checkOptions(disk: Disk, options: WriteOptions): void {
	const { unitSize = BLOCK, sectorSize = disk.sectorSize } = options;
	if (unitSize !== BLOCK) {
		throw new AnyvisorError("usage", `VDI has blocks of 1 MiB, not of ${unitSize} bytes`, {
			hint: "Leave the size of blocks out: QEMU and 7-Zip open no VDI with other ones.",
		});
	}
	if (sectorSize !== SECTOR) {
		throw unsupported(`${disk.name}: VDI cannot hold a disk with sectors of ${sectorSize} bytes`, {
			file: disk.name,
			hint: "Choose VHDX, which has them; or ask for sectors of 512 bytes, if no partition table depends on them.",
		});
	}
	if (disk.size === 0 || disk.size > BLOCKS_LIMIT * BLOCK) {
		throw unsupported(`${disk.name}: VDI holds disks of up to 511 TiB, not one of ${disk.size} bytes`, {
			file: disk.name,
			hint: "Choose another format for it: raw or qcow2.",
		});
	}
}

async function buildHeader(
	disk: Disk,
	sink: ByteSink,
	{ type, dataAt, blocks, allocated }: { type: number; dataAt: number; blocks: number; allocated: number },
): Promise<Uint8Array> {
	const bytes = new Uint8Array(SECTOR);
	bytes.set(PreHeader.build({ szFileInfo: FILE_INFO, u32Signature: SIGNATURE, u32Version: VERSION }));
	const header = Header.build({
		cbHeader: Header.size + HeaderPlus.size,
		u32Type: type,
		offBlocks: MAP_AT,
		offData: dataAt,
		legacyGeometry: NO_GEOMETRY,
		cbDisk: disk.size,
		cbBlock: BLOCK,
		cBlocks: blocks,
		cBlocksAllocated: allocated,
		uuidCreate: await imageUuid(disk, sink),
		uuidModify: await contentUuid(disk, sink, "vdi modify"),
	});
	bytes.set(header, PreHeader.size);
	bytes.set(HeaderPlus.build({ lchsGeometry: NO_GEOMETRY }), PreHeader.size + Header.size);
	return bytes;
}

/** Writes the block map; entries come in ascending order, and those left out are free. */
class MapWriter {
	readonly #appender: Appender;
	readonly #blocks: number;

	constructor(sink: ByteSink, blocks: number) {
		this.#appender = new Appender(sink, MAP_AT);
		this.#blocks = blocks;
	}

	async set(block: number, entry: number): Promise<void> {
		await this.#freeUpTo(block);
		await this.#appender.append(Entry.build({ block: entry }));
	}

	async finish(): Promise<void> {
		await this.#freeUpTo(this.#blocks);
		await this.#appender.finish();
	}

	settle(): Promise<void> {
		return this.#appender.settle();
	}

	async #freeUpTo(block: number): Promise<void> {
		const end = MAP_AT + block * ENTRY_SIZE;
		while (this.#appender.position < end) {
			await this.#appender.append(FREE.subarray(0, end - this.#appender.position));
		}
	}
}
