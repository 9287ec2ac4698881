import { unsupported } from "../bytes/errors.js";
import type { ByteSource } from "../bytes/source.js";
import type { SpoolOptions } from "./spool.js";

export interface HttpOptions {
	/** Sent with every request to the URL's own origin, for example `Authorization`. */
	readonly headers?: Readonly<Record<string, string>> | undefined;
	/** Where to keep a file whose server does not answer range requests; without it such a server is `unsupported`. */
	readonly spool?: SpoolOptions | undefined;
	/** How often a request is tried again before its failure is final, with growing pauses; 5 where left out. */
	readonly retries?: number | undefined;
	/** Milliseconds without a byte after which a connection is given up and tried again; 30 s where left out. */
	readonly timeout?: number | undefined;
	readonly signal?: AbortSignal | undefined;
}

/** A file of a web server. */
export interface RemoteFile extends ByteSource {
	[Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens a file of a web server and reads it by ranges.
 *
 * @throws `not-found` (404, 410), `permission` (401, 403, 407), `usage` for what is no http(s) URL, `unsupported` for a
 * server that does not answer ranges, `io` for all else, also for a file that changes while it is read
 */
export function openUrl(url: string, _options: HttpOptions = {}): Promise<RemoteFile> {
	return Promise.reject(unsupported(`${url} cannot be read yet`));
}
