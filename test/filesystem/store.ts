import { open } from "node:fs/promises";
import { onTestFinished } from "vitest";
import { type ByteStore, checkRange } from "../../src/bytes/source.js";

/** A file as a store, closed when the test ends. */
export async function fileStore(path: string): Promise<ByteStore> {
	const { store, close } = await openStore(path);
	onTestFinished(close);
	return store;
}

export async function openStore(path: string): Promise<{ store: ByteStore; close: () => Promise<void> }> {
	const handle = await open(path, "r+");
	const { size } = await handle.stat();
	const store = {
		name: "test.img",
		size,
		async read(at: number, into: Uint8Array) {
			checkRange(store, at, into.length);
			for (let done = 0; done < into.length; ) {
				done += (await handle.read(into, done, into.length - done, at + done)).bytesRead;
			}
		},
		async write(at: number, bytes: Uint8Array) {
			checkRange(store, at, bytes.length);
			await handle.write(bytes, 0, bytes.length, at);
		},
	};
	return { store, close: () => handle.close() };
}

/** Bytes in memory as a store. */
export function memoryStore(bytes: Uint8Array): ByteStore {
	const store = {
		name: "test.img",
		size: bytes.length,
		read(at: number, into: Uint8Array) {
			checkRange(store, at, into.length);
			into.set(bytes.subarray(at, at + into.length));
			return Promise.resolve();
		},
		write(at: number, part: Uint8Array) {
			checkRange(store, at, part.length);
			bytes.set(part, at);
			return Promise.resolve();
		},
	};
	return store;
}
