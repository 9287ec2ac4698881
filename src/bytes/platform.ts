/**
 * The one place that asks where this code runs. On Node, the modules named `node` in `checksum/` and `codec/` bring its
 * thread pool and the system's native libraries in; anywhere else (a browser) they are never loaded.
 */
export const onNode: boolean = typeof globalThis.process?.versions?.node === "string";

/** zlib's own CRC-32, five times the speed of tables in JavaScript. In Node since 20.15. */
export const zlibCrc32: ((bytes: Uint8Array, previous: number) => number) | undefined = onNode
	? globalThis.process.getBuiltinModule("node:zlib").crc32
	: undefined;
