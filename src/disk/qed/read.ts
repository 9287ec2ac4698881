import { cached } from "../../bytes/cache.js";
import { damaged } from "../../bytes/errors.js";
import { type ByteSource, checkRange, readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import type { Disk, Neighbours } from "../disk.js";
import { holding } from "../holding.js";
import { mappedDisk, type Run } from "../mapped.js";
import { tooMuch } from "../paged-runs.js";
import { type QedHeader, readHeader } from "./header.js";
import { ENTRY_SIZE, UNALLOCATED, ZERO } from "./layout.js";

/** Bytes of a table that are read at once: tables can have up to a gigabyte. */
const PIECE = 65_536;

const HINT = "Look at it with qemu-img check, or fetch the file again.";

export function openQed(source: ByteSource, neighbours: Neighbours): Promise<Disk> {
	return holding(async (hold) => {
		const header = await readHeader(source);
		const tables = await Tables.open(source, header);
		const { backing, clusterSize, tableLength, needsCheck } = header;
		const below = backing === undefined ? undefined : hold(await neighbours.openDisk(backing.name, backing.format));
		return mappedDisk({
			name: source.name,
			size: header.size,
			format: "qed",
			sectorSize: 512,
			details: {
				clusterSize,
				tableSize: tableLength / clusterSize,
				needsCheck,
				...(backing && { backingFile: backing.name }),
				...(backing?.format !== undefined && { backingFormat: backing.format }),
			},
			below,
			runs: (start, end) => tables.runs(start, end),
		});
	});
}

/** The two levels of tables that say where each cluster lies. */
class Tables {
	readonly #source: ByteSource;
	readonly #pieces: ByteSource;
	readonly #header: QedHeader;
	/** Where the L2 tables lie. */
	readonly #l1: Float64Array;

	private constructor(source: ByteSource, header: QedHeader, l1: Float64Array) {
		this.#source = source;
		this.#pieces = cached(source, { blockSize: PIECE, blocks: 64 });
		this.#header = header;
		this.#l1 = l1;
	}

	static async open(source: ByteSource, header: QedHeader): Promise<Tables> {
		// As many entries as the disk has use for, which keeps them few whatever the table's length.
		const entries = Math.ceil(header.size / tableSpan(header));
		const view = viewOf(await readBytes(source, header.l1At, entries * ENTRY_SIZE));
		const l1 = Float64Array.from({ length: entries }, (_, i) => entryOf(view, i));
		checkL1(l1, source, header);
		return new Tables(source, header, l1);
	}

	async *runs(start: number, end: number): AsyncGenerator<Run> {
		const { clusterSize } = this.#header;
		const span = tableSpan(this.#header);
		const pieceSpan = (PIECE / ENTRY_SIZE) * clusterSize;
		let told = 0;
		for (let at = start; at < end; ) {
			const tableStart = at - (at % span);
			const table = this.#l1[Math.floor(at / span)] ?? UNALLOCATED;
			const tableEnd = Math.min(end, tableStart + span);
			if (table === UNALLOCATED) {
				yield { kind: "absent", at, length: tableEnd - at };
				at = tableEnd;
				continue;
			}
			const within = at - tableStart;
			const pieceStart = within - (within % pieceSpan);
			const pieceEnd = Math.min(tableEnd, tableStart + pieceStart + pieceSpan);
			const first = Math.floor(within / clusterSize);
			const count = Math.ceil((pieceEnd - tableStart) / clusterSize) - first;
			const entries = viewOf(await readBytes(this.#pieces, table + first * ENTRY_SIZE, count * ENTRY_SIZE));
			for (let i = 0; at < pieceEnd; i++) {
				const length = Math.min(pieceEnd, at - (at % clusterSize) + clusterSize) - at;
				const run = this.#run(entryOf(entries, i), at, length);
				if (run.kind === "data") told += length;
				if (told > this.#source.size) throw tooMuch(this.#source);
				yield run;
				at += length;
			}
		}
	}

	#run(offset: number, at: number, length: number): Run {
		if (offset === UNALLOCATED) return { kind: "absent", at, length };
		if (offset === ZERO) return { kind: "zero", at, length };
		const { clusterSize, dataAt } = this.#header;
		if (offset % clusterSize !== 0 || offset < dataAt) {
			const file = this.#source.name;
			const what = `the cluster for byte ${at} of the virtual disk cannot lie at ${offset}`;
			throw damaged(`${file}: ${what}`, { file, offset, hint: HINT });
		}
		return { kind: "data", at, length, source: this.#source, offset: offset + (at % clusterSize) };
	}
}

/** May exceed 2^53, which no file does. */
const entryOf = (table: DataView, index: number) =>
	table.getUint32(index * ENTRY_SIZE + 4, true) * 2 ** 32 + table.getUint32(index * ENTRY_SIZE, true);

/** Bytes of the disk that one L2 table describes. */
const tableSpan = ({ tableLength, clusterSize }: QedHeader) => (tableLength / ENTRY_SIZE) * clusterSize;

/** Each L1 entry must point at a table of its own inside the file, which bounds the tables by the file's size. */
function checkL1(l1: Float64Array, source: ByteSource, { clusterSize, tableLength, l1At, dataAt }: QedHeader): void {
	const file = source.name;
	let free = 0;
	for (const offset of l1.toSorted()) {
		if (offset === UNALLOCATED) continue;
		if (offset % clusterSize !== 0 || offset < Math.max(dataAt, free)) {
			throw damaged(`${file}: an L2 table cannot lie at ${offset}`, {
				file,
				offset: l1At + l1.indexOf(offset) * ENTRY_SIZE,
				hint: HINT,
			});
		}
		checkRange(source, offset, tableLength);
		free = offset + tableLength;
	}
}
