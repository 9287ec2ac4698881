import { inOrder } from "../../bytes/in-order.js";
import { readBelow } from "../backing.js";
import type { Disk, Extent } from "../disk.js";
import { firstDifference } from "../first-difference.js";
import { alignedStretches } from "../sparse.js";
import { isZero } from "../zero.js";

/** Clusters `[first, end)`. */
export interface ClusterRange {
	readonly first: number;
	readonly end: number;
}

const STRETCH = 1024 * 1024;
const STRETCHES_IN_FLIGHT = 3;

/** What an image must say of `disk` that the disk below it does not. */
export class Difference {
	/** Reads as `disk`; its data extents are the clusters that differ from the disk below and are not zero. */
	readonly disk: Disk;
	/**
	 * Clusters that are zero, but not on the disk below, ascending. Those before a data extent of {@link disk} are here
	 * when it is reached; whoever has dealt with them takes them away.
	 */
	readonly zeros: ClusterRange[] = [];

	constructor(disk: Disk, below: Disk, clusterSize: number) {
		const { name, size, format, sectorSize } = disk;
		const read: Disk["read"] = (at, into) => disk.read(at, into);
		this.disk = { name, size, format, sectorSize, read, extents: () => this.#extents(disk, below, clusterSize) };
	}

	async *#extents(disk: Disk, below: Disk, clusterSize: number): AsyncGenerator<Extent> {
		const data = ascending(disk.extents(), below.extents(), disk.size);
		const stretches = alignedStretches(data, clusterSize, Math.max(clusterSize, STRETCH));
		const compared = inOrder(stretches, STRETCHES_IN_FLIGHT, async ({ at, length }) => {
			const inside = Math.min(length, disk.size - at);
			const [own, lower] = [new Uint8Array(inside), new Uint8Array(inside)];
			await Promise.all([disk.read(at, own), readBelow(below, at, lower)]);
			return { at, own, lower };
		});
		let next = 0;
		for await (const { at, own, lower } of compared) {
			for (let offset = 0; offset < own.length; offset += clusterSize) {
				const cluster = own.subarray(offset, offset + clusterSize);
				if (firstDifference(cluster, lower.subarray(offset, offset + clusterSize)) < 0) continue;
				if (isZero(cluster)) {
					this.#addZero((at + offset) / clusterSize);
					continue;
				}
				if (at + offset > next) yield { at: next, length: at + offset - next, kind: "zero" };
				yield { at: at + offset, length: cluster.length, kind: "data" };
				next = at + offset + cluster.length;
			}
		}
		if (disk.size > next) yield { at: next, length: disk.size - next, kind: "zero" };
	}

	#addZero(cluster: number): void {
		const last = this.zeros.at(-1);
		if (last?.end === cluster) this.zeros[this.zeros.length - 1] = { first: last.first, end: cluster + 1 };
		else this.zeros.push({ first: cluster, end: cluster + 1 });
	}
}

/** The data extents of two disks by where they begin, cut off at `size`. */
async function* ascending(
	one: AsyncIterable<Extent>,
	other: AsyncIterable<Extent>,
	size: number,
): AsyncGenerator<Extent> {
	const [a, b] = [one[Symbol.asyncIterator](), other[Symbol.asyncIterator]()];
	try {
		let [first, second] = [await a.next(), await b.next()];
		while (first.done !== true || second.done !== true) {
			const fromFirst = second.done === true || (first.done !== true && first.value.at <= second.value.at);
			const { value } = fromFirst ? first : second;
			if (value.kind === "data" && value.at < size) {
				yield { at: value.at, length: Math.min(value.length, size - value.at), kind: "data" };
			}
			if (fromFirst) first = await a.next();
			else second = await b.next();
		}
	} finally {
		await a.return?.();
		await b.return?.();
	}
}
