import { viewOf } from "../../bytes/struct.js";
import { AttributeList, type ExtendedAttributes } from "../extended-attributes.js";
import type { BlockMap } from "../mapped.js";
import { isSound } from "./checksum.js";
import { mapOf } from "./extents.js";
import type { Fork, Inode } from "./inode.js";
import {
	AttributeEntry,
	AttributeFlag,
	AttributeLeaf,
	AttributeLeafCrc,
	AttributeMagic,
	Format,
	IndexEntry,
	IndexHeader,
	IndexHeaderCrc,
	IndexMagic,
	LONGEST_VALUE,
	LocalAttribute,
	RemoteAttribute,
	RemoteValue,
	ShortAttribute,
	ShortAttributes,
} from "./layout.js";
import { corrupt } from "./superblock.js";
import { type MappedBlock, readMapped, type XfsVolume } from "./volume.js";

/** Levels of nodes above the leaves: XFS_DA_NODE_MAXDEPTH. */
const HIGHEST_NODE = 5;

/**
 * The attributes of `inode`; `path` is for messages. Access control lists have the names and bytes that XFS gives them.
 * https://git.kernel.org/pub/scm/fs/xfs/xfs-documentation.git/tree/design/XFS_Filesystem_Structure/extended_attributes.asciidoc
 */
export async function extendedAttributes(volume: XfsVolume, inode: Inode, path: string): Promise<ExtendedAttributes> {
	const list = new AttributeList(path);
	const fork = inode.attributeFork;
	if (fork?.format === Format.LOCAL) addShort(volume, fork, list);
	else if (fork !== undefined && (fork.extents > 0n || fork.format === Format.BTREE)) {
		await new Leaves(volume, inode, fork, list).addAll();
	}
	return list.found;
}

/** What programs see; `undefined` for what is not theirs, or not complete. */
function namespaceOf(flags: number): string | undefined {
	if (flags & (AttributeFlag.INCOMPLETE | AttributeFlag.PARENT)) return undefined;
	if (flags & AttributeFlag.ROOT) return "trusted.";
	return flags & AttributeFlag.SECURE ? "security." : "user.";
}

function addShort({ name: file }: XfsVolume, { bytes, at }: Fork, list: AttributeList): void {
	const { count, totsize } = ShortAttributes.parse(bytes, 0, file, at);
	let offset = ShortAttributes.size;
	for (let i = 0; i < count; i++) {
		const { namelen, valuelen, flags } = ShortAttribute.parse(bytes, offset, file, at);
		const nameAt = offset + ShortAttribute.size;
		const valueAt = nameAt + namelen;
		const end = valueAt + valuelen;
		if (end > Math.min(totsize, bytes.length)) throw corrupt(file, at + offset, "an attribute does not fit its inode");
		const namespace = namespaceOf(flags);
		if (namespace !== undefined) list.add(namespace, bytes.subarray(nameAt, valueAt), bytes.subarray(valueAt, end));
		offset = end;
	}
}

/** Attributes in blocks of their own: one leaf, or leaves in a chain below nodes. */
class Leaves {
	readonly #volume: XfsVolume;
	readonly #inode: Inode;
	readonly #map: BlockMap;
	readonly #list: AttributeList;

	constructor(volume: XfsVolume, inode: Inode, fork: Fork, list: AttributeList) {
		this.#volume = volume;
		this.#inode = inode;
		this.#map = mapOf(volume, inode, fork);
		this.#list = list;
	}

	async addAll(): Promise<void> {
		const walked = new Set<number>();
		for (let next = await this.#first(); walked.size === 0 || next !== 0; ) {
			if (walked.has(next)) throw this.#fault(this.#inode.at, "leads in a circle");
			walked.add(next);
			const leaf = await this.#read(next);
			await this.#addLeaf(leaf);
			next = viewOf(leaf.bytes).getUint32(IndexHeader.offsets.forw);
		}
	}

