import { once } from "node:events";

/** Gathered before a write: a line each would cost more than making it. */
const PIECE = 64 * 1024;

/** Writes text as it comes, as fast as its reader takes it. */
export async function writeAll(stream: NodeJS.WriteStream, pieces: AsyncIterable<string>): Promise<void> {
	let gathered = "";
	for await (const piece of pieces) {
		gathered += piece;
		if (gathered.length < PIECE) continue;
		if (!stream.write(gathered)) await once(stream, "drain");
		gathered = "";
	}
	stream.write(gathered);
}
