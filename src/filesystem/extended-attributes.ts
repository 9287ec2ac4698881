import { refused } from "../bytes/errors.js";

/** By their names with the namespace, as `getfattr -m -` lists them; values are bytes, as the system calls give them. */
export type ExtendedAttributes = ReadonlyMap<string, Uint8Array>;

/** In bytes: names and values of one file. The kernel's own limit for the names of a file is 64 KiB. */
const MOST = 4 << 20;

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Gathers the attributes of one file; `refused` where there is more than any program could have made. */
export class AttributeList {
	readonly found = new Map<string, Uint8Array>();
	readonly #file: string;
	#size = 0;

	constructor(file: string) {
		this.#file = file;
	}

	/** To be asked before a value of `length` bytes is read. */
	makeRoom(length: number): void {
		this.#size += length;
		if (this.#size <= MOST) return;
		throw refused(`${this.#file} has more than the ${MOST} bytes of extended attributes that are read of one file`, {
			file: this.#file,
		});
	}

	/** `value` is copied; where a name occurs twice, the first one counts. */
	add(namespace: string, name: Uint8Array, value: Uint8Array): void {
		this.makeRoom(name.length);
		const full = namespace + decoder.decode(name);
		if (!this.found.has(full)) this.found.set(full, value.slice());
	}
}
