import { damaged } from "../../bytes/errors.js";
import type { DataExtent, HoleAware } from "../../bytes/holes.js";
import { type ByteSource, checkRange } from "../../bytes/source.js";
import { blocksOf } from "./extents.js";
import { ALL_BLOCKS, BLOCK, CLUSTER } from "./layout.js";
import type { Run, Runs } from "./runs.js";

/** A disk in a backup. */
export class BackupDevice implements HoleAware {
	readonly name: string;
	readonly size: number;
	readonly #archive: ByteSource;
	readonly #runs: Runs;

	constructor(name: string, size: number, archive: ByteSource, runs: Runs) {
		this.name = name;
		this.size = size;
		this.#archive = archive;
		this.#runs = runs;
	}

	async read(at: number, into: Uint8Array): Promise<void> {
		checkRange(this, at, into.length);
		for (let done = 0; done < into.length; ) {
			const position = at + done;
			const cluster = Math.floor(position / CLUSTER);
			const run = this.#runs.run(this.#runs.indexOf(cluster));
			if (run.count === 0 || run.cluster > cluster) throw this.#missing(cluster);
			const { length, from } = pieceOf(run, position);
			const piece = into.subarray(done, done + length);
			if (from === undefined) piece.fill(0);
			else await this.#archive.read(from, piece);
			done += piece.length;
		}
	}

	async *extents(): AsyncGenerator<DataExtent> {
		let at = 0;
		let length = 0;
		let kind: DataExtent["kind"] = "zero";
		for (const piece of this.#pieces()) {
			if (piece.kind !== kind) {
				if (length > 0) yield { at, length, kind };
				at += length;
				length = 0;
				kind = piece.kind;
			}
			length += piece.length;
		}
		if (length > 0) yield { at, length, kind };
	}

	/** What is missing may be anything: it counts as data, and reading it fails. */
	*#pieces(): Generator<Pick<DataExtent, "length" | "kind">> {
		let end = 0;
		for (let i = 0; i < this.#runs.length; i++) {
			const run = this.#runs.run(i);
			const begin = Math.min(this.size, run.cluster * CLUSTER);
			if (begin > end) yield { length: begin - end, kind: "data" };
			end = Math.min(this.size, (run.cluster + run.count) * CLUSTER);
			for (let at = begin; at < end; ) {
				const { length, from } = pieceOf(run, at);
				const inside = Math.min(length, end - at);
				yield { length: inside, kind: from === undefined ? "zero" : "data" };
				at += inside;
			}
		}
		if (this.size > end) yield { length: this.size - end, kind: "data" };
	}

	#missing(cluster: number) {
		return damaged(`${this.name} has no cluster ${cluster}: the backup is incomplete`, {
			file: this.name,
			offset: cluster * CLUSTER,
			hint: "Copy the backup again, or make a new one.",
		});
	}
}

/** How far what is alike goes on from `position` of the disk, and where it lies in the archive. */
function pieceOf({ cluster, count, mask, at }: Run, position: number): { length: number; from: number | undefined } {
	const within = position - cluster * CLUSTER;
	const whole = count * CLUSTER - within;
	if (mask === 0) return { length: whole, from: undefined };
	if (mask === ALL_BLOCKS) return { length: whole, from: at + within };
	const block = Math.floor(within / BLOCK);
	const length = BLOCK - (within % BLOCK);
	if ((mask & (1 << block)) === 0) return { length, from: undefined };
	const before = blocksOf(mask & ((1 << block) - 1));
	return { length, from: at + before * BLOCK + (within % BLOCK) };
}
