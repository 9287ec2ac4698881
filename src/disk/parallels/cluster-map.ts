import { damaged } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { cached } from "../cache.js";
import type { Run } from "../mapped.js";
import { pagedRuns } from "../paged-runs.js";
import type { HdsHeader } from "./header.js";
import { ENTRY_SIZE, Header } from "./layout.js";

/** Entries that are read together: 16 GiB in clusters of 1 MiB. */
const PAGE = 16 * 1024;
const PAGES_CACHED = 64;

/** The block allocation table of an expandable image: where each cluster lies. */
export class ClusterMap {
	readonly #source: ByteSource;
	readonly #header: HdsHeader;
	readonly #page: (index: number) => Promise<DataView>;

	constructor(source: ByteSource, header: HdsHeader) {
		this.#source = source;
		this.#header = header;
		this.#page = cached(PAGES_CACHED, async (index) => {
			const first = index * PAGE;
			const length = Math.min(PAGE, header.entries - first) * ENTRY_SIZE;
			return viewOf(await readBytes(source, Header.size + first * ENTRY_SIZE, length));
		});
	}

	/** The runs of `[start, end)`, which lies inside of the image. */
	runs(start: number, end: number): AsyncGenerator<Run> {
		return pagedRuns(start, end, {
			source: this.#source,
			span: PAGE * this.#header.clusterSize,
			page: this.#page,
			run: (page, at, stop) => this.#run(page, at, stop),
		});
	}

	#run(page: DataView, at: number, end: number): Run {
		const { clusterSize } = this.#header;
		const first = Math.floor(at / clusterSize) % PAGE;
		const start = at - (at % clusterSize);
		const entry = page.getUint32(first * ENTRY_SIZE, true);
		if (entry !== 0) return this.#data(entry, at, Math.min(start + clusterSize, end) - at);
		// Most of a large table is empty: nobody wants to hear it once for each cluster.
		const last = first + Math.ceil((end - start) / clusterSize);
		let next = first + 1;
		while (next < last && page.getUint32(next * ENTRY_SIZE, true) === 0) next++;
		return { kind: "absent", at, length: Math.min(end, start + (next - first) * clusterSize) - at };
	}

	#data(entry: number, at: number, length: number): Run {
		const { clusterSize, entryUnit } = this.#header;
		const { name, size } = this.#source;
		const cluster = Math.floor(at / clusterSize);
		const offset = entry * entryUnit + (at % clusterSize);
		if (offset + length > size) {
			throw damaged(`${name}: cluster ${cluster} is said to lie at ${entry * entryUnit}, beyond the end of the file`, {
				file: name,
				offset: Header.size + cluster * ENTRY_SIZE,
				hint: "The file was cut off or its table is damaged: fetch it again.",
			});
		}
		return { kind: "data", at, length, source: this.#source, offset };
	}
}
