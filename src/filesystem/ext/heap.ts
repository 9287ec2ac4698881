/** A memory section with one memory of exactly 256 pages of 64 KiB: id, length, count, flags, minimum, maximum. */
const small = [0x05, 0x06, 0x01, 0x01, 0x80, 0x02, 0x80, 0x02];
/** The same with 8192 pages: 512 MiB of address space, of which only what is used costs memory. */
const large = [0x05, 0x06, 0x01, 0x01, 0x80, 0x40, 0x80, 0x40];

/**
 * Runs `start`, during which a WebAssembly module that asks for exactly 16 MiB of memory gets 512 MiB. npm `ext2fs` is
 * linked with a heap of 16 MiB that cannot grow, and libext2fs keeps a bit for every block and inode: without this, a
 * file system of 300 GiB kills it. https://webassembly.github.io/spec/core/binary/modules.html#memory-section
 */
export async function withLargeHeap<T>(start: () => Promise<T>): Promise<T> {
	const { WebAssembly } = globalThis as unknown as HasWebAssembly;
	const { instantiate } = WebAssembly;
	WebAssembly.instantiate = (code, imports) => instantiate(enlarged(code), imports);
	try {
		return await start();
	} finally {
		WebAssembly.instantiate = instantiate;
	}
}

/** Every JavaScript that counts has it, but its types come with the DOM only. */
interface HasWebAssembly {
	readonly WebAssembly: { instantiate: (code: Uint8Array, imports: object) => Promise<unknown> };
}

/** Walks the sections behind the eight bytes of magic and version, each with an id and its length in LEB128. */
function enlarged(code: Uint8Array): Uint8Array {
	for (let at = 8; at < code.length; ) {
		if (small.every((byte, i) => code[at + i] === byte)) {
			const copy = code.slice();
			copy.set(large, at);
			return copy;
		}
		let length = 0;
		let factor = 1;
		let byte: number;
		do {
			at++;
			byte = code[at] ?? 0;
			length += (byte & 0x7f) * factor;
			factor *= 128;
		} while (byte >= 0x80);
		at += 1 + length;
	}
	return code;
}
