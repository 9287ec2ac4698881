import { fstatSync, writeSync } from "node:fs";
import { exitCodes } from "./exit-codes.js";
import { report } from "./failure.js";

const STDOUT = 1;

/**
 * Standard output. Node needs milliseconds to load the streams that `process.stdout` is made of: files, pipes and
 * sockets are written to without them, on this thread, as Node does it too.
 */
export const stdout = {
	get isTTY(): boolean {
		return mayBeTerminal() && this.stream.isTTY;
	},

	/** Of a terminal. */
	get columns(): number | undefined {
		return mayBeTerminal() ? this.stream.columns : undefined;
	},

	write(text: string): void {
		const rest = streamed || mayBeTerminal() ? text : unwritten(Buffer.from(text));
		if (rest.length > 0) this.stream.write(rest);
	},

	/** Node's own. */
	get stream(): NodeJS.WriteStream {
		if (!streamed) process.stdout.on("error", (error) => void gone(error));
		streamed = true;
		return process.stdout;
	},
};

/** From then on all goes that way, because what waits there comes first. */
let streamed = false;

async function gone(error: NodeJS.ErrnoException): Promise<never> {
	// The reader of a pipe has gone away: nobody is left to tell.
	if (error.code === "EPIPE") process.exit(exitCodes.ok);
	const { osFailure } = await import("../source/failure.js");
	process.exit(report(osFailure(error, "writing to", "standard output")));
}

function mayBeTerminal(): boolean {
	try {
		return fstatSync(STDOUT).isCharacterDevice();
	} catch {
		// Node says what is the matter.
		return true;
	}
}

/** Writes, and returns what is left for Node's stream: it waits for a pipe's reader, and tells what goes wrong. */
function unwritten(bytes: Buffer): Buffer {
	let done = 0;
	try {
		while (done < bytes.length) done += writeSync(STDOUT, bytes, done);
	} catch {
		// The stream meets the same.
	}
	return bytes.subarray(done);
}
