import { setTimeout as sleep } from "node:timers/promises";
import { AnyvisorError, type FailureKind, notFound, refused, unsupported } from "../bytes/errors.js";
import { interrupted, Passing, Watch } from "./http-watch.js";

export interface RequestOptions {
	/** Sent with every request to the URL's own origin, for example `Authorization`. */
	readonly headers?: Readonly<Record<string, string>> | undefined;
	/** How often a request is tried again before its failure is final; 5 where left out. */
	readonly retries?: number | undefined;
	/** Milliseconds before the first of these, doubled for each further one up to 10 s; 200 where left out. */
	readonly pause?: number | undefined;
	/** Milliseconds without a byte after which a connection is given up and tried again; 30 s where left out. */
	readonly timeout?: number | undefined;
	readonly signal?: AbortSignal | undefined;
}

const USUAL_RETRIES = 5;
const USUAL_TIMEOUT = 30_000;
const USUAL_PAUSE = 200;
const LONGEST_PAUSE = 10_000;
/** What a server asks for with Retry-After is granted up to this. */
const LONGEST_WISH = 60_000;
const MOST_REDIRECTS = 10;
/** No such host, or a certificate that is not valid: the names of the system and of OpenSSL. */
const FINAL = /^(ENOTFOUND|ERR_TLS_|CERT_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_)/;
/** A connection that brought less does not count as progress, or a server could keep us for ever. */
const PROGRESS = 64 << 10;

const PARTIAL_CONTENT = 206;
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
const TRY_AGAIN: readonly number[] = [408, 425, 429, 500, 502, 503, 504];
/** Answers of a server that a redirect led to, whose permission may have expired. */
const EXPIRED: readonly number[] = [401, 403, 410];

/** What tells one version of a file from another. */
interface Version {
	/** Undefined where the server does not tell, as one that compresses or generates. */
	readonly size: number | undefined;
	readonly etag: string | null;
	readonly modified: string | null;
}

/** A file of a web server, of which any range can be streamed. */
export class RemoteContent {
	/** For messages: without credentials, and without a query, where signatures are. */
	readonly name: string;
	readonly #url: URL;
	/** Where redirects led to. */
	#place: URL;
	readonly #headers: Readonly<Record<string, string>>;
	readonly #retries: number;
	readonly #pause: number;
	readonly #timeout: number;
	readonly #closing = new AbortController();
	readonly #signal: AbortSignal | undefined;
	#ranges = true;
	#opened = false;
	#version: Version = { size: undefined, etag: null, modified: null };

	/** Asks the server for the file's length. */
	static async open(url: string, options: RequestOptions): Promise<RemoteContent> {
		const content = new RemoteContent(url, options);
		await content.#patiently(() => content.#probe());
		content.#opened = true;
		return content;
	}

	private constructor(text: string, { headers, retries, pause, timeout, signal }: RequestOptions) {
		const url = parseUrl(text);
		this.name = shownUrl(url);
		this.#headers = { ...headers, ...credentialsOf(url) };
		url.username = "";
		url.password = "";
		url.hash = "";
		this.#url = url;
		this.#place = url;
		this.#retries = retries ?? USUAL_RETRIES;
		this.#pause = pause ?? USUAL_PAUSE;
		this.#timeout = timeout ?? USUAL_TIMEOUT;
		this.#signal = signal;
	}

	/** Whether the server answers range requests; without, only {@link stream} from 0 makes sense. */
	get ranges(): boolean {
		return this.#ranges;
	}

	/** In bytes; undefined where the server does not tell. */
	get size(): number | undefined {
		return this.#version.size;
	}

	/** Ends all requests. */
	close(): void {
		this.#closing.abort();
	}

	/** The bytes from `from` to before `to`; a broken connection continues where it broke. */
	async *stream(from: number, to: number): AsyncGenerator<Uint8Array, void> {
		let at = from;
		for (let failures = 0, mark = from; at < to; ) {
			try {
				for await (const piece of this.#once(at, to)) {
					at += piece.length;
					if (at - mark >= PROGRESS) [failures, mark] = [0, at];
					yield piece;
				}
				if (to === Number.POSITIVE_INFINITY) return;
				if (at < to) throw new Passing("the server ended its answer too early");
			} catch (error) {
				await this.#wait(error, ++failures);
			}
		}
	}

