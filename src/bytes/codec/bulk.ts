import { onNode } from "../platform.js";
import type { CodecId } from "./codec.js";

/** A buffer to encode or decode. Both lie in shared memory: see `sharedBytes()`. */
export interface Task {
	readonly input: Uint8Array;
	readonly output: Uint8Array;
}

/** A codec on threads of its own, for whoever has many buffers to put through it. */
export interface Bulk {
	/**
	 * Fills each task's output.
	 *
	 * @returns the length of each output; {@link FAILED} where the input is broken or the output too short, for the codec
	 * itself to explain
	 */
	encode(tasks: readonly Task[], level?: number): Promise<readonly number[]>;
	decode(tasks: readonly Task[]): Promise<readonly number[]>;
}

export const FAILED = -1;

/** A library's calls on the thread that makes them: the length of the output, or {@link FAILED}. */
export interface Direct {
	encode(task: Task, level: number | undefined): number;
	decode(task: Task): number;
}

/** Undefined where calls of the codec itself are the best there is: nothing that threads could call, or no threads. */
export const bulkCodec = async (id: CodecId): Promise<Bulk | undefined> =>
	onNode ? (await import("./node/bulk.js")).bulkCodec(id) : undefined;