	/** The first leaf: nodes lead to it by their first entries. */
	async #first(): Promise<number> {
		const { checksums } = this.#volume.parameters;
		const layout = checksums ? IndexHeaderCrc : IndexHeader;
		let block = 0;
		for (let above = HIGHEST_NODE + 1; ; ) {
			const { bytes, at } = await this.#read(block);
			const { magic, count, level } = layout.parse(bytes, 0, this.#volume.name, at);
			if (magic !== (checksums ? IndexMagic.NODE_CRC : IndexMagic.NODE)) return block;
			if (level >= above || count === 0) throw this.#fault(at, "is not sorted");
			above = level;
			block = IndexEntry.parse(bytes, layout.size, this.#volume.name, at).address;
		}
	}

	async #read(logical: number): Promise<MappedBlock> {
		const { blockSize, checksums } = this.#volume.parameters;
		const read = await readMapped(this.#volume, this.#map, logical, blockSize);
		if (read === undefined) throw this.#fault(this.#inode.at, `lacks block ${logical}`);
		if (checksums) {
			const { crc, owner } = IndexHeaderCrc.offsets;
			if (!read.newer && !isSound(read.bytes, crc)) throw this.#fault(read.at, "has a wrong checksum");
			if (viewOf(read.bytes).getBigUint64(owner) !== BigInt(this.#inode.number)) {
				throw this.#fault(read.at, "belongs to another file");
			}
		}
		return read;
	}

	async #addLeaf({ bytes, at }: MappedBlock): Promise<void> {
		const { checksums } = this.#volume.parameters;
		const { name: file } = this.#volume;
		const layout = checksums ? AttributeLeafCrc : AttributeLeaf;
		const { magic, count } = layout.parse(bytes, 0, file, at);
		if (magic !== (checksums ? AttributeMagic.LEAF_CRC : AttributeMagic.LEAF)) {
			throw this.#fault(at, "is something else");
		}
		for (let i = 0; i < count; i++) {
			const { nameidx, flags } = AttributeEntry.parse(bytes, layout.size + i * AttributeEntry.size, file, at);
			const namespace = namespaceOf(flags);
			if (namespace === undefined) continue;
			if (flags & AttributeFlag.LOCAL) {
				const { namelen, valuelen } = LocalAttribute.parse(bytes, nameidx, file, at);
				const nameAt = nameidx + LocalAttribute.size;
				const valueAt = nameAt + namelen;
				const end = valueAt + valuelen;
				if (end > bytes.length) throw this.#fault(at, "has an attribute that does not fit it");
				this.#list.makeRoom(valuelen);
				this.#list.add(namespace, bytes.subarray(nameAt, valueAt), bytes.subarray(valueAt, end));
			} else {
				const { namelen, valuelen, valueblk } = RemoteAttribute.parse(bytes, nameidx, file, at);
				const nameAt = nameidx + RemoteAttribute.size;
				if (nameAt + namelen > bytes.length || valuelen > LONGEST_VALUE) {
					throw this.#fault(at, "has an attribute that does not fit it");
				}
				this.#list.makeRoom(valuelen);
				const value = await this.#remote(valueblk, valuelen);
				this.#list.add(namespace, bytes.subarray(nameAt, nameAt + namelen), value);
			}
		}
	}

	async #remote(logical: number, length: number): Promise<Uint8Array> {
		const { name: file, parameters } = this.#volume;
		const value = new Uint8Array(length);
		for (let done = 0, block = logical; done < length; block++) {
			const read = await readMapped(this.#volume, this.#map, block, parameters.blockSize);
			if (read === undefined) throw this.#fault(this.#inode.at, "lacks a value");
			let part = read.bytes;
			if (parameters.checksums) {
				const { rm_magic, rm_offset, rm_bytes, rm_owner } = RemoteValue.parse(part, 0, file, read.at);
				const trusted = read.newer || isSound(part, RemoteValue.offsets.rm_crc);
				const isIt = rm_magic === AttributeMagic.REMOTE && rm_owner === BigInt(this.#inode.number);
				if (!trusted || !isIt || rm_offset !== done || rm_bytes === 0) {
					throw this.#fault(read.at, "has a value that is damaged");
				}
				part = part.subarray(RemoteValue.size, RemoteValue.size + rm_bytes);
			}
			part = part.subarray(0, length - done);
			value.set(part, done);
			done += part.length;
		}
		return value;
	}

	#fault(at: number, what: string) {
		return corrupt(this.#volume.name, at, `the list of attributes of inode ${this.#inode.number} ${what}`);
	}
}
