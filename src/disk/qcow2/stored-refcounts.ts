import { type ByteSource, readUpTo } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { cached } from "../cache.js";
import type { Qcow2Header } from "./header.js";
import { ENTRY_SIZE, RESERVED_LOW } from "./layout.js";

/** Bytes of refcount blocks that are kept. */
const CACHE = 8 * 1024 * 1024;

/** An entry of the refcount table. */
export interface BlockPlace {
	readonly offset: number;
	/** It has bits that mean nothing. */
	readonly reserved: boolean;
}

/** The refcounts that an image keeps, of any width. */
export class StoredRefcounts {
	/** Clusters that one block describes. */
	readonly span: number;
	/** How many blocks the table has room for. */
	readonly length: number;
	readonly #source: ByteSource;
	readonly #clusterSize: number;
	readonly #table: DataView;
	readonly #block: (index: number) => Promise<RefcountBlock | undefined>;
	#current: { readonly index: number; readonly block: RefcountBlock | undefined } = { index: -1, block: undefined };

	private constructor(source: ByteSource, { refcounts, clusterSize }: Qcow2Header, table: DataView) {
		this.#source = source;
		this.#clusterSize = clusterSize;
		this.#table = table;
		this.span = (clusterSize * 8) / refcounts.bits;
		this.length = Math.floor(table.byteLength / ENTRY_SIZE);
		this.#block = cached(Math.max(4, Math.floor(CACHE / clusterSize)), (index) => this.#read(index, refcounts.bits));
	}

	/** What of the table lies outside of the file, counts as empty. */
	static async open(source: ByteSource, header: Qcow2Header): Promise<StoredRefcounts> {
		const { at, clusters } = header.refcounts;
		return new StoredRefcounts(source, header, viewOf(await readUpTo(source, at, clusters * header.clusterSize)));
	}

	/** Where block `index` lies; at 0 where there is none. */
	place(index: number): BlockPlace {
		if (index >= this.length) return { offset: 0, reserved: false };
		const low = this.#table.getUint32(index * ENTRY_SIZE + 4);
		const offset = this.#table.getUint32(index * ENTRY_SIZE) * 2 ** 32 + (low - (low & RESERVED_LOW));
		return { offset, reserved: (low & RESERVED_LOW) !== 0 };
	}

	/** The block that describes `span` clusters from `index * span` on; undefined where its place makes no sense. */
	async block(index: number): Promise<RefcountBlock | undefined> {
		if (this.#current.index !== index) this.#current = { index, block: await this.#block(index) };
		return this.#current.block;
	}

	/** The refcount of a cluster, at once where its block is the last one used; undefined as for {@link block}. */
	of(cluster: number): number | undefined | Promise<number | undefined> {
		const index = Math.floor(cluster / this.span);
		const entry = cluster - index * this.span;
		if (this.#current.index === index) return this.#current.block?.get(entry);
		return this.block(index).then((block) => block?.get(entry));
	}

	async #read(index: number, bits: number): Promise<RefcountBlock | undefined> {
		const { offset } = this.place(index);
		if (offset % this.#clusterSize !== 0) return undefined;
		const empty = offset === 0 || offset >= this.#source.size;
		const bytes = empty ? new Uint8Array() : await readUpTo(this.#source, offset, this.#clusterSize);
		return new RefcountBlock(bytes, bits);
	}
}

/** Refcounts side by side; those beyond its bytes are 0. */
export class RefcountBlock {
	readonly #view: DataView;
	readonly #bits: number;
	readonly #length: number;

	constructor(bytes: Uint8Array, bits: number) {
		this.#view = viewOf(bytes);
		this.#bits = bits;
		this.#length = Math.floor((bytes.length * 8) / bits);
	}

	/** All of them are 0. */
	get empty(): boolean {
		return this.#length === 0;
	}

	get(index: number): number {
		if (index >= this.#length) return 0;
		const view = this.#view;
		switch (this.#bits) {
			case 64:
				return view.getUint32(index * 8) * 2 ** 32 + view.getUint32(index * 8 + 4);
			case 32:
				return view.getUint32(index * 4);
			case 16:
				return view.getUint16(index * 2);
			case 8:
				return view.getUint8(index);
			default: {
				// The first of several in a byte has its lowest bits.
				const at = index * this.#bits;
				return (view.getUint8(Math.floor(at / 8)) >> (at % 8)) & (2 ** this.#bits - 1);
			}
		}
	}
}
