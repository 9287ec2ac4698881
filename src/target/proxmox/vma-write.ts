import { type digester, digester as makeDigester } from "../../bytes/checksum/index.js";
import { unsupported } from "../../bytes/errors.js";
import { viewOf } from "../../bytes/struct.js";
import type { Disk } from "../../disk/disk.js";
import { checkSignal, dataBlocks } from "../../disk/sparse.js";
import { isZero } from "../../disk/zero.js";
import {
	ALL_BLOCKS,
	BLOCK,
	BlobLength,
	BlockInfo,
	CLUSTER,
	CLUSTERS_PER_EXTENT,
	DeviceInfo,
	EXTENT_MAGIC,
	ExtentHeader,
	Header,
	MAGIC,
	VERSION,
} from "../../machine/vma/layout.js";
import type { LayoutOptions } from "../target.js";

/** What a backup is made of. */
export interface Backup {
	/** Content of `qemu-server.conf`. */
	readonly configuration: string;
	readonly devices: readonly { readonly name: string; readonly disk: Disk }[];
	/** 16 bytes that mark this backup's extents. */
	readonly uuid: Uint8Array;
	/** Seconds since 1970. */
	readonly now: number;
}

type Digest = Awaited<ReturnType<typeof digester>>;

const HEADER_UNIT = 512;
const LONGEST_BLOB = 0xffff;

/**
 * The pieces of a VMA, in order: a header, then extents. Every cluster is listed, those of zeros without a block, since
 * Proxmox VE takes one that is not for damage.
 */
export async function* vmaPieces(backup: Backup, options: LayoutOptions): AsyncGenerator<Uint8Array, void, undefined> {
	const md5 = await makeDigester("md5");
	yield headerOf(backup, md5);
	const extent = new Extent(backup.uuid, md5);
	for (const [index, { disk }] of backup.devices.entries()) {
		const device = index + 1;
		const clusters = Math.ceil(disk.size / CLUSTER);
		let next = 0;
		const emptyUpTo = function* (cluster: number) {
			for (; next < cluster; next++) {
				if (extent.isFull) {
					checkSignal(options.signal);
					yield extent.take();
				}
				extent.add(device, next, undefined);
			}
		};
		for await (const { index: cluster, bytes } of dataBlocks(disk, CLUSTER, options)) {
			yield* emptyUpTo(cluster);
			if (extent.isFull) yield extent.take();
			extent.add(device, cluster, bytes);
			next = cluster + 1;
		}
		yield* emptyUpTo(clusters);
	}
	if (!extent.isEmpty) yield extent.take();
}

/** Tables of pointers, then the blobs that they point at, as `vma create` lays them out: none begins at 0. */
function headerOf({ configuration, devices, uuid, now }: Backup, md5: Digest): Uint8Array {
	const blobs: Uint8Array[] = [new Uint8Array(1)];
	let end = 1;
	const blob = (content: Uint8Array) => {
		if (content.length > LONGEST_BLOB) throw unsupported("this machine's configuration is too long for a VMA");
		const at = end;
		blobs.push(BlobLength.build({ length: content.length }), content);
		end += BlobLength.size + content.length;
		return at;
	};
	const text = (content: string) => new TextEncoder().encode(content);
	const configNames = new Uint8Array(TABLE_BYTES);
	const configData = new Uint8Array(TABLE_BYTES);
	const information = new Uint8Array(DEVICES_BYTES);
	viewOf(configNames).setUint32(0, blob(text("qemu-server.conf\0")));
	viewOf(configData).setUint32(0, blob(text(configuration)));
	for (const [index, { name, disk }] of devices.entries()) {
		const entry = DeviceInfo.build({ devname_ptr: blob(text(`${name}\0`)), size: disk.size });
		information.set(entry, (index + 1) * DeviceInfo.size);
	}
	const size = Math.ceil((Header.size + end) / HEADER_UNIT) * HEADER_UNIT;
	const header = new Uint8Array(size);
	const fields = {
		magic: MAGIC,
		version: VERSION,
		uuid,
		ctime: now,
		blob_buffer_offset: Header.size,
		blob_buffer_size: end,
		header_size: size,
		config_names: configNames,
		config_data: configData,
		dev_info: information,
	};
	header.set(Header.build(fields));
	let at = Header.size;
	for (const piece of blobs) {
		header.set(piece, at);
		at += piece.length;
	}
	header.set(md5(header), Header.offsets.md5sum);
	return header;
}

const TABLE_BYTES = Header.offsets.config_data - Header.offsets.config_names;
const DEVICES_BYTES = Header.size - Header.offsets.dev_info;

const NO_BLOCK = new Uint8Array(0);

/** The extent that is being filled; its memory is used again for the next one. */
class Extent {
	readonly #bytes = new Uint8Array(ExtentHeader.size + CLUSTERS_PER_EXTENT * CLUSTER);
	readonly #uuid: Uint8Array;
	readonly #md5: Digest;
	#clusters = 0;
	#end = ExtentHeader.size;

	constructor(uuid: Uint8Array, md5: Digest) {
		this.#uuid = uuid;
		this.#md5 = md5;
		this.#begin();
	}

	get isFull(): boolean {
		return this.#clusters === CLUSTERS_PER_EXTENT;
	}

	get isEmpty(): boolean {
		return this.#clusters === 0;
	}

	/** @param content undefined for a cluster of zeros */
	add(device: number, cluster: number, content: Uint8Array | undefined): void {
		let mask = 0;
		for (let bit = 0; bit < CLUSTER / BLOCK; bit++) {
			const block = content?.subarray(bit * BLOCK, (bit + 1) * BLOCK) ?? NO_BLOCK;
			if (isZero(block)) continue;
			mask |= 1 << bit;
			this.#bytes.set(block, this.#end);
			this.#end += BLOCK;
		}
		const info = BlockInfo.build({ mask: mask & ALL_BLOCKS, dev_id: device, cluster_num: cluster });
		this.#bytes.set(info, ExtentHeader.offsets.blockinfo + this.#clusters * BlockInfo.size);
		this.#clusters++;
	}

	/** Completes it and begins the next one, which overwrites it. */
	take(): Uint8Array {
		const done = this.#bytes.subarray(0, this.#end);
		const header = done.subarray(0, ExtentHeader.size);
		viewOf(header).setUint16(ExtentHeader.offsets.block_count, (this.#end - ExtentHeader.size) / BLOCK);
		header.set(this.#md5(header), ExtentHeader.offsets.md5sum);
		const piece = done.slice();
		this.#begin();
		return piece;
	}

	#begin(): void {
		this.#bytes.set(ExtentHeader.build({ magic: EXTENT_MAGIC, uuid: this.#uuid }));
		this.#clusters = 0;
		this.#end = ExtentHeader.size;
	}
}
