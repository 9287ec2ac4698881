import { DiskKey, Header, Item, type Key, KeyPtr } from "./layout.js";
import type { Patch } from "./patch.js";
import { corrupt } from "./superblock.js";

/** How a tree or an inner node names a node. */
export interface NodePointer {
	readonly logical: number;
	readonly generation: number;
	readonly level: number;
	/** Byte on the device that says so, for messages. */
	readonly at: number;
	/** Of a root: what a log changes in its tree. */
	readonly patch?: Patch;
}

/** By object, then type, then offset, each unsigned: what is written negative stands at the end. */
export function compareKeys(a: Key, b: Key): number {
	return order(a.objectid, b.objectid) || a.type - b.type || order(a.offset, b.offset);
}

const order = (a: number, b: number): number => (a < 0 === b < 0 ? a - b : b - a);

/**
 * A node whose checksum is right, its keys sorted and its entries inside it.
 * https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#basic-structures
 */
export class Node {
	readonly level: number;
	readonly generation: number;
	/** Byte offset on the device, for messages. */
	readonly at: number;
	readonly keys: readonly Key[];
	readonly #name: string;
	readonly #bytes: Uint8Array;

	constructor(name: string, bytes: Uint8Array, at: number) {
		const { level, generation, nritems } = Header.parse(bytes, 0, name, at);
		const entry = level === 0 ? Item : KeyPtr;
		if (Header.size + nritems * entry.size > bytes.length) {
			throw corrupt(name, at, `a Btrfs node claims ${nritems} entries`);
		}
		const keys: Key[] = [];
		let before: Key | undefined;
		for (let i = 0; i < nritems; i++) {
			const key = DiskKey.parse(bytes, Header.size + i * entry.size, name, at);
			if (before !== undefined && compareKeys(before, key) >= 0) {
				throw corrupt(name, at + Header.size + i * entry.size, "the keys of a Btrfs node are not sorted");
			}
			keys.push(key);
			before = key;
		}
		this.#name = name;
		this.#bytes = bytes;
		this.level = level;
		this.generation = generation;
		this.at = at;
		this.keys = keys;
	}

	/** Index of the last key that is at most `key`; -1 where all are greater. */
	lastAtMost(key: Key): number {
		let low = -1;
		for (let high = this.keys.length - 1; low < high; ) {
			const middle = Math.ceil((low + high) / 2);
			const candidate = this.keys[middle];
			if (candidate !== undefined && compareKeys(candidate, key) <= 0) low = middle;
			else high = middle - 1;
		}
		return low;
	}

	/** The child at an index of an inner node. */
	child(index: number): NodePointer {
		const offset = Header.size + index * KeyPtr.size;
		const { blockptr, generation } = KeyPtr.parse(this.#bytes, offset, this.#name, this.at);
		return { logical: blockptr, generation, level: this.level - 1, at: this.at + offset };
	}

	/** The data of the item at an index of a leaf, and where they stand on the device. */
	item(index: number): { readonly bytes: Uint8Array; readonly at: number } {
		const entry = Header.size + index * Item.size;
		const { offset, size } = Item.parse(this.#bytes, entry, this.#name, this.at);
		const begin = Header.size + offset;
		if (offset < this.keys.length * Item.size || begin + size > this.#bytes.length) {
			throw corrupt(this.#name, this.at + entry, `a Btrfs item claims ${size} bytes at ${begin} of its leaf`);
		}
		return { bytes: this.#bytes.subarray(begin, begin + size), at: this.at + begin };
	}
}
