import { crc32cRaw } from "../../bytes/checksum/index.js";
import { AnyvisorError, unsupported } from "../../bytes/errors.js";
import type { ByteStore } from "../../bytes/source.js";
import { u32, viewOf } from "../../bytes/struct.js";
import { checksumSeed, writeInode } from "./attributes.js";
import type { ExtVolume } from "./blocks.js";
import { mapOf } from "./contents.js";
import { type Inode, readInode } from "./inode.js";
import {
	ATTRIBUTES_MAGIC,
	AttributeBlock,
	AttributeEntry,
	Incompat,
	InodeFlag,
	Inode as InodeLayout,
	RoCompat,
	SUPERBLOCK_AT,
} from "./layout.js";
import { inLibrary, OpenFlag } from "./libext2fs.js";
import type { ExtParameters } from "./superblock.js";
import { attributeBlockOf, namespaces, readAttributeBlock } from "./xattr.js";
import { type AttributeArea, entriesOf, inodeArea } from "./xattr-area.js";

/** Extended attributes to be set, by their whole names, or to be removed: undefined. */
export type NewExtended = ReadonlyMap<string, Uint8Array | undefined>;

interface Entry {
	readonly index: number;
	readonly name: Uint8Array;
	readonly value: Uint8Array;
	/** See `AttributeEntry`. Only what was there has a hash and an inode of its own. */
	readonly inode: number;
	readonly size: number;
	readonly hash: number;
}

const longestName = 255;

/** `unsupported` where ext keeps no attributes of that name in a way that can be written. */
export function checkName(volume: string, full: string): void {
	const { name } = entryOf(volume, full, new Uint8Array());
	if (name.length === 0) throw notKept(volume, full);
}

const notKept = (volume: string, full: string) =>
	unsupported(`${volume}: ext keeps no extended attribute "${full}"`, { file: volume });

/** The whole name of an access control list is its namespace. */
function entryOf(volume: string, full: string, value: Uint8Array): Entry {
	const found = [...namespaces].find(([, namespace]) =>
		namespace.endsWith(".") ? full.startsWith(namespace) : full === namespace,
	);
	const name = new TextEncoder().encode(full.slice(found?.[1].length));
	if (found === undefined || name.length > longestName || full.includes("\0")) throw notKept(volume, full);
	return { index: found[0], name, value, inode: 0, size: value.length, hash: 0 };
}

/**
 * Sets extended attributes of inodes, in the inode where there is room, otherwise in a block. The file system must not be
 * open in the library, which lends the blocks: it makes files of one block each, these blocks become the attributes', and
 * what is left of the files is removed again.
 */
export async function setExtended(
	store: ByteStore,
	parameters: ExtParameters,
	inodes: ReadonlyMap<number, NewExtended>,
): Promise<void> {
	const volume = { name: store.name, parameters, source: store, metadata: store };
	const homeless: { readonly inode: Inode; readonly bytes: Uint8Array }[] = [];
	for (const [number, attributes] of inodes) {
		const inode = await readInode(volume, number, SUPERBLOCK_AT);
		const { inside, block } = await arrange(volume, inode, attributes);
		if (inside) {
			inode.bytes.set(inside, inode.bytes.length - inside.length);
			await writeInode(store, parameters, inode);
		}
		if (block === undefined) continue;
		const old = attributeBlockOf(volume, inode);
		const others = old === 0 ? 0 : await release(store, volume, old);
		if (old !== 0 && others === 0) await writeBlock(store, parameters, old, block);
		else homeless.push({ inode, bytes: block });
	}
	if (homeless.length === 0) return;
	const names = homeless.map((_, i) => `/.anyvisor-${i}`);
	const flags = OpenFlag.WRITE | OpenFlag.CREATE | OpenFlag.EXCLUSIVE;
	const lenders: number[] = [];
	await inLibrary(store, async (library) => {
		for (const name of names) {
			const file = await library.open(name, flags, 0o100600);
			await library.write(file, flags, new Uint8Array(parameters.blockSize).fill(0xff));
			lenders.push(await library.inode(file));
			await library.close(file);
		}
	});
	for (const [i, { inode, bytes }] of homeless.entries()) {
		await adopt(store, volume, lenders[i] ?? 0, inode, bytes);
	}
	await inLibrary(store, async (library) => {
		for (const name of names) await library.unlink(name);
	});
}

/** Whether setting `attributes` will take a block that `inode` does not have yet. */
export async function needsBlock(volume: ExtVolume, inode: Inode, attributes: NewExtended): Promise<boolean> {
	const { block } = await arrange(volume, inode, attributes);
	return block !== undefined;
}

