import { unsupported } from "../bytes/errors.js";
import { type ByteSource, checkRange } from "../bytes/source.js";
import { RemoteContent, type RequestOptions } from "./http-request.js";
import { Spooler, type SpoolOptions } from "./spool.js";

export interface HttpOptions extends RequestOptions {
	/** Where to keep a file whose server does not answer range requests; without it such a server is `unsupported`. */
	readonly spool?: SpoolOptions | Spooler | undefined;
}

/** A file of a web server. */
export interface RemoteFile extends ByteSource {
	[Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens a file of a web server and reads it by ranges: a small read costs one request of 256 KiB, reads that follow each
 * other long requests, several at a time. At most 48 MiB are kept.
 *
 * Every answer must be of the same version of the file (ETag or date, and length). A broken or stalled connection
 * continues where it broke. Names in messages have neither credentials nor query.
 *
 * @throws `not-found` (404, 410), `permission` (401, 403, 407), `usage` for what is no http(s) URL, `unsupported` for a
 * server that does not answer ranges, `io` for all else, also for a file that changes while it is read
 */
export async function openUrl(url: string, options: HttpOptions = {}): Promise<RemoteFile> {
	const content = await RemoteContent.open(url, options);
	const { name, size } = content;
	if (content.ranges && size !== undefined) return rangedFile(content, size);
	const { spool } = options;
	if (spool === undefined) {
		throw unsupported(`the server of ${name} sends files only as a whole, and a disk is read at any place`, {
			file: name,
			hint: "Download the file first (curl -LO) and name it instead.",
		});
	}
	const spooler = spool instanceof Spooler ? spool : new Spooler({ signal: options.signal, ...spool });
	try {
		return await spooler.spool(content.stream(0, size ?? Number.POSITIVE_INFINITY), name, size);
	} finally {
		content.close();
	}
}

function rangedFile(content: RemoteContent, size: number): RemoteFile {
	const pages = new Pages(content, size);
	const file: RemoteFile = {
		name: content.name,
		size,
		async read(at, into) {
			checkRange(file, at, into.length);
			await pages.read(at, into);
		},
		[Symbol.asyncDispose]: () => pages.close(),
	};
	return file;
}

const PAGE = 256 << 10;
/** How many pages are kept: 48 MiB. */
const KEPT = 192;
/** Most pages that are fetched before they are asked for: 16 MiB. */
const AHEAD = 64;
/** Most pages of one request: 4 MiB. */
const LONGEST = 16;
const IN_FLIGHT = 4;

/** The pages of a file that were read last, and those that are likely to be read next. */
class Pages {
	readonly #content: RemoteContent;
	readonly #size: number;
	/** In the order of their last use: a Map iterates in the order of insertion. */
	readonly #pages = new Map<number, Promise<Uint8Array>>();
	readonly #running = new Set<Promise<void>>();
	readonly #waiting: (() => void)[] = [];
	#slots = IN_FLIGHT;

	constructor(content: RemoteContent, size: number) {
		this.#content = content;
		this.#size = size;
	}

	async read(at: number, into: Uint8Array): Promise<void> {
		if (into.length === 0) return;
		const first = Math.floor(at / PAGE);
		const last = Math.floor((at + into.length - 1) / PAGE);
		// The longer the run that leads here, the further it is likely to go on.
		const ahead = last + 2 * this.#runBefore(first);
		for (let index = first, done = 0; index <= last; index++) {
			const bytes = await this.#page(index, Math.min(ahead, index + AHEAD));
			const from = Math.max(0, at - index * PAGE);
			const part = bytes.subarray(from, from + into.length - done);
			into.set(part, done);
			done += part.length;
		}
	}

	/** How many pages directly before this one were read lately. */
	#runBefore(index: number): number {
		let run = 0;
		while (run < AHEAD / 2 && this.#pages.has(index - run - 1)) run++;
		return run;
	}

	/** @param upTo the last page that is likely to be wanted as well */
	#page(index: number, upTo: number): Promise<Uint8Array> {
		const there = this.#pages.get(index);
		if (there !== undefined) {
			this.#keep(index, there);
			let missing = index + 1;
			while (missing <= upTo && this.#pages.has(missing)) missing++;
			// Not page by page: a request is worth it when half of what is wanted is missing.
			if (missing - index <= (upTo - index) / 2) this.#fetch(missing, upTo);
			return there;
		}
		this.#fetch(index, upTo);
		const page = this.#pages.get(index);
		if (page === undefined) throw new RangeError(`page ${index} is not in the file`);
		return page;
	}

	#keep(index: number, page: Promise<Uint8Array>): void {
		this.#pages.delete(index);
		this.#pages.set(index, page);
		if (this.#pages.size > KEPT) for (const oldest of this.#pages.keys()) if (this.#pages.delete(oldest)) break;
	}

	/** Starts fetching those pages of `[from, to]` that are not there. */
	#fetch(from: number, to: number): void {
		const end = Math.min(to + 1, Math.ceil(this.#size / PAGE));
		for (let first = from; first < end; ) {
			let next = first;
			while (next < end && next - first < LONGEST && !this.#pages.has(next)) next++;
			if (next > first) this.#fetchRun(first, next);
			else next++;
			first = next;
		}
	}

	#fetchRun(first: number, end: number): void {
		const arrivals = Array.from({ length: end - first }, (_, i) => {
			const arrival = new Arrival();
			this.#keep(first + i, arrival.page);
			return arrival;
		});
		const running = this.#inTurn(() => this.#receive(first, arrivals)).catch((error: unknown) => {
			for (const [i, { page, fail }] of arrivals.entries()) {
				if (fail(error) && this.#pages.get(first + i) === page) this.#pages.delete(first + i);
			}
		});
		this.#running.add(running);
		void running.finally(() => this.#running.delete(running));
	}

	async #receive(first: number, arrivals: readonly Arrival[]): Promise<void> {
		const from = first * PAGE;
		const to = Math.min(this.#size, from + arrivals.length * PAGE);
		let at = from;
		let page = new Uint8Array();
		for await (const piece of this.#content.stream(from, to)) {
			for (let taken = 0; taken < piece.length; ) {
				const offset = at % PAGE;
				if (offset === 0) page = new Uint8Array(Math.min(PAGE, to - at));
				const part = piece.subarray(taken, taken + page.length - offset);
				page.set(part, offset);
				taken += part.length;
				at += part.length;
				if (offset + part.length === page.length) arrivals[Math.floor((at - 1 - from) / PAGE)]?.arrive(page);
			}
		}
	}

	async #inTurn(work: () => Promise<void>): Promise<void> {
		if (this.#slots > 0) this.#slots--;
		else await new Promise<void>((resolve) => this.#waiting.push(resolve));
		try {
			await work();
		} finally {
			const next = this.#waiting.shift();
			if (next === undefined) this.#slots++;
			else next();
		}
	}

	async close(): Promise<void> {
		this.#content.close();
		await Promise.all(this.#running);
		this.#pages.clear();
	}
}

/** A page that is on its way. */
class Arrival {
	readonly page: Promise<Uint8Array>;
	readonly arrive: (page: Uint8Array) => void;
	/** False where it has arrived. */
	readonly fail: (error: unknown) => boolean;

	constructor() {
		let settle: { resolve(page: Uint8Array): void; reject(error: unknown): void } | undefined;
		this.page = new Promise<Uint8Array>((resolve, reject) => {
			settle = { resolve, reject };
		});
		// Nobody may ever ask for it.
		this.page.catch(() => undefined);
		this.arrive = (page) => {
			settle?.resolve(page);
			settle = undefined;
		};
		this.fail = (error) => {
			settle?.reject(error);
			const failed = settle !== undefined;
			settle = undefined;
			return failed;
		};
	}
}
