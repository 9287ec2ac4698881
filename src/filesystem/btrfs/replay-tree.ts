import { typeOfMode } from "../mode.js";
import { nameKey, parseEntries } from "./directory.js";
import {
	DirItem,
	DirLog,
	FileExtent,
	FileExtentPlace,
	FileExtentType,
	InodeExtref,
	type InodeFields,
	InodeItem,
	InodeRef,
	type Key,
	KeyType,
} from "./layout.js";
import { compareKeys, type NodePointer } from "./node.js";
import type { Patch } from "./patch.js";
import { corrupt } from "./superblock.js";
import { find, items, lastAtMost, type TreeItem } from "./tree.js";
import type { BtrfsVolume } from "./volume.js";

/** A name of an inode, as its references have it. */
interface Reference {
	readonly parent: number;
	readonly index: number;
	readonly name: Uint8Array;
}

/** What directory entries call the types of files. */
const entryTypes = { file: 1, directory: 2, link: 7, other: 0 } as const;

const sameBytes = (a: Uint8Array, b: Uint8Array) => a.length === b.length && a.every((byte, i) => byte === b[i]);

/** A tree of files to which items of its log are brought, one by one. */
export class LoggedTree {
	readonly #volume: BtrfsVolume;
	readonly #root: NodePointer;
	readonly #patch: Patch;
	/** By object and type. */
	readonly #log = new Map<string, TreeItem[]>();
	readonly #step: () => void;

	/**
	 * @param root with the patch
	 * @param step is called for each item that is looked at
	 */
	constructor(volume: BtrfsVolume, root: NodePointer, patch: Patch, log: readonly TreeItem[], step: () => void) {
		this.#volume = volume;
		this.#root = root;
		this.#patch = patch;
		for (const item of log) {
			const id = `${item.key.objectid} ${item.key.type}`;
			const others = this.#log.get(id);
			if (others) others.push(item);
			else this.#log.set(id, [item]);
		}
		this.#step = step;
	}

	put(item: TreeItem): void {
		this.#patch.set(item.key, item);
	}

	roundUp(size: number): number {
		const { sectorsize } = this.#volume.parameters.fields;
		return Math.ceil(size / sectorsize) * sectorsize;
	}

