import { damaged } from "../../bytes/errors.js";
import { struct, u32, viewOf } from "../../bytes/struct.js";
import { matchesGlob } from "../../device/glob.js";

/**
 * The `.bin` files that depmod writes: a radix tree from keys to values, integers in network order.
 * https://github.com/kmod-project/kmod/blob/master/libkmod/libkmod-index.c
 */
export const Header = struct("kmod index header", "big", { magic: u32, version: u32, root: u32 });

export const indexMagic = 0xb007f457;
export const indexVersion = 0x0002_0001;
/** The upper half of the version; kmod reads any lower half. */
const majorVersion = 2;

/** A node's offset says in its top bits what follows there, in this order. */
export const hasPrefix = 0x8000_0000;
export const hasChildren = 0x2000_0000;
export const hasValues = 0x4000_0000;
const offsetMask = 0x0fff_ffff;

const hint = "Run depmod in the guest to write its module indexes anew.";

export interface IndexEntry {
	readonly key: string;
	readonly value: string;
	/** Position of the module in depmod's order. */
	readonly priority: number;
}

/** What fnmatch(3) does not take as it stands. */
const wildcards: readonly string[] = ["*", "?", "[", "\\"];

interface Node {
	/** What all keys below go on with. */
	readonly prefix: string;
	/** By the character that comes then. */
	readonly children: ReadonlyMap<string, number>;
	readonly values: readonly Omit<IndexEntry, "key">[];
}

/**
 * An index, of which a look-up reads no more than the nodes on its way. `file` names it in errors: what is no such index,
 * leaves its file, or loops is `damaged`; the latter two when they are come upon.
 */
export class KmodIndex {
	readonly #bytes: Uint8Array;
	readonly #view: DataView;
	readonly #file: string;
	readonly #root: number;

	constructor(bytes: Uint8Array, file: string) {
		const header = Header.parse(bytes, 0, file);
		if (header.magic !== indexMagic || header.version >>> 16 !== majorVersion) {
			throw damaged(`${file} is not a module index of version ${majorVersion}`, { file, offset: 0, hint });
		}
		this.#bytes = bytes;
		this.#view = viewOf(bytes);
		this.#file = file;
		this.#root = header.root;
	}

	/** All entries, lowest priority number first. */
	entries(): readonly IndexEntry[] {
		return byPriority(this.#below(this.#root, "", this.#reader()));
	}

	/** Those with this key. */
	get(key: string): readonly IndexEntry[] {
		return byPriority(this.#along(key, []));
	}

	/** Those whose key is a pattern that the name matches. */
	matching(name: string): readonly IndexEntry[] {
		return byPriority(this.#along(name, wildcards).filter(({ key }) => matchesGlob(key, name)));
	}

	/** Entries whose key is the name, and all where it goes on with one of `others` instead. */
	#along(name: string, others: readonly string[]): readonly IndexEntry[] {
		const read = this.#reader();
		let found: IndexEntry[] = [];
		let node: number | undefined = this.#root;
		let key = "";
		while (node !== undefined) {
			const { prefix, children, values } = read(node);
			const wildcard = prefix.split("").findIndex((char) => others.includes(char));
			const literal = wildcard < 0 ? prefix : prefix.slice(0, wildcard);
			if (!name.startsWith(literal, key.length)) break;
			if (wildcard >= 0) {
				found = found.concat(this.#below(node, key, read));
				break;
			}
			key += prefix;
			if (key === name) for (const value of values) found.push({ key, ...value });
			for (const char of others) {
				const child = children.get(char);
				if (child !== undefined) found = found.concat(this.#below(child, key + char, read));
			}
			const char = name.charAt(key.length);
			node = others.includes(char) ? undefined : children.get(char);
			key += char;
		}
		return found;
	}

	#below(start: number, startKey: string, read: (node: number) => Node): IndexEntry[] {
		const entries: IndexEntry[] = [];
		const pending = [{ node: start, above: startKey }];
		for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
			const { prefix, children, values } = read(next.node);
			const key = next.above + prefix;
			for (const [char, node] of children) pending.push({ node, above: key + char });
			for (const value of values) entries.push({ key, ...value });
		}
		return entries;
	}

	/** Reads nodes, until it has read so much that there must be a loop. */
	#reader(): (node: number) => Node {
		const bytes = this.#bytes;
		const view = this.#view;
		// Nodes never overlap, and a look-up reads each twice at most.
		let unread = 2 * bytes.length;
		const take = (at: number, length: number) => {
			unread -= length;
			if (unread < 0 || at + length > bytes.length) {
				const file = this.#file;
				throw damaged(`${file}: the module index is broken at byte ${at}`, { file, offset: at, hint });
			}
		};
		const uint32 = (at: number) => {
			take(at, 4);
			return view.getUint32(at);
		};
		/** Keys and values are ASCII. */
		const text = (at: number) => {
			const end = bytes.indexOf(0, at);
			take(at, end < 0 ? Number.POSITIVE_INFINITY : end + 1 - at);
			let characters = "";
			for (let i = at; i < end; i++) characters += String.fromCharCode(bytes[i] ?? 0);
			return characters;
		};
		return (node) => {
			let at = node & offsetMask;
			const prefix = (node & hasPrefix) === 0 ? "" : text(at);
			if ((node & hasPrefix) !== 0) at += prefix.length + 1;
			const children = new Map<string, number>();
			if ((node & hasChildren) !== 0) {
				take(at, 2);
				const last = view.getUint8(at + 1);
				let char = view.getUint8(at);
				for (at += 2; char <= last; char++, at += 4) {
					const child = uint32(at);
					if ((child & offsetMask) !== 0) children.set(String.fromCharCode(char), child);
				}
			}
			const values: Omit<IndexEntry, "key">[] = [];
			if ((node & hasValues) !== 0) {
				const count = uint32(at);
				at += 4;
				for (let i = 0; i < count; i++) {
					const priority = uint32(at);
					const value = text(at + 4);
					values.push({ value, priority });
					at += 4 + value.length + 1;
				}
			}
			return { prefix, children, values };
		};
	}
}

const byPriority = (entries: readonly IndexEntry[]) => entries.toSorted((a, b) => a.priority - b.priority);
