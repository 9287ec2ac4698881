import { unsupported } from "../bytes/errors.js";
import type { HoleAware } from "../bytes/holes.js";

export interface SpoolOptions {
	/** Folder of the temporary files; the system's own (`TMPDIR`) where left out. */
	readonly folder?: string | undefined;
	/**
	 * Most bytes that may be spooled at a time, zeros included; 64 GiB where left out. Whatever it says, a gibibyte of the
	 * folder's file system stays free.
	 */
	readonly limit?: number | undefined;
	/** Called with the number of bytes spooled since the last call. */
	readonly onProgress?: ((bytes: number) => void) | undefined;
	readonly signal?: AbortSignal | undefined;
}

/** A temporary file, which disappears with its closing or with the process, however that ends. */
export interface SpooledFile extends HoleAware {
	[Symbol.asyncDispose](): Promise<void>;
}

/**
 * Copies a stream into a sparse temporary file, so that it can be read at any place.
 *
 * @throws `refused` beyond the limit, `no-space`, `interrupted`, `io`
 */
export function spool(
	_chunks: AsyncIterable<Uint8Array>,
	name: string,
	_options: SpoolOptions = {},
): Promise<SpooledFile> {
	return Promise.reject(unsupported(`${name} cannot be spooled yet`));
}