	/** Runs `work` until it succeeds or its failure is final. */
	async #patiently<T>(work: () => Promise<T>): Promise<T> {
		for (let failures = 1; ; failures++) {
			try {
				return await work();
			} catch (error) {
				await this.#wait(error, failures);
			}
		}
	}

	/** Pauses before the next attempt; throws where there is to be none. */
	async #wait(error: unknown, failures: number): Promise<void> {
		if (this.#signal?.aborted === true || this.#closing.signal.aborted) throw interrupted();
		if (error instanceof AnyvisorError) throw error;
		if (failures > this.#retries || this.#isFinal(error))
			throw this.#failure("io", `cannot be read: ${reasonOf(error)}`, { cause: error });
		const own = Math.min(LONGEST_PAUSE, this.#pause * 2 ** (failures - 1));
		const wish = error instanceof Passing ? Math.min(LONGEST_WISH, error.wish) : 0;
		const watch = new Watch(0, [this.#signal, this.#closing.signal]);
		try {
			await sleep(Math.max(own, wish), undefined, { signal: watch.signal });
		} catch {
			throw interrupted();
		} finally {
			watch.end();
		}
	}

	/** What no later attempt will change, or what the user should be told at once. */
	#isFinal(error: unknown): boolean {
		const cause = error instanceof Error ? error.cause : undefined;
		const code = cause instanceof Error && "code" in cause ? String(cause.code) : "";
		return FINAL.test(code) || (code === "ECONNREFUSED" && !this.#opened);
	}

	/** One byte of the file tells its length, and that ranges work: some servers promise them and ignore them. */
	async #probe(): Promise<void> {
		const watch = this.#watch();
		try {
			const response = await this.#get("bytes=0-0", watch);
			const range = contentRange(response);
			if (response.status === PARTIAL_CONTENT && range?.total !== undefined) {
				this.#version = versionOf(response, range.total);
				// To its end, so that the connection can be used again, unless a hostile server sends more.
				let length = 0;
				for await (const piece of watch.body(response)) if ((length += piece.length) > 1) break;
			} else if (response.status === 416 && range?.total === 0) {
				this.#version = versionOf(response, 0);
			} else if (response.status === 200 || response.status === PARTIAL_CONTENT) {
				this.#ranges = false;
				const length = response.headers.get("content-length");
				const isWhole = response.status === 200 && length !== null;
				this.#version = versionOf(response, isWhole ? Number(length) : undefined);
				await response.body?.cancel();
			} else throw this.#unexpected(response);
		} finally {
			watch.end();
		}
	}

	/** One request, up to where its answer ends. */
	async *#once(from: number, to: number): AsyncGenerator<Uint8Array, void> {
		const watch = this.#watch();
		try {
			const response = await this.#get(this.#ranges ? `bytes=${from}-${to - 1}` : undefined, watch);
			this.#checkVersion(response, from);
			// Without ranges all of it comes, also what is there already.
			let skip = this.#ranges ? 0 : from;
			let left = to - from;
			for await (const bytes of watch.body(response)) {
				const piece = bytes.subarray(Math.min(skip, bytes.length)).subarray(0, left);
				skip -= Math.min(skip, bytes.length);
				// Not before its end, so that the connection can be used again, unless there is more than was asked for.
				if (left === 0) break;
				left -= piece.length;
				if (piece.length > 0) yield piece;
			}
		} finally {
			watch.end();
		}
	}

	/** @throws where the answer is not about the file that was opened, or not about the bytes that were asked for */
	#checkVersion(response: Response, from: number): void {
		const { status } = response;
		const range = contentRange(response);
		if (!this.#ranges && from > 0 && this.#version.etag === null && this.#version.modified === null) {
			throw this.#failure("io", "broke off, and its server can neither continue nor tell versions of it apart");
		}
		const total = this.#ranges ? range?.total : lengthOf(response);
		const { size, etag, modified } = this.#version;
		const now = versionOf(response, total);
		const differs = (before: string | null, after: string | null) =>
			before !== null && after !== null && before !== after;
		if (
			status === 412 ||
			status === 416 ||
			(size !== undefined && now.size !== undefined && now.size !== size) ||
			differs(etag, now.etag) ||
			// Mirrors that share a file's ETag may disagree about its date.
			(etag === null && differs(modified, now.modified))
		) {
			throw this.#failure("io", "changed while it was being read", {
				hint: "Wait until whoever writes it has finished, and start again.",
			});
		}
		if (!this.#ranges && status === 200) return;
		if (this.#ranges && status === PARTIAL_CONTENT && range?.from === from) return;
		if (status === 200 || status === PARTIAL_CONTENT) {
			throw new Passing("the server answered with other bytes than it was asked for");
		}
		throw this.#unexpected(response);
	}

	/** Sends a request, and follows redirects. What may pass is thrown as such. */
	async #get(range: string | undefined, watch: Watch): Promise<Response> {
		let response = await this.#follow(this.#place, range, watch);
		if (EXPIRED.includes(response.status) && this.#place !== this.#url) {
			await response.body?.cancel();
			response = await this.#follow(this.#url, range, watch);
		}
		const { status, headers } = response;
		if (TRY_AGAIN.includes(status)) {
			await response.body?.cancel();
			throw new Passing(`the server answered ${status} ${response.statusText}`.trim(), seconds(headers) * 1000);
		}
		const encoding = headers.get("content-encoding") ?? "identity";
		if (encoding !== "identity") {
			await response.body?.cancel();
			throw unsupported(`${this.name} is sent by its server in the encoding "${encoding}"`, {
				file: this.name,
				hint: DOWNLOAD,
			});
		}
		return response;
	}

	async #follow(start: URL, range: string | undefined, watch: Watch): Promise<Response> {
		let url = start;
		for (let hops = 0; hops <= MOST_REDIRECTS; hops++) {
			const { etag } = this.#version;
			const headers = {
				"accept-encoding": "identity",
				...(range === undefined ? {} : { range }),
				// Weak ones may not be used here: https://www.rfc-editor.org/rfc/rfc9110#section-13.1.5
				...(range === undefined || etag === null || !etag.startsWith('"') ? {} : { "if-range": etag }),
				...(url.origin === this.#url.origin ? this.#headers : {}),
			};
			const response = await fetch(url, { headers, redirect: "manual", signal: watch.signal });
			watch.touch();
			const location = response.headers.get("location");
			if (!REDIRECTS.includes(response.status) || location === null) {
				if (response.ok) this.#place = url;
				return response;
			}
			await response.body?.cancel();
			url = this.#redirected(url, location);
		}
		throw this.#failure("io", `leads to more than ${MOST_REDIRECTS} redirects`);
	}

	#redirected(from: URL, location: string): URL {
		const to = URL.canParse(location, from.href) ? new URL(location, from.href) : undefined;
		if (to === undefined || !/^https?:$/.test(to.protocol)) {
			throw this.#failure("io", "leads to an address that is no URL of a web server");
		}
		if (from.protocol === "https:" && to.protocol === "http:") {
			throw refused(`${this.name} leads to an address without encryption, ${shownUrl(to)}`, {
				file: this.name,
				hint: "Name that address yourself if you trust the network.",
			});
		}
		to.username = "";
		to.password = "";
		return to;
	}

	#watch = (): Watch => new Watch(this.#timeout, [this.#signal, this.#closing.signal]);

	#unexpected({ status, statusText }: Response): AnyvisorError {
		const said = `${status} ${statusText}`.trim();
		if (status === 404 || status === 410) {
			return notFound(`there is no ${this.name}: its server answered ${said}`, {
				file: this.name,
				hint: "Check the URL for typing errors.",
			});
		}
		if (status === 401 || status === 403 || status === 407) {
			return this.#failure("permission", `may not be read: its server answered ${said}`, {
				hint: "Log in with https://user:password@…, or use a URL that is signed and has not expired.",
			});
		}
		return this.#failure("io", `cannot be read: its server answered ${said}`);
	}

	#failure(kind: FailureKind, what: string, { hint = DOWNLOAD, cause }: { hint?: string; cause?: unknown } = {}) {
		return new AnyvisorError(kind, `${this.name} ${what}`, { file: this.name, hint, cause });
	}
}

