import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { Bulk, Task } from "../bulk.js";
import type { CodecId } from "../codec.js";
import { type Answer, type BulkId, FIELDS, type Job } from "./bulk-job.js";
import { libzstd } from "./zstd.js";

/** Whether a thread of its own is of use: Node brings a zlib that any thread can call, and no zstd. */
const able: Record<BulkId, () => Promise<boolean>> = {
	deflate: async () => true,
	zlib: async () => true,
	zstd: async () => (await libzstd()) !== undefined,
};

const isBulkId = (id: CodecId): id is BulkId => Object.hasOwn(able, id);

/** Sources that were not compiled, as in unit tests, have no worker that Node could load. */
const COMPILED = import.meta.url.endsWith(".js");

export async function bulkCodec(id: CodecId): Promise<Bulk | undefined> {
	if (!COMPILED || !isBulkId(id) || !(await able[id]())) return undefined;
	return {
		encode: (tasks, level) => threads().run({ codec: id, direction: "encode", level, ...placed(tasks) }),
		decode: (tasks) => threads().run({ codec: id, direction: "decode", level: undefined, ...placed(tasks) }),
	};
}

/** Says where tasks lie in shared memory; anything else would have to be copied, in whole and for nothing. */
function placed(tasks: readonly Task[]): Pick<Job, "buffers" | "places"> {
	const buffers: SharedArrayBuffer[] = [];
	const places = new Float64Array(tasks.length * FIELDS);
	let next = 0;
	for (const { input, output } of tasks) {
		for (const { buffer, byteOffset, length } of [input, output]) {
			if (!(buffer instanceof SharedArrayBuffer)) throw new TypeError("bulk codecs work on shared memory");
			if (!buffers.includes(buffer)) buffers.push(buffer);
			places.set([buffers.indexOf(buffer), byteOffset, length], next);
			next += 3;
		}
	}
	return { buffers, places };
}

let started: Threads | undefined;
function threads(): Threads {
	started ??= new Threads();
	return started;
}

/** A worker for each processor, started when there is something to do for it. They do not keep the process alive. */
class Threads {
	readonly #workers: Thread[] = [];
	readonly #most = availableParallelism();

	run(job: Omit<Job, "id">): Promise<readonly number[]> {
		const idlest = this.#workers.toSorted((a, b) => a.busy - b.busy)[0];
		if (idlest !== undefined && (idlest.busy === 0 || this.#workers.length === this.#most)) return idlest.run(job);
		const thread = new Thread();
		this.#workers.push(thread);
		return thread.run(job);
	}
}

class Thread {
	readonly #worker = new Worker(new URL("./bulk-worker.js", import.meta.url));
	readonly #waiting = new Map<
		number,
		{ resolve: (lengths: readonly number[]) => void; reject: (error: Error) => void }
	>();
	#next = 0;

	constructor() {
		this.#worker.unref();
		this.#worker.on("message", ({ id, lengths }: Answer) => {
			this.#waiting.get(id)?.resolve(lengths);
			this.#forget(id);
		});
		this.#worker.on("error", (error) => {
			for (const { reject } of this.#waiting.values()) reject(error);
			this.#waiting.clear();
		});
	}

	get busy(): number {
		return this.#waiting.size;
	}

	run(job: Omit<Job, "id">): Promise<readonly number[]> {
		const id = this.#next++;
		// While there is an answer to come, the process has to wait for it.
		this.#worker.ref();
		return new Promise((resolve, reject) => {
			this.#waiting.set(id, { resolve, reject });
			// oxlint-disable-next-line unicorn/require-post-message-target-origin -- workers have no origins, windows do
			this.#worker.postMessage({ ...job, id } satisfies Job);
		});
	}

	#forget(id: number): void {
		this.#waiting.delete(id);
		if (this.#waiting.size === 0) this.#worker.unref();
	}
}
