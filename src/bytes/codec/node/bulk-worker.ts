import { parentPort } from "node:worker_threads";
import { type Direct, FAILED, type Task } from "../bulk.js";
import { type Answer, type BulkId, FIELDS, type Job } from "./bulk-job.js";
import { libdeflate } from "./libdeflate.js";
import { zlibDirect } from "./zlib-direct.js";
import { libzstd } from "./zstd.js";

const failing: Direct = { encode: () => FAILED, decode: () => FAILED };

const direct: Record<BulkId, () => Promise<Direct>> = {
	deflate: async () => (await libdeflate())?.direct("deflate") ?? zlibDirect("deflate"),
	zlib: async () => (await libdeflate())?.direct("zlib") ?? zlibDirect("zlib"),
	zstd: async () => (await libzstd())?.direct ?? failing,
};

parentPort?.on("message", (job: Job) => void work(job));

async function work({ id, codec, direction, level, buffers, places }: Job): Promise<void> {
	const library = await direct[codec]();
	const memory = buffers.map((buffer) => new Uint8Array(buffer));
	const view = (at: number) => {
		const [buffer = 0, offset = 0, length = 0] = places.subarray(at, at + 3);
		return memory[buffer]?.subarray(offset, offset + length) ?? new Uint8Array();
	};
	const lengths: number[] = [];
	for (let at = 0; at < places.length; at += FIELDS) {
		const task: Task = { input: view(at), output: view(at + 3) };
		lengths.push(direction === "encode" ? library.encode(task, level) : library.decode(task));
	}
	// oxlint-disable-next-line unicorn/require-post-message-target-origin -- workers have no origins, windows do
	parentPort?.postMessage({ id, lengths } satisfies Answer);
}