/** The inode's and the block's lists as they are to be; undefined where they stay. */
async function arrange(
	volume: ExtVolume,
	inode: Inode,
	attributes: NewExtended,
): Promise<{ inside: Uint8Array | undefined; block: Uint8Array | undefined }> {
	const { parameters, name } = volume;
	const area = inodeArea(inode);
	const block = attributeBlockOf(volume, inode);
	let inside = area ? read(name, area) : [];
	let outside = block === 0 ? [] : read(name, await readAttributeBlock(volume, block, inode.at));
	const room = inode.extraSize === 0 ? 0 : inode.bytes.length - InodeLayout.size - inode.extraSize - u32.size;
	let changes = { inside: false, outside: false };
	for (const [full, value] of attributes) {
		const entry = entryOf(name, full, value ?? new Uint8Array());
		if ([...inside, ...outside].some((one) => one.inode !== 0 && isSame(one, entry))) throw tooLarge(name, inode);
		const others = (list: readonly Entry[]) => list.filter((one) => !isSame(one, entry));
		const without = { inside: others(inside), outside: others(outside) };
		if (value === undefined) {
			changes = {
				inside: changes.inside || without.inside.length < inside.length,
				outside: changes.outside || without.outside.length < outside.length,
			};
			({ inside, outside } = without);
			continue;
		}
		const fits = sizeOf([...without.inside, entry]) <= room;
		changes = {
			inside: changes.inside || fits || without.inside.length < inside.length,
			outside: changes.outside || !fits || without.outside.length < outside.length,
		};
		inside = fits ? [...without.inside, entry] : without.inside;
		outside = fits ? without.outside : [...without.outside, entry];
	}
	if (sizeOf(outside) > parameters.blockSize - AttributeBlock.size) {
		throw new AnyvisorError("no-space", `${name}: inode ${inode.number} has no room for its extended attributes`, {
			file: name,
		});
	}
	return {
		inside: changes.inside ? insideBytes(inside, room) : undefined,
		block: changes.outside ? blockBytes(outside, parameters.blockSize) : undefined,
	};
}

/** A value may have an inode of its own, which nothing here would give free. */
const tooLarge = (name: string, { number }: Inode) =>
	unsupported(`${name}: inode ${number} has an extended attribute in an inode of its own, which cannot be removed`, {
		file: name,
	});

/** `unsupported` where an inode has attributes that would be left over when it is removed. */
export async function checkRemovable(volume: ExtVolume, inode: Inode): Promise<void> {
	if (!(volume.parameters.features.incompat & Incompat.EA_INODE)) return;
	const block = attributeBlockOf(volume, inode);
	const areas = [inodeArea(inode), block === 0 ? undefined : await readAttributeBlock(volume, block, inode.at)];
	for (const area of areas) {
		if (area && read(volume.name, area).some((entry) => entry.inode !== 0)) throw tooLarge(volume.name, inode);
	}
}

function read(file: string, area: AttributeArea): Entry[] {
	return [...entriesOf(file, area)].map(({ index, name, inode, size, value, at }) => ({
		index,
		name,
		value: inode === 0 ? area.bytes.subarray(value, value + size) : new Uint8Array(),
		inode,
		size,
		hash: AttributeEntry.parse(area.bytes, at - area.at).e_hash,
	}));
}

const isSame = (a: Entry, b: Entry) =>
	a.index === b.index && a.name.length === b.name.length && a.name.every((byte, i) => byte === b.name[i]);

const padded = (length: number) => Math.ceil(length / 4) * 4;

/** With the zeros that end the list. */
const sizeOf = (entries: readonly Entry[]) =>
	entries.reduce((sum, { name, value }) => sum + AttributeEntry.size + padded(name.length) + padded(value.length), 4);

/** Entries from `start` on, their values at the end; offsets of values count from `base`. */
function fill(bytes: Uint8Array, start: number, base: number, entries: readonly Entry[]): void {
	let at = start;
	let end = bytes.length;
	for (const { index, name, value, inode, size, hash } of entries) {
		end -= padded(value.length);
		bytes.set(value, end);
		const header = AttributeEntry.build({
			e_name_len: name.length,
			e_name_index: index,
			e_value_offs: value.length === 0 ? 0 : end - base,
			e_value_inum: inode,
			e_value_size: size,
			e_hash: hash,
		});
		bytes.set(header, at);
		bytes.set(name, at + header.length);
		at += header.length + padded(name.length);
	}
}

/** What follows the fields of an inode. */
function insideBytes(entries: readonly Entry[], room: number): Uint8Array {
	const bytes = new Uint8Array(u32.size + room);
	viewOf(bytes).setUint32(0, ATTRIBUTES_MAGIC, true);
	fill(bytes, u32.size, u32.size, entries);
	return bytes;
}

