import { AnyvisorError, unsupported } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import { contentUuid } from "../content-uuid.js";
import { copyUnits, ONE_UNIT } from "../copy.js";
import type { Disk, WriteOptions, Written } from "../disk.js";
import { preallocated } from "../preallocate.js";
import { after, TablePages } from "../table-pages.js";
import { variantOf } from "../variant.js";
import {
	BLOCK,
	BLOCKS_LIMIT,
	ENTRY_SIZE,
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
const MAP_PAGE = 64 * 1024;
/** What entries of {@link BLOCK_FREE} consist of. */
const FREE = 0xff;
/** Bytes of the map without an entry that are written in one go. */
const FREE_AT_ONCE = 1024 * 1024;

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
	const place = (block: number) => {
		const entry = allocated++;
		return after(map.begin(block), () => {
			map.set(block, entry);
			return dataAt + entry * BLOCK;
		});
	};
	const placing = fixed ? { unit: ONE_UNIT, place: () => dataAt } : { unit: BLOCK, place };
	const whole = fixed ? { from: dataAt, to: dataAt + blocks * BLOCK } : undefined;
	await preallocated(sink, options, whole, (into) => copyUnits(disk, into, placing, options));
	if (fixed) for (let block = 0; block < blocks; block++) await place(block);
	await map.finish();
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
	readonly #pages: TablePages;
	readonly #write: (length: number, page: Uint8Array) => Promise<void>;
	readonly #length: number;
	/** Bytes of the map that have been written. */
	#end = 0;

	constructor(sink: ByteSink, blocks: number) {
		this.#length = blocks * ENTRY_SIZE;
		this.#write = async (length, page) => {
			await sink.write(MAP_AT + this.#end, page.subarray(0, length));
			this.#end += length;
		};
		this.#pages = new TablePages(MAP_PAGE, FREE, async (index, page) => {
			await this.#freeUpTo(index * MAP_PAGE);
			await this.#write(Math.min(MAP_PAGE, this.#length - this.#end), page);
		});
	}

	/** Writes the page in front of the one of this block, where there is one. */
	begin(block: number): Promise<void> | undefined {
		return this.#pages.begin(Math.floor((block * ENTRY_SIZE) / MAP_PAGE));
	}

	/** Sets the entry of a block whose page has begun. */
	set(block: number, entry: number): void {
		this.#pages.view.setUint32((block * ENTRY_SIZE) % MAP_PAGE, entry, true);
	}

	async finish(): Promise<void> {
		await this.#pages.finish();
		await this.#freeUpTo(this.#length);
	}

	async #freeUpTo(end: number): Promise<void> {
		if (end <= this.#end) return;
		const free = new Uint8Array(Math.min(FREE_AT_ONCE, end - this.#end)).fill(FREE);
		while (this.#end < end) await this.#write(Math.min(free.length, end - this.#end), free);
	}
}
