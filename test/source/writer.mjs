// A process that writes an output, to be killed, limited or run as somebody else. Usage: writer.mjs '{"target", "size"}'
import { AnyvisorError } from "../../dist/bytes/errors.js";
import { removeOutputsWhenInterrupted } from "../../dist/cli/interrupt.js";
import { fileSink } from "../../dist/source/index.js";

const PIECE = 64 * 1024;
const { target, size, siblings = 0, overwrite = false } = JSON.parse(process.argv[2] ?? "{}");

/** @param {import("../../dist/bytes/sink.js").ByteSink} sink */
async function fill(sink) {
	// The last piece first: the length alone says nothing.
	for (let at = size - PIECE; at >= 0; at -= PIECE) await sink.write(at, new Uint8Array(PIECE).fill(at / PIECE + 1));
	await sink.commit(size);
}

async function write() {
	const sink = await fileSink(target, { overwrite });
	console.log("started");
	try {
		for (let i = 1; i <= siblings; i++) await fill(await sink.sibling(`extent-${i}`));
		await fill(sink);
	} finally {
		await sink[Symbol.asyncDispose]();
	}
}

removeOutputsWhenInterrupted();
try {
	await write();
	console.log("done");
} catch (error) {
	if (!(error instanceof AnyvisorError)) throw error;
	console.log(`${error.kind}: ${error.message}`);
}
