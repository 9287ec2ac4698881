import { damaged, unsupported } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import { checkRange, readBytes } from "../../bytes/source.js";
import type { Value } from "../../bytes/struct.js";
import { viewOf } from "../../bytes/struct.js";
import type { Disk, Extent } from "../disk.js";
import { openRaw } from "../raw/read.js";
import { joined } from "../sparse.js";
import {
	bitmapSize,
	checksum,
	DiskType,
	DYNAMIC_COOKIE,
	DynamicHeader,
	FOOTER_COOKIE,
	Footer,
	MAX_GEOMETRY,
	SECTOR,
	UNALLOCATED,
} from "./layout.js";

/** Far above the 4 MiB that the largest disk needs with its usual blocks of 2 MiB. */
const BAT_LIMIT = 64 * 1024 * 1024;

const HINT = "Fetch the file again, or repair a copy with the hypervisor that made it.";

export async function openVhd(source: ByteSource): Promise<Disk> {
	const footer = await readFooter(source);
	const size = sizeOf(footer);
	switch (footer.diskType) {
		case DiskType.fixed:
			return openRaw(source, "vhd/fixed", size);
		case DiskType.dynamic:
			return openDynamic(source, footer, size);
		case DiskType.differencing:
			throw unsupported(`${source.name}: a differencing VHD holds only what changed since its parent`, {
				file: source.name,
				hint: "Merge it into its parent first: on Hyper-V with Merge-VHD, on VirtualBox with clonemedium.",
			});
		default:
			throw unsupported(`${source.name}: VHD type ${footer.diskType} is not supported`, {
				file: source.name,
				hint: "Convert it to a dynamic VHD with the hypervisor that made it.",
			});
	}
}

/**
 * The footer at the end of the file; where it is damaged or cut off, its copy at the start, which all but fixed disks
 * have.
 */
async function readFooter(source: ByteSource): Promise<Value<typeof Footer>> {
	for (const at of [source.size - Footer.size, 0]) {
		if (at < 0 || source.size < Footer.size) continue;
		const bytes = await readBytes(source, at, Footer.size);
		const footer = Footer.parse(bytes, 0, source.name, at);
		const intact = footer.checksum === checksum(bytes, Footer.offsets.checksum);
		if (footer.cookie === FOOTER_COOKIE && intact) return footer;
	}
	throw damaged(`${source.name}: its VHD footer is damaged: the checksum is wrong`, {
		file: source.name,
		offset: Math.max(0, source.size - Footer.size),
		hint: HINT,
	});
}

/**
 * The current size. Only Microsoft Virtual PC itself gave its guests what the geometry says, which is a little less;
 * Hyper-V, Azure, XenServer, VirtualBox and QEMU all mean the current size.
 */
function sizeOf(footer: Value<typeof Footer>): number {
	const { cylinders, heads, sectorsPerTrack, creatorApplication, currentSize } = footer;
	const geometry = cylinders * heads * sectorsPerTrack;
	const largest = MAX_GEOMETRY.cylinders * MAX_GEOMETRY.heads * MAX_GEOMETRY.sectorsPerTrack;
	if (creatorApplication === "vpc " && geometry > 0 && geometry < largest) return geometry * SECTOR;
	return Math.floor(currentSize / SECTOR) * SECTOR;
}

async function openDynamic(source: ByteSource, footer: Value<typeof Footer>, size: number): Promise<Disk> {
	const file = source.name;
	const base = Number(footer.dataOffset);
	const bytes = await readBytes(source, base, DynamicHeader.size);
	const header = DynamicHeader.parse(bytes, 0, file, base);
	const at = DynamicHeader.offsets;
	const fail = (offset: number, message: string) =>
		damaged(`${file}: ${message}`, { file, offset: base + offset, hint: HINT });

	if (header.cookie !== DYNAMIC_COOKIE) throw fail(at.cookie, "the dynamic disk header is missing");
	if (header.checksum !== checksum(bytes, DynamicHeader.offsets.checksum)) {
		throw fail(at.checksum, "the dynamic disk header's checksum is wrong");
	}
	const { blockSize } = header;
	// A power of two divides 2^31; a block smaller than a sector cannot have a bitmap.
	if (blockSize < SECTOR || 2 ** 31 % blockSize !== 0) throw fail(at.blockSize, `blocks of ${blockSize} bytes`);
	const blocks = Math.ceil(size / blockSize);
	if (header.maxTableEntries < blocks) {
		throw fail(at.maxTableEntries, `the BAT has ${header.maxTableEntries} entries, but ${size} bytes need ${blocks}`);
	}
	if (blocks * 4 > BAT_LIMIT) throw fail(at.blockSize, `${size} bytes in blocks of ${blockSize} are too many`);
	const bat = viewOf(await readBytes(source, header.tableOffset, blocks * 4));
	const disk = new DynamicDisk(source, size, blockSize, bat);
	disk.checkBlocks(header.tableOffset);
	return disk;
}

class DynamicDisk implements Disk {
	readonly name: string;
	readonly size: number;
	readonly format = "vhd/dynamic";
	readonly sectorSize = SECTOR;
	readonly #source: ByteSource;
	readonly #blockSize: number;
	readonly #bat: DataView;

	constructor(source: ByteSource, size: number, blockSize: number, bat: DataView) {
		this.name = source.name;
		this.size = size;
		this.#source = source;
		this.#blockSize = blockSize;
		this.#bat = bat;
	}

	/**
	 * Sector bitmaps are not looked at: in a disk without a parent, a sector that was never written is stored as zeros.
	 */
	async read(at: number, into: Uint8Array): Promise<void> {
		checkRange(this, at, into.length);
		for (let done = 0; done < into.length; ) {
			const within = (at + done) % this.#blockSize;
			const part = into.subarray(done, done + this.#blockSize - within);
			const data = this.#dataAt(Math.floor((at + done) / this.#blockSize));
			if (data === undefined) part.fill(0);
			else await this.#source.read(data + within, part);
			done += part.length;
		}
	}

	extents(): AsyncIterable<Extent> {
		return joined(this.#blocks());
	}

	*#blocks(): Generator<Extent> {
		for (let at = 0; at < this.size; at += this.#blockSize) {
			const kind = this.#dataAt(at / this.#blockSize) === undefined ? "zero" : "data";
			yield { at, length: Math.min(this.#blockSize, this.size - at), kind };
		}
	}

	/** Offset of a block's data in the file; undefined where the block is not stored. */
	#dataAt(block: number): number | undefined {
		const sector = this.#bat.getUint32(block * 4);
		return sector === UNALLOCATED ? undefined : sector * SECTOR + bitmapSize(this.#blockSize);
	}

	/** Finds a truncated file when it is opened, not an hour into a conversion. */
	checkBlocks(tableOffset: number): void {
		for (const { at, length, kind } of this.#blocks()) {
			const block = at / this.#blockSize;
			const data = this.#dataAt(block);
			if (kind === "zero" || data === undefined || data + length <= this.#source.size) continue;
			throw damaged(`${this.name} is truncated: block ${block} should end at byte ${data + length}`, {
				file: this.name,
				offset: tableOffset + block * 4,
				hint: `The file has ${this.#source.size} bytes: compare with the original's size and copy it again.`,
			});
		}
	}
}
