import { damaged, refused, unsupported } from "../bytes/errors.js";
import type { DataExtent, HoleAware } from "../bytes/holes.js";
import { type ByteSource, checkRange, readBytes } from "../bytes/source.js";
import { array, bytes, struct, u8 } from "../bytes/struct.js";
import { number, TAR_BLOCK, TarHeader, withChecksum } from "./tar-header.js";

/** A run of data of a sparse member, in bytes; between runs there are zeros. */
export interface DataRun {
	/** Offset in the member's content. */
	readonly at: number;
	readonly length: number;
}

/** Where a sparse member's data are. */
export interface SparseMap {
	/** Bytes of content, holes included. */
	readonly size: number;
	readonly runs: readonly DataRun[];
	/** Bytes that the map itself takes at the beginning of what is stored. */
	readonly before: number;
}

/** A run for each hole of a badly fragmented disk of a terabyte. */
export const MOST_RUNS = 1 << 20;

const SparseEntry = struct("GNU sparse entry", "big", { offset: number(12), numbytes: number(12) });
/** https://www.gnu.org/software/tar/manual/html_node/Standard.html: what "struct oldgnu_header" has after its uid and gid. */
const OldGnuHeader = struct("GNU sparse header", "big", {
	unused: bytes(386),
	sp: array(SparseEntry.field, 4),
	isextended: u8,
	realsize: number(12),
	padding: bytes(17),
});
const OldGnuExtension = struct("GNU sparse extension", "big", {
	sp: array(SparseEntry.field, 21),
	isextended: u8,
	padding: bytes(7),
});

/** Size that a member of type "S" has when its holes are put back, as its header says. */
export const oldGnuRealSize = (header: Uint8Array): number => OldGnuHeader.parse(header).realsize;

/**
 * The map of a member of type "S", and the bytes that it takes in blocks of its own after the header, which do not count
 * for the size that the header states.
 *
 * @param at offset of the header
 */
export async function oldGnuSparse(
	archive: ByteSource,
	at: number,
	header: Uint8Array,
): Promise<{ map: SparseMap; length: number }> {
	const first = OldGnuHeader.parse(header, 0, archive.name, at);
	const entries = [...first.sp];
	let length = 0;
	for (let more = first.isextended; more !== 0; length += TAR_BLOCK) {
		if (entries.length > MOST_RUNS) throw tooMany(archive, at);
		const place = at + TAR_BLOCK + length;
		const extension = OldGnuExtension.parse(await readBytes(archive, place, TAR_BLOCK), 0, archive.name, place);
		entries.push(...extension.sp);
		more = extension.isextended;
	}
	// What is not used is zero; the last entry may be empty to say where the content ends.
	const runs = entries
		.filter(({ numbytes }) => numbytes > 0)
		.map(({ offset, numbytes }) => ({ at: offset, length: numbytes }));
	return { map: { size: first.realsize, runs, before: 0 }, length };
}

/** GNU's own format says "ustar", and goes on with spaces where POSIX has a version. */
const OLD_GNU = { magic: "ustar ", version: " \0" };
const FIRST_ENTRIES = 4;
const MORE_ENTRIES = 21;

/**
 * The header of a sparse file as `tar --format=oldgnu --sparse` writes it, with the blocks of its map; its runs follow, one
 * after the other, filled up to a whole block at their end.
 *
 * @param name at most 100 bytes
 * @param mtime seconds since 1970
 */
export function oldGnuSparseHeader(name: string, { size, runs }: Omit<SparseMap, "before">, mtime: number): Uint8Array {
	const stored = runs.reduce((sum, { length }) => sum + length, 0);
	const last = runs.at(-1);
	// An empty run at the end tells of a hole there.
	const ended = last !== undefined && last.at + last.length === size ? runs : [...runs, { at: size, length: 0 }];
	const entries = ended.map(({ at, length }) => ({ offset: at, numbytes: length }));
	const extensions = Math.ceil(Math.max(0, entries.length - FIRST_ENTRIES) / MORE_ENTRIES);
	const blocks = new Uint8Array((1 + extensions) * TAR_BLOCK);
	const plain = TarHeader.build({ name, mode: 0o644, size: stored, mtime, typeflag: "S", ...OLD_GNU });
	const map = OldGnuHeader.build({
		sp: entries.slice(0, FIRST_ENTRIES),
		isextended: extensions > 0 ? 1 : 0,
		realsize: size,
	});
	const unused = OldGnuHeader.offsets.sp;
	blocks.set(plain.subarray(0, unused));
	blocks.set(map.subarray(unused), unused);
	withChecksum(blocks.subarray(0, TAR_BLOCK));
	for (let i = 0; i < extensions; i++) {
		const first = FIRST_ENTRIES + i * MORE_ENTRIES;
		const sp = entries.slice(first, first + MORE_ENTRIES);
		blocks.set(OldGnuExtension.build({ sp, isextended: i + 1 < extensions ? 1 : 0 }), (1 + i) * TAR_BLOCK);
	}
	return blocks;
}

/** What pax headers say of a sparse member, in their three versions. */
export class PaxSparse {
	#major = "0";
	#size: number | undefined;
	/** Offsets and lengths in turn: versions 0.0 and 0.1. */
	readonly #numbers: number[] = [];
	/** The member's own name; the header's is made up. */
	name: string | undefined;

