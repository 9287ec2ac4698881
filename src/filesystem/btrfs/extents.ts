import { unsupported } from "../../bytes/errors.js";
import { compressionOf, decompress } from "./compression.js";
import { Data } from "./data.js";
import type { Inode } from "./inode.js";
import { FileExtent, FileExtentPlace, FileExtentType, INODE_NODATASUM, type Key, KeyType } from "./layout.js";
import { corrupt } from "./superblock.js";
import { items, lastAtMost, type TreeItem } from "./tree.js";
import type { BtrfsVolume } from "./volume.js";

/** A part of a file that is stored; what no extent covers reads as zero. */
interface Extent {
	/** In the file, in bytes. */
	readonly from: number;
	readonly to: number;
	/** Number of the compression; 0 for none. */
	readonly compression: number;
	/** Of the whole extent when it is not compressed; the file may use a part of it. */
	readonly size: number;
	/** Where the file's part begins in the uncompressed extent. */
	readonly offset: number;
	/** The bytes themselves, or their logical address and length on the devices. */
	readonly stored: Uint8Array | { readonly logical: number; readonly length: number };
	/** Byte offset on the device, for messages. */
	readonly at: number;
}

/** No compressed extent is larger, neither before nor after. https://btrfs.readthedocs.io/en/latest/Compression.html */
const LARGEST_COMPRESSED = 128 << 10;
/** Reading goes on where it was, and parts of one extent may be used in several places: some are kept uncompressed. */
const REMEMBERED = 16;

/** Reads files by their extents: https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#extent-data-6c */
export class Extents {
	/** For messages. */
	readonly name: string;
	readonly #volume: BtrfsVolume;
	readonly #data: Data;
	/** The least recently used first. */
	readonly #uncompressed = new Map<string, Promise<Uint8Array>>();

	constructor(volume: BtrfsVolume) {
		this.name = volume.name;
		this.#volume = volume;
		this.#data = new Data(volume);
	}

	/** Fills `into` with what `inode` has from byte `at` on. */
	async read(inode: Inode, at: number, into: Uint8Array): Promise<void> {
		into.fill(0);
		const end = at + into.length;
		if (end === at) return;
		for await (const item of this.#items(inode, at, end)) {
			const extent = this.#parse(item);
			if (extent === undefined) continue;
			const from = Math.max(extent.from, at);
			const to = Math.min(extent.to, end);
			if (from < to) await this.#copy(inode, extent, from, into.subarray(from - at, to - at));
		}
	}

	/** The items of the extents that may cover bytes `at` to `end`. */
	async *#items(inode: Inode, at: number, end: number): AsyncGenerator<TreeItem> {
		const { root } = inode.subvolume;
		const key = (offset: number): Key => ({ objectid: inode.number, type: KeyType.EXTENT_DATA, offset });
		const first = await lastAtMost(this.#volume, root, key(at));
		if (first?.key.objectid === inode.number && first.key.type === KeyType.EXTENT_DATA) yield first;
		yield* items(this.#volume, root, key(at + 1), key(end - 1));
	}

	/** `undefined` for what reads as zero: holes, and what was reserved but never written. */
	#parse({ key, bytes, at }: TreeItem): Extent | undefined {
		const fields = FileExtent.parse(bytes, 0, this.name, at);
		const { compression, ram_bytes, type } = fields;
		if (fields.encryption !== 0 || fields.other_encoding !== 0) {
			throw unsupported(`${this.name}: a file is encrypted or encoded in a way that is not known`, {
				file: this.name,
				offset: at,
			});
		}
		const fault = (what: string) => corrupt(this.name, at, `a file extent ${what}`);
		if (compression !== 0 && ram_bytes > LARGEST_COMPRESSED) throw fault(`claims ${ram_bytes} compressed bytes`);
		if (type === FileExtentType.INLINE) {
			const stored = bytes.subarray(FileExtent.size);
			const size = compression === 0 ? stored.length : ram_bytes;
			return { from: key.offset, to: key.offset + size, compression, size, offset: 0, stored, at };
		}
		const { disk_bytenr, disk_num_bytes, offset, num_bytes } = FileExtentPlace.parse(
			bytes,
			FileExtent.size,
			this.name,
			at,
		);
		if (type === FileExtentType.PREALLOCATED || disk_bytenr === 0) return undefined;
		if (type !== FileExtentType.REGULAR) throw fault(`is of the unknown type ${type}`);
		const size = compression === 0 ? disk_num_bytes : ram_bytes;
		if (offset + num_bytes > size) throw fault(`has bytes to ${offset + num_bytes} of ${size}`);
		if (compression !== 0 && disk_num_bytes > LARGEST_COMPRESSED) throw fault(`has ${disk_num_bytes} compressed bytes`);
		const { sectorsize } = this.#volume.parameters.fields;
		if (disk_bytenr % sectorsize !== 0 || disk_num_bytes % sectorsize !== 0)
			throw fault("is not made of whole sectors");
		const stored = { logical: disk_bytenr, length: disk_num_bytes };
		return { from: key.offset, to: key.offset + num_bytes, compression, size, offset, stored, at };
	}

	/** @param from where `into` begins in the file; all of it lies in the extent */
	async #copy(inode: Inode, extent: Extent, from: number, into: Uint8Array): Promise<void> {
		const { compression, stored, at } = extent;
		const within = extent.offset + from - extent.from;
		const verify = (inode.fields.flags & INODE_NODATASUM) === 0n;
		if (compression !== 0) {
			into.set((await this.#whole(extent, verify)).subarray(within, within + into.length));
		} else if (stored instanceof Uint8Array) into.set(stored.subarray(within, within + into.length));
		else await this.#data.read(stored.logical + within, into, verify, at);
	}

	/** All bytes of a compressed extent. */
	#whole(extent: Extent, verify: boolean): Promise<Uint8Array> {
		const { stored, compression, size, at } = extent;
		if (stored instanceof Uint8Array) return this.#decompress(extent, stored);
		const { logical, length } = stored;
		const id = [logical, length, compression, size, verify].join(" ");
		const known = this.#uncompressed.get(id);
		const bytes = known ?? this.#data.whole(logical, length, verify, at).then((all) => this.#decompress(extent, all));
		this.#uncompressed.delete(id);
		this.#uncompressed.set(id, bytes);
		bytes.catch(() => this.#uncompressed.get(id) === bytes && this.#uncompressed.delete(id));
		if (this.#uncompressed.size > REMEMBERED) {
			for (const oldest of this.#uncompressed.keys()) if (this.#uncompressed.delete(oldest)) break;
		}
		return bytes;
	}

	#decompress({ compression, size, at }: Extent, stored: Uint8Array): Promise<Uint8Array> {
		const { sectorsize } = this.#volume.parameters.fields;
		return decompress(compressionOf(compression, this.name, at), stored, size, sectorsize, this.name, at);
	}
}
