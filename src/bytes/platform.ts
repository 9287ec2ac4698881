/**
 * The one place that asks where this code runs. On Node, the modules named `node` in `checksum/` and `codec/` bring its
 * thread pool and the system's native libraries in; anywhere else (a browser) they are never loaded.
 */
export const onNode: boolean = typeof globalThis.process?.versions?.node === "string";

/** Node's memcmp, ten times the speed of a loop. */
export const sameBytes: ((one: Uint8Array, other: Uint8Array) => boolean) | undefined = onNode
	? (one, other) => globalThis.Buffer.compare(one, other) === 0
	: undefined;

type Crc32 = (bytes: Uint8Array, previous: number) => number;

let zlib: { readonly crc32?: Crc32 } | undefined;

/** zlib's own CRC-32, five times the speed of tables in JavaScript; in Node since 20.15. Loads zlib when first called. */
export function zlibCrc32(): Crc32 | undefined {
	zlib ??= onNode ? globalThis.process.getBuiltinModule("node:zlib") : {};
	return zlib.crc32;
}
