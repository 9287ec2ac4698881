import { checkRange } from "../bytes/source.js";
import type { Disk } from "./disk.js";

const CHUNK = 1024 * 1024;
/** How long a consumer may let others wait without reading before they go on without it, in milliseconds. */
const PATIENCE = 10_000;

/**
 * Lets several writers read `disk` at their own speed while it is read only once. Each of the `consumers` disks returned
 * is for one writer that reads about sequentially; a writer that is `window` bytes ahead of the slowest waits for it.
 *
 * Dispose a consumer when its writer ends, however it ends: those that are gone hold nobody up, and neither do those
 * that have not begun yet, or that stopped reading for 10 seconds. All of them may still read anything at any time; what
 * the others have left behind is read again. Disposing consumers does not dispose `disk`.
 */
export function sharePass(disk: Disk, consumers: number, window = 64 * 1024 * 1024): Disk[] {
	const pass = new Pass(disk, Math.max(1, Math.floor(window / CHUNK)));
	return Array.from({ length: consumers }, () => pass.consumer());
}

class Consumer {
	/** `idle`: not begun, or fallen silent. `gone`: never again of interest. */
	state: "idle" | "reading" | "gone" = "idle";
	/** Where each read under way has got to. */
	readonly reads = new Set<{ at: number }>();
	/** Everything before has been read. */
	#frontier = 0;

	get position(): number {
		let position = this.reads.size === 0 ? this.#frontier : Number.POSITIVE_INFINITY;
		for (const { at } of this.reads) position = Math.min(position, at);
		return position;
	}

	get frontier(): number {
		return this.#frontier;
	}

	passed(end: number): void {
		this.#frontier = Math.max(this.#frontier, end);
	}
}

class Pass {
	readonly #disk: Disk;
	/** How many chunks may be kept. */
	readonly #window: number;
	readonly #chunks = new Map<number, Promise<Uint8Array>>();
	readonly #consumers: Consumer[] = [];
	#waiting: (() => void)[] = [];

	constructor(disk: Disk, window: number) {
		this.#disk = disk;
		this.#window = window;
	}

	consumer(): Disk {
		const disk = this.#disk;
		const consumer = new Consumer();
		this.#consumers.push(consumer);
		return {
			name: disk.name,
			size: disk.size,
			format: disk.format,
			sectorSize: disk.sectorSize,
			extents: () => disk.extents(),
			read: (at, into) => this.#read(consumer, at, into),
			[Symbol.asyncDispose]: () => {
				consumer.state = "gone";
				this.#moved();
				return Promise.resolve();
			},
		};
	}

	async #read(consumer: Consumer, at: number, into: Uint8Array): Promise<void> {
		checkRange(this.#disk, at, into.length);
		if (consumer.state === "gone" || at < consumer.frontier) return this.#readAgain(at, into);
		consumer.state = "reading";
		const read = { at };
		consumer.reads.add(read);
		try {
			while (read.at < at + into.length) {
				const within = read.at % CHUNK;
				const chunk = await this.#chunk(Math.floor(read.at / CHUNK));
				const part = chunk.subarray(within, within + at + into.length - read.at);
				into.set(part, read.at - at);
				read.at += part.length;
				this.#moved();
			}
			consumer.passed(at + into.length);
		} finally {
			consumer.reads.delete(read);
			this.#moved();
		}
	}

	/** A look back, which must neither hold others up nor bring chunks back. */
	async #readAgain(at: number, into: Uint8Array): Promise<void> {
		for (let done = 0; done < into.length; ) {
			const within = (at + done) % CHUNK;
			const part = into.subarray(done, done + CHUNK - within);
			const chunk = await this.#chunks.get(Math.floor((at + done) / CHUNK));
			if (chunk === undefined) await this.#disk.read(at + done, part);
			else part.set(chunk.subarray(within, within + part.length));
			done += part.length;
		}
	}

	/** A chunk that some consumer is reading at, so that it never lies before the slowest of them. */
	async #chunk(index: number): Promise<Uint8Array> {
		for (;;) {
			const known = this.#chunks.get(index);
			if (known !== undefined) return known;
			const slowest = Math.min(...this.#consumers.filter(({ state }) => state === "reading").map(positionOf));
			if (index < Math.floor(slowest / CHUNK) + this.#window) return this.#load(index);
			await this.#movement();
		}
	}

	#load(index: number): Promise<Uint8Array> {
		const at = index * CHUNK;
		const bytes = new Uint8Array(Math.min(CHUNK, this.#disk.size - at));
		const loading = this.#disk.read(at, bytes).then(() => bytes);
		this.#chunks.set(index, loading);
		loading.catch(() => this.#chunks.delete(index));
		while (this.#chunks.size > this.#window) this.#chunks.delete(Math.min(...this.#chunks.keys()));
		return loading;
	}

	/** Drops what no consumer will want, and lets those that wait look again. */
	#moved(): void {
		const slowest = Math.min(...this.#consumers.filter(({ state }) => state !== "gone").map(positionOf));
		for (const index of this.#chunks.keys()) if ((index + 1) * CHUNK <= slowest) this.#chunks.delete(index);
		for (const wake of this.#waiting.splice(0)) wake();
	}

	/** Resolves when any consumer got on; when none does for too long, those that do not even read are left behind. */
	#movement(): Promise<void> {
		return new Promise((resolve) => {
			const timer = setTimeout(() => {
				for (const consumer of this.#consumers) {
					if (consumer.state === "reading" && consumer.reads.size === 0) consumer.state = "idle";
				}
				this.#moved();
			}, PATIENCE);
			this.#waiting.push(() => {
				clearTimeout(timer);
				resolve();
			});
		});
	}
}

const positionOf = (consumer: Consumer) => consumer.position;
