import {
	Header,
	hasChildren,
	hasPrefix,
	hasValues,
	type IndexEntry,
	indexMagic,
	indexVersion,
} from "../guest/linux/kmod-index.js";

/** Nodes lie as deep as keys are long. No modalias is as long: the kernel's own buffer for one has 2048 bytes. */
const longestKey = 2048;

/** Whether an index can hold the key: kmod's nodes branch on ASCII. */
export const isKey = (key: string): boolean => key.length <= longestKey && /^[ -~]*$/.test(key);

/** A `.bin` file as depmod writes it. Keys are {@link isKey}; values of one key are found in the order of `priority`. */
export function kmodIndex(entries: readonly IndexEntry[]): Uint8Array {
	const sorted = entries.toSorted((a, b) => (a.key === b.key ? a.priority - b.priority : a.key < b.key ? -1 : 1));
	const file = new GrowingFile();
	file.append(Header.build({ magic: indexMagic, version: indexVersion, root: 0 }));
	const root = sorted.length > 0 ? writeNode(file, sorted, 0) : 0;
	const bytes = file.bytes();
	bytes.set(Header.build({ magic: indexMagic, version: indexVersion, root }));
	return bytes;
}

/** Writes the node of entries that share the first `depth` characters of their keys; returns its offset with its flags. */
function writeNode(file: GrowingFile, entries: readonly IndexEntry[], depth: number): number {
	const first = entries[0]?.key ?? "";
	const last = entries.at(-1)?.key ?? "";
	let end = depth;
	while (end < first.length && first[end] === last[end]) end++;
	const own = entries.filter(({ key }) => key.length === end);

	const children = new Map<number, number>();
	for (let at = own.length; at < entries.length; ) {
		const char = entries[at]?.key.charCodeAt(end) ?? 0;
		let next = at + 1;
		while (entries[next]?.key.charCodeAt(end) === char) next++;
		children.set(char, writeNode(file, entries.slice(at, next), end + 1));
		at = next;
	}

	let offset = file.length;
	if (end > depth) {
		offset |= hasPrefix;
		file.text(first.slice(depth, end));
	}
	if (children.size > 0) {
		offset |= hasChildren;
		const [low, high] = [Math.min(...children.keys()), Math.max(...children.keys())];
		file.append(Uint8Array.of(low, high));
		for (let char = low; char <= high; char++) file.number(children.get(char) ?? 0);
	}
	if (own.length > 0) {
		offset |= hasValues;
		file.number(own.length);
		for (const { value, priority } of own) {
			file.number(priority);
			file.text(value);
		}
	}
	return offset >>> 0;
}

class GrowingFile {
	#bytes = new Uint8Array(64 * 1024);
	length = 0;

	append(part: Uint8Array): void {
		if (this.length + part.length > this.#bytes.length) {
			const larger = new Uint8Array(2 * (this.length + part.length));
			larger.set(this.#bytes);
			this.#bytes = larger;
		}
		this.#bytes.set(part, this.length);
		this.length += part.length;
	}

	/** In network order. */
	number(value: number): void {
		this.append(Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value));
	}

	/** With the NUL that ends it. */
	text(value: string): void {
		this.append(new TextEncoder().encode(`${value}\0`));
	}

	bytes(): Uint8Array {
		return this.#bytes.slice(0, this.length);
	}
}
