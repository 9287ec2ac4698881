import { addAbortSignal, type Readable } from "node:stream";
import { AnyvisorError } from "../bytes/errors.js";
import { type SpooledFile, Spooler, type SpoolOptions } from "./spool.js";

/**
 * Spools a stream to its end, so that a disk image can come through a pipe.
 *
 * @throws `usage` for a terminal; what {@link spool} throws
 */
export const openStdin = (stream: Readable, options: SpoolOptions = {}): Promise<SpooledFile> =>
	spoolStream(stream, new Spooler(options), options.signal);

export async function spoolStream(stream: Readable, spooler: Spooler, signal?: AbortSignal): Promise<SpooledFile> {
	if ("isTTY" in stream && stream.isTTY === true) {
		throw new AnyvisorError("usage", "standard input is a terminal", {
			hint: "Send a disk image through a pipe: curl https://… | anyvisor … -",
		});
	}
	// A pipe that nothing comes through is left as well.
	if (signal !== undefined) addAbortSignal(signal, stream);
	return spooler.spool(stream, "standard input");
}