/** A block whose checksum is still missing. Its entries are sorted, and each has a hash. */
function blockBytes(entries: readonly Entry[], blockSize: number): Uint8Array {
	const bytes = new Uint8Array(blockSize);
	const sorted = entries.map((entry) => (entry.inode === 0 ? { ...entry, hash: hashOf(entry) } : entry)).sort(inOrder);
	const h_hash = sorted.reduce((hash, entry) => rotate(hash, 16) ^ entry.hash, 0) >>> 0;
	bytes.set(
		AttributeBlock.build({
			h_magic: ATTRIBUTES_MAGIC,
			h_refcount: 1,
			h_blocks: 1,
			h_hash: sorted.some(({ hash }) => hash === 0) ? 0 : h_hash,
			h_checksum: 0,
			h_reserved: [0, 0, 0],
		}),
	);
	fill(bytes, AttributeBlock.size, 0, sorted);
	return bytes;
}

const inOrder = (a: Entry, b: Entry): number => {
	const differing = a.name.findIndex((byte, i) => byte !== b.name[i]);
	return a.index - b.index || a.name.length - b.name.length || (a.name[differing] ?? 0) - (b.name[differing] ?? 0);
};

const rotate = (value: number, by: number) => (value << by) | (value >>> (32 - by));

/** Of name and value; bytes of names count as signed: https://docs.kernel.org/filesystems/ext4/attributes.html */
function hashOf({ name, value }: Entry): number {
	const ofName = name.reduce((hash, byte) => rotate(hash, 5) ^ ((byte << 24) >> 24), 0);
	const words = new Uint8Array(padded(value.length));
	words.set(value);
	const view = viewOf(words);
	let hash = ofName;
	for (let at = 0; at < words.length; at += 4) hash = rotate(hash, 16) ^ view.getUint32(at, true);
	return hash >>> 0;
}

async function writeBlock(
	store: ByteStore,
	parameters: ExtParameters,
	block: number,
	bytes: Uint8Array,
): Promise<void> {
	if (parameters.features.roCompat & RoCompat.METADATA_CSUM) {
		const view = viewOf(bytes);
		view.setUint32(AttributeBlock.offsets.h_checksum, 0, true);
		const number = new Uint8Array(8);
		viewOf(number).setBigUint64(0, BigInt(block), true);
		const checksum = crc32cRaw(crc32cRaw(await checksumSeed(store, parameters), number), bytes);
		view.setUint32(AttributeBlock.offsets.h_checksum, checksum, true);
	}
	await store.write(block * parameters.blockSize, bytes);
}

/** Takes one inode off those that share a block; returns how many others there are. */
async function release(store: ByteStore, volume: ExtVolume, block: number): Promise<number> {
	const { bytes, at } = await readAttributeBlock(volume, block, SUPERBLOCK_AT);
	const header = AttributeBlock.parse(bytes, 0, volume.name, at);
	const others = Math.max(header.h_refcount - 1, 0);
	if (others === 0) return 0;
	bytes.set(AttributeBlock.build({ ...header, h_refcount: others }));
	await writeBlock(store, volume.parameters, block, bytes);
	return others;
}

/** Makes the one block of the file `lender` the attribute block of `inode`. */
async function adopt(
	store: ByteStore,
	volume: ExtVolume,
	lender: number,
	{ number }: Inode,
	bytes: Uint8Array,
): Promise<void> {
	const { parameters } = volume;
	const from = await readInode(volume, lender, SUPERBLOCK_AT);
	const { at } = await mapOf(volume, from)(0, 1);
	if (at === undefined) throw new RangeError("a file that was written has no block");
	const block = at / parameters.blockSize;
	await writeBlock(store, parameters, block, bytes);
	const empty = {
		...from.fields,
		i_block: new Uint8Array(from.fields.i_block.length),
		i_blocks_lo: 0,
		i_size_lo: 0,
		i_flags: from.fields.i_flags & ~InodeFlag.EXTENTS,
	};
	from.bytes.set(InodeLayout.build(empty));
	await writeInode(store, parameters, from);

	const to = await readInode(volume, number, SUPERBLOCK_AT);
	const { fields } = to;
	// An inode that gave up a shared block has counted it already.
	const more = attributeBlockOf(volume, to) !== 0 ? 0 : unitsOf(fields.i_flags, parameters.blockSize);
	const blocks = fields.i_blocks_lo + fields.l_i_blocks_high * 2 ** 32 + more;
	to.bytes.set(
		InodeLayout.build({
			...fields,
			i_blocks_lo: blocks % 2 ** 32,
			l_i_blocks_high: Math.floor(blocks / 2 ** 32),
			i_file_acl_lo: block % 2 ** 32,
			l_i_file_acl_high: parameters.features.incompat & Incompat["64BIT"] ? Math.floor(block / 2 ** 32) : 0,
		}),
	);
	await writeInode(store, parameters, to);
}

/** What one block adds to `i_blocks`. */
const unitsOf = (flags: number, blockSize: number) => (flags & InodeFlag.HUGE_FILE ? 1 : blockSize / 512);
