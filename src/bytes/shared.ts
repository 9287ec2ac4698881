/** Zeroed memory that workers can see as well, where there is such memory. */
export const sharedBytes = (length: number): Uint8Array =>
	typeof SharedArrayBuffer === "undefined" ? new Uint8Array(length) : new Uint8Array(new SharedArrayBuffer(length));

export const isShared = (bytes: Uint8Array): boolean =>
	typeof SharedArrayBuffer !== "undefined" && bytes.buffer instanceof SharedArrayBuffer;
