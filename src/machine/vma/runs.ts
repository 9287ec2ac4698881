import { damaged, refused } from "../../bytes/errors.js";
import { ALL_BLOCKS, CLUSTER } from "./layout.js";

/** Clusters that follow each other on the disk and, where they have content, in the archive. */
export interface Run {
	/** Number of the first cluster. */
	readonly cluster: number;
	readonly count: number;
	/** Which blocks each has; in a run of several, all or none. */
	readonly mask: number;
	/** Where the first one's blocks begin in the archive. */
	readonly at: number;
}

/** Of all disks together: a TiB of data in the order of the disk is about 300,000. */
const MOST_RUNS = 16 << 20;

/** How many runs an archive still may have. */
export class Allowance {
	readonly #file: string;
	#left = MOST_RUNS;

	constructor(file: string) {
		this.#file = file;
	}

	take(): void {
		if (this.#left-- > 0) return;
		throw refused(`${this.#file} has its disks in more than ${MOST_RUNS} pieces`, {
			file: this.#file,
			hint: "Restore the backup, and make a new one.",
		});
	}
}

/** Where the clusters of one disk are, in columns: an object for each would take several times the memory. */
export class Runs {
	#cluster = new Uint32Array(1024);
	#count = new Uint32Array(1024);
	#mask = new Uint16Array(1024);
	#at = new Float64Array(1024);
	#length = 0;
	#isSorted = true;
	readonly #allowance: Allowance;

	constructor(allowance: Allowance) {
		this.#allowance = allowance;
	}

	add(cluster: number, mask: number, at: number): void {
		const last = this.#length - 1;
		if (last >= 0) {
			const { cluster: first, count, mask: before, at: start } = this.run(last);
			const follows = cluster === first + count && mask === before;
			if (follows && (mask === 0 || (mask === ALL_BLOCKS && at === start + count * CLUSTER))) {
				this.#count[last] = count + 1;
				return;
			}
			if (cluster < first + count) this.#isSorted = false;
		}
		this.#allowance.take();
		if (this.#length === this.#cluster.length) this.#grow();
		this.#cluster[this.#length] = cluster;
		this.#count[this.#length] = 1;
		this.#mask[this.#length] = mask;
		this.#at[this.#length] = at;
		this.#length++;
	}

	get length(): number {
		return this.#length;
	}

	run(index: number): Run {
		return {
			cluster: this.#cluster[index] ?? 0,
			count: this.#count[index] ?? 0,
			mask: this.#mask[index] ?? 0,
			at: this.#at[index] ?? 0,
		};
	}

	/**
	 * Puts them in the order of the disk.
	 *
	 * @throws `damaged` for a cluster that is there twice
	 */
	sort(file: string): void {
		if (this.#isSorted) return;
		const clusters = this.#cluster;
		const order = Uint32Array.from({ length: this.#length }, (_, i) => i);
		order.sort((a, b) => (clusters[a] ?? 0) - (clusters[b] ?? 0));
		this.#cluster = order.map((i) => this.#cluster[i] ?? 0);
		this.#count = order.map((i) => this.#count[i] ?? 0);
		this.#mask = Uint16Array.from(order, (i) => this.#mask[i] ?? 0);
		this.#at = Float64Array.from(order, (i) => this.#at[i] ?? 0);
		this.#isSorted = true;
		for (let i = 1; i < this.#length; i++) {
			const { cluster, count } = this.run(i - 1);
			if (cluster + count > this.run(i).cluster) throw damaged(`${file} has cluster ${cluster} twice`, { file });
		}
	}

	/** Index of the run that holds the cluster, or of the next one behind it. */
	indexOf(cluster: number): number {
		let low = 0;
		let high = this.#length;
		while (low < high) {
			const middle = (low + high) >>> 1;
			if ((this.#cluster[middle] ?? 0) + (this.#count[middle] ?? 0) <= cluster) low = middle + 1;
			else high = middle;
		}
		return low;
	}

	#grow(): void {
		const length = this.#cluster.length * 2;
		const grown = <A extends Uint32Array | Uint16Array | Float64Array>(into: A, from: A) => {
			into.set(from);
			return into;
		};
		this.#cluster = grown(new Uint32Array(length), this.#cluster);
		this.#count = grown(new Uint32Array(length), this.#count);
		this.#mask = grown(new Uint16Array(length), this.#mask);
		this.#at = grown(new Float64Array(length), this.#at);
	}
}
