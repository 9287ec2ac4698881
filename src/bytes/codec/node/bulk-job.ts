export type BulkId = "deflate" | "zlib" | "zstd";

export interface Job {
	readonly id: number;
	readonly codec: BulkId;
	readonly direction: "encode" | "decode";
	readonly level: number | undefined;
	/** The memory that the tasks lie in. */
	readonly buffers: readonly SharedArrayBuffer[];
	/** Where: {@link FIELDS} numbers for each task. A view of its own for each would cost more than the message. */
	readonly places: Float64Array;
}

/** Index of the input's buffer, offset, length; the same of the output. */
export const FIELDS = 6;

export interface Answer {
	readonly id: number;
	readonly lengths: readonly number[];
}
