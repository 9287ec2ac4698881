import { execFile } from "node:child_process";
import { open, truncate } from "node:fs/promises";
import { type ByteSource, bytesSource, checkRange } from "../../src/bytes/source.js";

/** Runs a partitioning tool that reads its orders from its standard input. */
export function feed(input: string, command: string, ...args: string[]): Promise<string> {
	return new Promise((resolve, reject) => {
		const child = execFile(command, args, (error, stdout, stderr) => {
			if (error) reject(new Error(`${command}: ${stderr}`, { cause: error }));
			else resolve(stdout);
		});
		child.stdin?.end(input);
	});
}

/** An empty, sparse image of `size` bytes. */
export async function emptyImage(path: string, size: number): Promise<string> {
	await (await open(path, "w")).close();
	await truncate(path, size);
	return path;
}

/** A source of `size` bytes which are zero, except for what `pieces` puts at its offsets. */
export function sparseSource(size: number, pieces: ReadonlyMap<number, Uint8Array>): ByteSource {
	const source: ByteSource = {
		name: "sparse.img",
		size,
		async read(at, into) {
			checkRange(source, at, into.length);
			into.fill(0);
			for (const [start, bytes] of pieces) {
				const from = Math.max(start, at);
				const to = Math.min(start + bytes.length, at + into.length);
				if (from < to) into.set(bytes.subarray(from - start, to - start), from - at);
			}
		},
	};
	return source;
}

/** A copy of `bytes`, named, with `changes` written over it. */
export function patched(bytes: Uint8Array, changes: readonly (readonly [at: number, byte: number])[] = []): ByteSource {
	const copy = bytes.slice();
	for (const [at, byte] of changes) copy[at] = byte;
	return bytesSource(copy, "disk.img");
}