const DOWNLOAD = "Try again later, or download the file (curl -LO) and name it instead.";

/** https://www.rfc-editor.org/rfc/rfc9110#section-14.4 */
function contentRange({ headers }: Response): { from: number | undefined; total: number | undefined } | undefined {
	const found = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(headers.get("content-range") ?? "");
	if (found === null) return undefined;
	const [, from, total] = found;
	return { from: numberOf(from), total: numberOf(total) };
}

function numberOf(digits: string | undefined): number | undefined {
	const value = Number(digits);
	return Number.isSafeInteger(value) ? value : undefined;
}

const lengthOf = ({ headers }: Response) => numberOf(headers.get("content-length") ?? undefined);

const versionOf = ({ headers }: Response, size: number | undefined): Version => ({
	size,
	etag: headers.get("etag"),
	modified: headers.get("last-modified"),
});

/** Of Retry-After; a date there is not worth the trouble. */
const seconds = (headers: Headers) => numberOf(headers.get("retry-after") ?? undefined) ?? 0;

/** What fetch says is "fetch failed"; why is in the cause. */
function reasonOf(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	return error.cause instanceof Error && error.cause.message !== "" ? error.cause.message : error.message;
}

/** @throws `usage` for what is no http(s) URL */
export function parseUrl(text: string): URL {
	const url = URL.canParse(text) ? new URL(text) : undefined;
	if (url !== undefined && /^https?:$/.test(url.protocol)) return url;
	const shown = text.replace(/\/\/[^/]*@/, "//");
	throw new AnyvisorError("usage", `"${shown}" is not a URL of a web server`, {
		hint: "It looks like https://example.org/disk.qcow2.",
	});
}

/** A URL as messages may have it: credentials and queries, where signatures are, stay out of logs. */
export const shownUrl = (url: URL): string => `${url.origin}${url.pathname}`;

function credentialsOf({ username, password }: URL): Record<string, string> {
	if (username === "" && password === "") return {};
	const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
	return { authorization: `Basic ${Buffer.from(pair).toString("base64")}` };
}
