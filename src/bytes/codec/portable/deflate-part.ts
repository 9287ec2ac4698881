import { Deflate, Z_FULL_FLUSH } from "pako";
import { clampLevel } from "./deflate.js";

export function deflatePart(input: Uint8Array, level: number): Promise<Uint8Array> {
	const compressor = new Deflate({ raw: true, level: clampLevel(level) });
	const parts: Uint8Array[] = [];
	compressor.onData = (part: Uint8Array) => parts.push(part.slice());
	compressor.push(input, Z_FULL_FLUSH);
	const output = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
	let at = 0;
	for (const part of parts) {
		output.set(part, at);
		at += part.length;
	}
	return Promise.resolve(output);
}