	/** The log has all attributes of the inodes that it has. */
	async dropAttributes(objectid: number): Promise<void> {
		for (const { key } of await this.#all(objectid, KeyType.XATTR_ITEM)) this.#patch.set(key, undefined);
	}

	/** Takes the names from a directory that are not in the log, where that has all from some index to another. */
	async dropNames(directory: number): Promise<void> {
		const logged = new Map(this.#logged(directory, KeyType.DIR_INDEX).map((item) => [item.key.offset, item]));
		for (const range of this.#logged(directory, KeyType.DIR_LOG_INDEX)) {
			const { end } = DirLog.parse(range.bytes, 0, this.#volume.name, range.at);
			for (const item of await this.#all(directory, KeyType.DIR_INDEX, range.key.offset, end)) {
				const there = logged.get(item.key.offset);
				for (const entry of parseEntries(this.#volume, item)) {
					const stays = there && parseEntries(this.#volume, there).some(({ raw }) => sameBytes(raw, entry.raw));
					if (!stays)
						await this.#unlink({ parent: directory, index: item.key.offset, name: entry.raw }, entry.location);
				}
			}
		}
	}

	/** Gives the tree an inode, and answers with its size. One of generation 0 is only logged to be there. */
	async putInode(item: TreeItem, logged: InodeFields): Promise<number> {
		const stored = await find(this.#volume, this.#root, item.key);
		if (stored === undefined || logged.generation !== 0n) {
			this.put(item);
			return logged.size;
		}
		const fields = InodeItem.parse(stored.bytes, 0, this.#volume.name, stored.at);
		const areFiles = typeOfMode(fields.mode) === "file" && typeOfMode(logged.mode) === "file";
		if (!areFiles || logged.size === 0) return fields.size;
		const bytes = stored.bytes.slice();
		bytes.set(InodeItem.build({ ...fields, size: logged.size }));
		this.#patch.set(item.key, { bytes, at: stored.at });
		return logged.size;
	}

	/** The names of an index of a directory, where their inodes are there. */
	async putNames(item: TreeItem): Promise<void> {
		for (const { raw, location } of parseEntries(this.#volume, item)) {
			const isThere = location.type === KeyType.INODE_ITEM && (await this.#inode(location.objectid)) !== undefined;
			if (isThere) await this.#link({ parent: item.key.objectid, index: item.key.offset, name: raw }, location);
		}
	}

	/** The names of an inode in a directory; those that it had there and has no longer are taken away. */
	async putReferences(item: TreeItem): Promise<void> {
		const { objectid } = item.key;
		const location = { objectid, type: KeyType.INODE_ITEM, offset: 0 };
		const logged = this.#references(item);
		// The top directory refers to itself as "..", which is no name in it.
		if (logged.some(({ parent }) => parent === objectid)) return;
		for (const { parent } of logged) if ((await this.#inode(parent)) === undefined) return;
		const stored = await find(this.#volume, this.#root, item.key);
		for (const old of stored ? this.#references(stored) : []) {
			const stays = logged.some(({ parent, name }) => parent === old.parent && sameBytes(name, old.name));
			if (!stays) await this.#unlink(old, location);
		}
		for (const reference of logged) await this.#link(reference, location);
		this.put(item);
	}

	/** An extent, in place of all that the file has there. */
	async putExtent(item: TreeItem): Promise<void> {
		const { objectid, offset } = item.key;
		if ((await this.#inode(objectid)) === undefined) return;
		await this.dropExtents(objectid, offset, this.#endOf(item));
		this.put(item);
	}

	/** Takes bytes `from` to `to` from a file; extents that reach beyond are shortened. */
	async dropExtents(objectid: number, from: number, to: number): Promise<void> {
		const key = (offset: number): Key => ({ objectid, type: KeyType.EXTENT_DATA, offset });
		const first = await lastAtMost(this.#volume, this.#root, key(from));
		const begin = first?.key.objectid === objectid && first.key.type === KeyType.EXTENT_DATA ? first.key.offset : from;
		const last = Number.isFinite(to) ? to - 1 : -1;
		for (const item of await this.#all(objectid, KeyType.EXTENT_DATA, begin, last)) {
			const [start, end] = [item.key.offset, this.#endOf(item)];
			if (end <= from || start >= to) continue;
			this.#patch.set(item.key, undefined);
			const { type } = FileExtent.parse(item.bytes, 0, this.#volume.name, item.at);
			if (type === FileExtentType.INLINE) continue;
			if (start < from) this.#patch.set(key(start), { bytes: this.#part(item, 0, from - start), at: item.at });
			if (end > to) this.#patch.set(key(to), { bytes: this.#part(item, to - start, end - to), at: item.at });
		}
	}

	#part({ bytes, at }: TreeItem, skip: number, length: number): Uint8Array {
		const place = FileExtentPlace.parse(bytes, FileExtent.size, this.#volume.name, at);
		const part = bytes.slice();
		part.set(FileExtentPlace.build({ ...place, offset: place.offset + skip, num_bytes: length }), FileExtent.size);
		return part;
	}

	/** Where an extent ends in its file. */
	#endOf({ key, bytes, at }: TreeItem): number {
		const { type, ram_bytes } = FileExtent.parse(bytes, 0, this.#volume.name, at);
		if (type === FileExtentType.INLINE) return this.roundUp(key.offset + ram_bytes);
		return key.offset + FileExtentPlace.parse(bytes, FileExtent.size, this.#volume.name, at).num_bytes;
	}

	/** Gives an inode a name; what had the name, or its index, has it no longer. */
	async #link(reference: Reference, location: Key): Promise<void> {
		const { parent, index, name } = reference;
		const at = (await this.#inode(location.objectid))?.at ?? this.#root.at;
		const indexKey = { objectid: parent, type: KeyType.DIR_INDEX, offset: index };
		const hashKey = nameKey(parent, name);
		const [atIndex, byName] = [await this.#entries(indexKey), await this.#entries(hashKey)];
		const isThis = (entry: { raw: Uint8Array; location: Key }) =>
			sameBytes(entry.raw, name) && compareKeys(entry.location, location) === 0;
		if (atIndex.some(isThis) && byName.some(isThis)) return;
		for (const other of atIndex) await this.#unlink({ parent, index, name: other.raw }, other.location);
		for (const other of byName.filter(({ raw }) => sameBytes(raw, name))) {
			const known = await this.#referenceOf(other.location.objectid, parent, name);
			await this.#unlink({ parent, index: known?.index ?? index, name }, other.location);
		}
		const mode = await this.#inode(location.objectid);
		const type = mode ? entryTypes[typeOfMode(InodeItem.parse(mode.bytes, 0, this.#volume.name, mode.at).mode)] : 0;
		const head = DirItem.build({ location, name_len: name.length, type });
		const entry = new Uint8Array([...head, ...name]);
		this.#patch.set(indexKey, { bytes: entry, at });
		const others = (await find(this.#volume, this.#root, hashKey))?.bytes ?? new Uint8Array();
		if (others.length + entry.length > this.#volume.parameters.fields.nodesize) {
			throw corrupt(this.#volume.name, at, "a Btrfs log has more names of one hash than there is room for");
		}
		this.#patch.set(hashKey, { bytes: new Uint8Array([...others, ...entry]), at });
	}

	/** Takes a name from an inode, and both entries of its directory for it. */
	async #unlink({ parent, index, name }: Reference, { objectid }: Key): Promise<void> {
		this.#step();
		this.#patch.set({ objectid: parent, type: KeyType.DIR_INDEX, offset: index }, undefined);
		const hashKey = nameKey(parent, name);
		const item = await find(this.#volume, this.#root, hashKey);
		if (item !== undefined) {
			const left = parseEntries(this.#volume, item).filter(({ raw }) => !sameBytes(raw, name));
			const parts = left.map(({ at, raw }) =>
				item.bytes.subarray(at - item.at, at - item.at + DirItem.size + raw.length),
			);
			const bytes = new Uint8Array(parts.flatMap((part) => [...part]));
			this.#patch.set(hashKey, parts.length === 0 ? undefined : { bytes, at: item.at });
		}
		const key = { objectid, type: KeyType.INODE_REF, offset: parent };
		const references = await find(this.#volume, this.#root, key);
		if (references === undefined) return;
		const left = this.#references(references).filter((reference) => !sameBytes(reference.name, name));
		const bytes = left.flatMap((reference) => [
			...InodeRef.build({ index: reference.index, name_len: reference.name.length }),
			...reference.name,
		]);
		this.#patch.set(key, left.length === 0 ? undefined : { bytes: Uint8Array.from(bytes), at: references.at });
	}

	async #referenceOf(objectid: number, parent: number, name: Uint8Array): Promise<Reference | undefined> {
		const found = await this.#all(objectid, KeyType.INODE_REF, parent, parent);
		const further = found.length > 0 ? found : await this.#all(objectid, KeyType.INODE_EXTREF);
		return further
			.flatMap((item) => this.#references(item))
			.find((reference) => reference.parent === parent && sameBytes(reference.name, name));
	}

	/** The names that an item with references has. */
	#references({ key, bytes, at }: TreeItem): readonly Reference[] {
		const found: Reference[] = [];
		for (let offset = 0; offset < bytes.length; ) {
			this.#step();
			const isLong = key.type === KeyType.INODE_EXTREF;
			const { index, name_len, parent } = isLong
				? InodeExtref.parse(bytes, offset, this.#volume.name, at)
				: { ...InodeRef.parse(bytes, offset, this.#volume.name, at), parent: key.offset };
			const begin = offset + (isLong ? InodeExtref : InodeRef).size;
			offset = begin + name_len;
			if (offset > bytes.length) throw corrupt(this.#volume.name, at, "a name of an inode is longer than its item");
			found.push({ parent, index, name: bytes.subarray(begin, offset) });
		}
		return found;
	}

	#inode(objectid: number): Promise<TreeItem | undefined> {
		this.#step();
		return find(this.#volume, this.#root, { objectid, type: KeyType.INODE_ITEM, offset: 0 });
	}

	async #entries(key: Key) {
		const item = await find(this.#volume, this.#root, key);
		const entries = item ? parseEntries(this.#volume, item) : [];
		for (let i = 0; i < entries.length; i++) this.#step();
		return entries;
	}

	#logged(objectid: number, type: number): readonly TreeItem[] {
		return this.#log.get(`${objectid} ${type}`) ?? [];
	}

	/** Items of an inode as they are now, whatever is changed while they are gone through. */
	async #all(objectid: number, type: number, from = 0, to = -1): Promise<readonly TreeItem[]> {
		const found: TreeItem[] = [];
		const key = { objectid, type };
		for await (const item of items(this.#volume, this.#root, { ...key, offset: from }, { ...key, offset: to })) {
			this.#step();
			found.push(item);
		}
		return found;
	}
}
