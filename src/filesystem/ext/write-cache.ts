import { type ByteStore, checkRange, readUpTo } from "../../bytes/source.js";

const pageSize = 64 * 1024;
/** 16 MiB. */
const mostPages = 256;

interface Page {
	readonly bytes: Uint8Array;
	/** The part that differs from the store; empty while `from` is not below `to`. */
	from: number;
	to: number;
}

/**
 * A volume behind a cache that holds back writes until they are pushed out or {@link flush}ed: libext2fs reads and
 * writes single blocks, the same few again and again, and writes back all its bitmaps although most of them did not
 * change. Only what changed reaches the store. For one caller that waits for each call.
 */
export class WriteCache implements ByteStore {
	readonly name: string;
	readonly size: number;
	readonly #store: ByteStore;
	/** By number, the least recently used first. */
	readonly #pages = new Map<number, Page>();

	constructor(store: ByteStore) {
		this.name = store.name;
		this.size = store.size;
		this.#store = store;
	}

	async read(at: number, into: Uint8Array): Promise<void> {
		checkRange(this, at, into.length);
		for (let done = 0; done < into.length; ) {
			const within = (at + done) % pageSize;
			const { bytes } = await this.#page(Math.floor((at + done) / pageSize));
			const part = bytes.subarray(within, within + into.length - done);
			into.set(part, done);
			done += part.length;
		}
	}

	async write(at: number, bytes: Uint8Array): Promise<void> {
		checkRange(this, at, bytes.length);
		for (let done = 0; done < bytes.length; ) {
			const within = (at + done) % pageSize;
			const page = await this.#page(Math.floor((at + done) / pageSize));
			const part = bytes.subarray(done, done + pageSize - within);
			if (part.some((byte, i) => byte !== page.bytes[within + i])) {
				page.bytes.set(part, within);
				page.from = Math.min(page.from, within);
				page.to = Math.max(page.to, within + part.length);
			}
			done += part.length;
		}
	}

	/** Brings all changes to the store, in ascending order. */
	async flush(): Promise<void> {
		for (const [number, page] of [...this.#pages].sort(([a], [b]) => a - b)) await this.#writeBack(number, page);
	}

	async #page(number: number): Promise<Page> {
		let page = this.#pages.get(number);
		if (!page) {
			for (const [oldest, old] of this.#pages) {
				if (this.#pages.size < mostPages) break;
				await this.#writeBack(oldest, old);
				this.#pages.delete(oldest);
			}
			const bytes = await readUpTo(this.#store, number * pageSize, pageSize);
			page = { bytes, from: pageSize, to: 0 };
		} else this.#pages.delete(number);
		this.#pages.set(number, page);
		return page;
	}

	async #writeBack(number: number, page: Page): Promise<void> {
		if (page.from >= page.to) return;
		await this.#store.write(number * pageSize + page.from, page.bytes.subarray(page.from, page.to));
		page.from = pageSize;
		page.to = 0;
	}
}
