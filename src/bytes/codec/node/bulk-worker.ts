import { parentPort } from "node:worker_threads";
import { type Direct, FAILED, type Task } from "../bulk.js";
import { libdeflate } from "./libdeflate.js";
import { libzstd } from "./zstd.js";

export type BulkId = "deflate" | "zlib" | "zstd";

export interface Job {
	readonly id: number;
	readonly codec: BulkId;
	readonly direction: "encode" | "decode";
	readonly level: number | undefined;
	readonly tasks: readonly Task[];
}

export interface Answer {
	readonly id: number;
	readonly lengths: readonly number[];
}

const failing: Direct = { encode: () => FAILED, decode: () => FAILED };

const direct: Record<BulkId, () => Promise<Direct>> = {
	deflate: async () => (await libdeflate())?.direct("deflate") ?? failing,
	zlib: async () => (await libdeflate())?.direct("zlib") ?? failing,
	zstd: async () => (await libzstd())?.direct ?? failing,
};

parentPort?.on("message", (job: Job) => void work(job));

async function work({ id, codec, direction, level, tasks }: Job): Promise<void> {
	const library = await direct[codec]();
	const lengths = tasks.map((task) => (direction === "encode" ? library.encode(task, level) : library.decode(task)));
	// oxlint-disable-next-line unicorn/require-post-message-target-origin -- workers have no origins, windows do
	parentPort?.postMessage({ id, lengths } satisfies Answer);
}
