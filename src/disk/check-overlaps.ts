/** A range of a file, in bytes. */
export interface FileRange {
	readonly at: number;
	readonly length: number;
}

/** Ranges that wait to be sorted into the others. */
const WAITING = 1 << 16;
/** 32 MiB of memory for each file. */
const MOST_RANGES = 1 << 21;

/**
 * The ranges of one file that a disk's data takes, to find those that are taken twice. Ranges that touch are kept as one;
 * what arrives out of order is sorted in now and then, so that the order costs little.
 */
export class TakenRanges {
	/** Start and end of each range; ascending, apart from each other. */
	#taken = new Float64Array();
	#waiting: { at: number; end: number }[] = [];
	#last: { at: number; end: number } | undefined;
	#complete = true;

	/** False once there were more ranges than are kept: those that came afterwards were not compared. */
	get complete(): boolean {
		return this.#complete;
	}

	/** Notes a range, and returns what turns out to be taken twice, of this range or earlier ones. */
	add({ at, length }: FileRange): FileRange[] {
		if (!this.#complete || length === 0) return [];
		if (this.#last?.end === at) {
			this.#last.end += length;
			return [];
		}
		this.#last = { at, end: at + length };
		this.#waiting.push(this.#last);
		return this.#waiting.length < Math.max(WAITING, this.#taken.length / 4) ? [] : this.settle();
	}

	/** Compares what was not compared so far; to be called once more after the last range. */
	settle(): FileRange[] {
		const waiting = this.#waiting.toSorted((a, b) => a.at - b.at);
		this.#waiting = [];
		this.#last = undefined;
		const merged = new Float64Array(this.#taken.length + waiting.length * 2);
		const twice: { at: number; end: number }[] = [];
		let count = 0;
		for (const { at, end } of inOrder(this.#taken, waiting)) {
			const reach = merged[count - 1] ?? -1;
			if (at > reach) {
				merged[count++] = at;
				merged[count++] = end;
				continue;
			}
			if (at < reach) addJoined(twice, at, Math.min(end, reach));
			merged[count - 1] = Math.max(end, reach);
		}
		this.#taken = merged.slice(0, count);
		this.#complete = count / 2 <= MOST_RANGES;
		return twice.map(({ at, end }) => ({ at, length: end - at }));
	}
}

function addJoined(ranges: { at: number; end: number }[], at: number, end: number): void {
	const last = ranges.at(-1);
	if (last !== undefined && at <= last.end) last.end = Math.max(last.end, end);
	else ranges.push({ at, end });
}

/** Two ascending lists as one. */
function* inOrder(
	taken: Float64Array,
	waiting: readonly { at: number; end: number }[],
): Generator<{ at: number; end: number }> {
	let next = 0;
	for (const range of waiting) {
		for (let at = taken[next]; at !== undefined && at <= range.at; at = taken[next]) {
			yield { at, end: taken[next + 1] ?? at };
			next += 2;
		}
		yield range;
	}
	for (; next < taken.length; next += 2) yield { at: taken[next] ?? 0, end: taken[next + 1] ?? 0 };
}
