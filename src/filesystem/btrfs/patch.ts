import type { Key } from "./layout.js";
import { compareKeys } from "./node.js";
import type { TreeItem } from "./tree.js";

/** An item that a tree has in place of what is stored, or the lack of one. */
interface Change {
	readonly key: Key;
	readonly item: TreeItem | undefined;
}

const nothing = () => undefined;

/** What is different in a tree from what is stored. */
export class Patch {
	/** Is called for each stored item that is passed over. */
	skipped: () => void = nothing;
	/** By key. */
	readonly #changes: Change[] = [];

	/** Gives the tree an item, or with `undefined` takes one away. */
	set(key: Key, item: Omit<TreeItem, "key"> | undefined): void {
		const index = this.#countBelow(key);
		const change = { key, item: item && { key, bytes: item.bytes, at: item.at } };
		this.#changes.splice(index, this.#isAt(index, key) ? 1 : 0, change);
	}

	/** Whether what is stored with this key does not count. */
	changes(key: Key): boolean {
		const found = this.#isAt(this.#countBelow(key), key);
		if (found) this.skipped();
		return found;
	}

	/** From now on there is no limit to what is passed over. */
	finish(): void {
		this.skipped = nothing;
	}

	/** Of the items that are given, that with the greatest key that is at most `key`. */
	lastAtMost(key: Key): TreeItem | undefined {
		const index = this.#countBelow(key);
		for (let i = this.#isAt(index, key) ? index : index - 1; i >= 0; i--) {
			const item = this.#changes[i]?.item;
			if (item !== undefined) return item;
		}
		return undefined;
	}

	/** The items that are given with keys of `from` to `to`, both included. */
	between(from: Key, to: Key): readonly TreeItem[] {
		const found: TreeItem[] = [];
		for (let i = this.#countBelow(from); i < this.#changes.length; i++) {
			const change = this.#changes[i];
			if (change === undefined || compareKeys(change.key, to) > 0) break;
			if (change.item !== undefined) found.push(change.item);
		}
		return found;
	}

	#isAt(index: number, key: Key): boolean {
		const change = this.#changes[index];
		return change !== undefined && compareKeys(change.key, key) === 0;
	}

	#countBelow(key: Key): number {
		let [low, high] = [0, this.#changes.length];
		while (low < high) {
			const middle = (low + high) >> 1;
			const change = this.#changes[middle];
			if (change !== undefined && compareKeys(change.key, key) < 0) low = middle + 1;
			else high = middle;
		}
		return low;
	}
}
