import { damaged } from "../../bytes/errors.js";
import { struct, u32, viewOf } from "../../bytes/struct.js";

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

/**
 * All entries of an index, lowest priority number first. `file` names it in errors: what is no such index, leaves its
 * file, or loops is `damaged`.
 */
export function readKmodIndex(bytes: Uint8Array, file: string): readonly IndexEntry[] {
	const header = Header.parse(bytes, 0, file);
	if (header.magic !== indexMagic || header.version >>> 16 !== majorVersion) {
		throw damaged(`${file} is not a module index of version ${majorVersion}`, { file, offset: 0, hint });
	}
	const view = viewOf(bytes);
	/** One character per byte, so that offsets stay what they are; keys and values are ASCII. */
	const chars = new TextDecoder("latin1").decode(bytes);

	// Nodes never overlap: what reads more bytes than the file has is looping.
	let unread = bytes.length;
	const take = (at: number, length: number) => {
		unread -= length;
		if (unread < 0 || at + length > bytes.length) {
			throw damaged(`${file}: the module index is broken at byte ${at}`, { file, offset: at, hint });
		}
	};
	const uint32 = (at: number) => {
		take(at, 4);
		return view.getUint32(at);
	};
	/** End of the NUL-terminated text at `at`. */
	const textEnd = (at: number) => {
		const end = chars.indexOf("\0", at);
		take(at, end < 0 ? Number.POSITIVE_INFINITY : end + 1 - at);
		return end;
	};

	const entries: IndexEntry[] = [];
	const pending = [{ node: header.root, key: "" }];
	for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
		const { node } = next;
		let { key } = next;
		let at = node & offsetMask;
		if ((node & hasPrefix) !== 0) {
			const end = textEnd(at);
			key += chars.slice(at, end);
			at = end + 1;
		}
		if ((node & hasChildren) !== 0) {
			take(at, 2);
			const last = view.getUint8(at + 1);
			let char = view.getUint8(at);
			for (at += 2; char <= last; char++, at += 4) {
				const child = uint32(at);
				if ((child & offsetMask) !== 0) pending.push({ node: child, key: key + String.fromCharCode(char) });
			}
		}
		if ((node & hasValues) !== 0) {
			const count = uint32(at);
			at += 4;
			for (let i = 0; i < count; i++) {
				const priority = uint32(at);
				const end = textEnd(at + 4);
				entries.push({ key, value: chars.slice(at + 4, end), priority });
				at = end + 1;
			}
		}
	}
	return entries.sort((a, b) => a.priority - b.priority);
}
