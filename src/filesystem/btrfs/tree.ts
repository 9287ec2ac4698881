import { HIGHEST_LEVEL, type Key } from "./layout.js";
import { compareKeys, type Node, type NodePointer } from "./node.js";
import { corrupt } from "./superblock.js";
import type { BtrfsVolume } from "./volume.js";

export interface TreeItem {
	readonly key: Key;
	readonly bytes: Uint8Array;
	/** Byte offset on the device, for messages. */
	readonly at: number;
}

interface Leaf {
	readonly node: Node;
	/** The key with which the next leaf begins; `undefined` for the last one. */
	readonly next: Key | undefined;
}

/** The item with exactly this key. */
export async function find(volume: BtrfsVolume, root: NodePointer, key: Key): Promise<TreeItem | undefined> {
	const found = await lastAtMost(volume, root, key);
	return found !== undefined && compareKeys(found.key, key) === 0 ? found : undefined;
}

/** The item with the greatest key that is at most `key`. */
export async function lastAtMost(volume: BtrfsVolume, root: NodePointer, key: Key): Promise<TreeItem | undefined> {
	const patched = root.patch?.lastAtMost(key);
	for (let at: Key | undefined = key; at !== undefined; ) {
		const { node } = await findLeaf(volume, root, at);
		let index = node.lastAtMost(at);
		if (index < 0) return patched;
		for (let key = node.keys[index]; index > 0 && key && root.patch?.changes(key); key = node.keys[index]) index--;
		const stored = itemAt(node, index);
		if (!root.patch?.changes(stored.key)) {
			return patched !== undefined && compareKeys(patched.key, stored.key) > 0 ? patched : stored;
		}
		at = before(stored.key);
		if (at !== undefined && compareKeys(at, stored.key) >= 0) {
			throw corrupt(volume.name, stored.at, "a Btrfs log changes a key that is out of range");
		}
	}
	return patched;
}

/** The greatest key below `key`. */
function before({ objectid, type, offset }: Key): Key | undefined {
	if (offset !== 0) return { objectid, type, offset: offset - 1 };
	if (type !== 0) return { objectid, type: type - 1, offset: -1 };
	return objectid === 0 ? undefined : { objectid: objectid - 1, type: 255, offset: -1 };
}

/** The items with keys of `from` to `to`, both included, in their order. */
export async function* items(
	volume: BtrfsVolume,
	root: NodePointer,
	from: Key,
	to: Key,
): AsyncGenerator<TreeItem, undefined> {
	const changed = root.patch?.between(from, to) ?? [];
	let next = 0;
	for await (const item of storedItems(volume, root, from, to)) {
		for (let change = changed[next]; change && compareKeys(change.key, item.key) < 0; change = changed[++next]) {
			yield change;
		}
		if (!root.patch?.changes(item.key)) yield item;
	}
	yield* changed.slice(next);
}

async function* storedItems(
	volume: BtrfsVolume,
	root: NodePointer,
	from: Key,
	to: Key,
): AsyncGenerator<TreeItem, undefined> {
	for (let key: Key | undefined = from; key !== undefined && compareKeys(key, to) <= 0; ) {
		const { node, next }: Leaf = await findLeaf(volume, root, key);
		const last = node.lastAtMost(key);
		const exact = node.keys[last];
		const first = exact !== undefined && compareKeys(exact, key) === 0 ? last : last + 1;
		for (let i = first; i < node.keys.length; i++) {
			const item = itemAt(node, i);
			if (compareKeys(item.key, to) > 0) return;
			yield item;
		}
		key = next;
	}
}

function itemAt(node: Node, index: number): TreeItem {
	const key = node.keys[index];
	if (key === undefined) throw new RangeError(`a leaf has no item ${index}`);
	return { key, ...node.item(index) };
}

/**
 * The leaf where `key` is or would be. Each node has to keep inside the keys that its parent gives it, so that no node
 * can be met twice: neither circles nor trees that share nodes with themselves make a walk long.
 */
async function findLeaf(volume: BtrfsVolume, root: NodePointer, key: Key): Promise<Leaf> {
	if (root.level > HIGHEST_LEVEL) throw corrupt(volume.name, root.at, `a Btrfs tree is ${root.level + 1} levels high`);
	let node = await volume.node(root);
	let next: Key | undefined;
	while (node.level > 0) {
		const index = Math.max(node.lastAtMost(key), 0);
		const begin = node.keys[index];
		next = node.keys[index + 1] ?? next;
		const child = await volume.node(node.child(index));
		const [first] = child.keys;
		const last = child.keys.at(-1);
		if (begin === undefined || first === undefined || last === undefined) {
			throw corrupt(volume.name, child.at, "a Btrfs node inside a tree is empty");
		}
		if (compareKeys(first, begin) < 0 || (next !== undefined && compareKeys(last, next) >= 0)) {
			throw corrupt(volume.name, child.at, "a Btrfs node has keys that belong elsewhere in its tree");
		}
		node = child;
	}
	return { node, next };
}