	/** Takes a record whose key begins with "GNU.sparse."; https://www.gnu.org/software/tar/manual/html_node/Sparse-Formats.html */
	take(archive: ByteSource, at: number, key: string, value: string): void {
		switch (key.slice("GNU.sparse.".length)) {
			case "major":
				this.#major = value;
				break;
			case "name":
				this.name = value;
				break;
			case "size":
			case "realsize":
				this.#size = decimal(archive, at, value);
				break;
			case "offset":
			case "numbytes":
				this.#numbers.push(decimal(archive, at, value));
				break;
			case "map":
				if (value !== "") for (const each of value.split(",")) this.#numbers.push(decimal(archive, at, each));
				break;
			// The number of entries, and the minor version.
			default:
				break;
		}
	}

	/** @param at where the member's content begins: in version 1 with the map, in decimal lines that fill whole blocks */
	async map(archive: ByteSource, at: number, stored: number): Promise<SparseMap> {
		if (this.#size === undefined)
			throw damaged(`${archive.name}: a sparse member without a size`, { file: archive.name, offset: at });
		if (this.#major === "0") return { size: this.#size, runs: inPairs(this.#numbers), before: 0 };
		if (this.#major === "1") return mapInContent(archive, at, stored, this.#size);
		throw unsupported(`${archive.name}: a sparse member of version ${this.#major.slice(0, 20)}`, {
			file: archive.name,
			offset: at,
			hint: "Unpack the archive (tar -xf) and name the files in it.",
		});
	}
}

async function mapInContent(archive: ByteSource, at: number, stored: number, size: number): Promise<SparseMap> {
	const numbers: number[] = [];
	let digits = "";
	let wanted = 1;
	for (let before = 0; before + TAR_BLOCK <= stored; ) {
		const block = await readBytes(archive, at + before, TAR_BLOCK);
		before += TAR_BLOCK;
		for (const byte of block) {
			if (byte !== NEWLINE) {
				digits += String.fromCharCode(byte);
				continue;
			}
			const value = decimal(archive, at + before - TAR_BLOCK, digits);
			digits = "";
			if (numbers.push(value) === 1) wanted = 1 + 2 * value;
			if (wanted > 2 * MOST_RUNS) throw tooMany(archive, at);
			if (numbers.length === wanted) return { size, runs: inPairs(numbers.slice(1)), before };
		}
		if (digits.length > TAR_BLOCK) break;
	}
	throw badMap(archive, at);
}

const NEWLINE = 0x0a;

const inPairs = (numbers: readonly number[]): DataRun[] =>
	Array.from({ length: Math.floor(numbers.length / 2) }, (_, i) => ({
		at: numbers[2 * i] ?? 0,
		length: numbers[2 * i + 1] ?? 0,
	})).filter(({ length }) => length > 0);

function decimal(archive: ByteSource, at: number, value: string): number {
	const parsed = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
	if (!Number.isSafeInteger(parsed)) throw badMap(archive, at);
	return parsed;
}

const badMap = (archive: ByteSource, offset: number) =>
	damaged(`${archive.name}: the map of the sparse member at byte ${offset} is damaged`, { file: archive.name, offset });

const tooMany = (archive: ByteSource, offset: number) =>
	refused(`${archive.name}: the sparse member at byte ${offset} has more than ${MOST_RUNS} holes`, {
		file: archive.name,
		offset,
	});

/**
 * A sparse member's content.
 *
 * @param stored its data, one run after the other
 * @throws `damaged` where the runs are not in order, or are not exactly what is stored
 */
export function sparseSource(stored: ByteSource, { size, runs }: SparseMap): HoleAware {
	const starts: number[] = [];
	let [end, length] = [0, 0];
	for (const run of runs) {
		if (run.at < end) throw badMap(stored, 0);
		starts.push(length);
		end = run.at + run.length;
		length += run.length;
	}
	if (end > size || length > stored.size) throw badMap(stored, 0);

	const source: HoleAware = {
		name: stored.name,
		size,
		async read(at, into) {
			checkRange(source, at, into.length);
			into.fill(0);
			for (let i = firstAfter(runs, at); i < runs.length; i++) {
				const run = runs[i];
				const start = starts[i];
				if (run === undefined || start === undefined || run.at >= at + into.length) return;
				const from = Math.max(at, run.at);
				const to = Math.min(at + into.length, run.at + run.length);
				await stored.read(start + from - run.at, into.subarray(from - at, to - at));
			}
		},
		async *extents() {
			let at = 0;
			for (const run of [...runs, { at: size, length: 0 }]) {
				if (run.at > at) yield hole(at, run.at);
				if (run.length > 0) yield { ...run, kind: "data" };
				at = run.at + run.length;
			}
		},
	};
	return source;
}

const hole = (at: number, end: number): DataExtent => ({ at, length: end - at, kind: "zero" });

/** The index of the first run that ends after `at`. */
function firstAfter(runs: readonly DataRun[], at: number): number {
	let [low, high] = [0, runs.length];
	while (low < high) {
		const middle = Math.floor((low + high) / 2);
		const run = runs[middle];
		if (run !== undefined && run.at + run.length <= at) low = middle + 1;
		else high = middle;
	}
	return low;
}
