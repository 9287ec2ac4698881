import { refused } from "../../bytes/errors.js";
import { type ByteSource, checkRange, readBytes } from "../../bytes/source.js";
import { BASIC_BLOCK } from "./log-layout.js";

/** In bytes, of blocks that a log changes. */
const MOST = 512 << 20;

/** A view of a volume with newer blocks put over it, by one writer at a time; the volume is not touched. */
export class Patched implements ByteSource {
	readonly name: string;
	readonly size: number;
	readonly #source: ByteSource;
	readonly #blockSize: number;
	/** By number: blocks of which a part is newer. */
	readonly #blocks = new Map<number, Uint8Array>();
	/** By number: which basic blocks have newer parts. */
	readonly #changed = new Set<number>();

	constructor(source: ByteSource, blockSize: number) {
		this.name = source.name;
		this.size = source.size;
		this.#source = source;
		this.#blockSize = blockSize;
	}

	async read(at: number, into: Uint8Array): Promise<void> {
		checkRange(this, at, into.length);
		for (let done = 0; done < into.length; ) {
			const block = Math.floor((at + done) / this.#blockSize);
			const within = (at + done) % this.#blockSize;
			const newer = this.#blocks.get(block);
			let count = 1;
			const most = newer ? 1 : Math.ceil((within + into.length - done) / this.#blockSize);
			while (count < most && !this.#blocks.has(block + count)) count++;
			const length = Math.min(count * this.#blockSize - within, into.length - done);
			const part = into.subarray(done, done + length);
			if (newer) part.set(newer.subarray(within, within + length));
			else await this.#source.read(at + done, part);
			done += length;
		}
	}

	async write(at: number, bytes: Uint8Array): Promise<void> {
		checkRange(this, at, bytes.length);
		for (let done = 0; done < bytes.length; ) {
			const block = Math.floor((at + done) / this.#blockSize);
			const within = (at + done) % this.#blockSize;
			const length = Math.min(this.#blockSize - within, bytes.length - done);
			(await this.#load(block)).set(bytes.subarray(done, done + length), within);
			done += length;
		}
		const last = Math.floor((at + bytes.length - 1) / BASIC_BLOCK);
		for (let i = Math.floor(at / BASIC_BLOCK); i <= last; i++) this.#changed.add(i);
	}

	/** Whether something in this range is newer. */
	isNewer(at: number, length: number): boolean {
		for (let i = Math.floor(at / BASIC_BLOCK); i * BASIC_BLOCK < at + length; i++)
			if (this.#changed.has(i)) return true;
		return false;
	}

	async #load(index: number): Promise<Uint8Array> {
		const known = this.#blocks.get(index);
		if (known !== undefined) return known;
		if ((this.#blocks.size + 1) * this.#blockSize > MOST) {
			throw refused(`${this.name}: the log of this XFS file system changes more than ${MOST} bytes`, {
				file: this.name,
				offset: index * this.#blockSize,
				hint: "Start the guest once and shut it down cleanly, or mount its file system once, read-write.",
			});
		}
		const at = index * this.#blockSize;
		const bytes = await readBytes(this.#source, at, Math.min(this.#blockSize, this.size - at));
		this.#blocks.set(index, bytes);
		return bytes;
	}
}
