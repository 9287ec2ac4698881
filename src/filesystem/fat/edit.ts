import { AnyvisorError, damaged, notFound, refused } from "../../bytes/errors.js";
import { inTurn } from "../../bytes/in-turn.js";
import { type ByteStore, readBytes } from "../../bytes/source.js";
import { claim } from "../claim.js";
import type { Attributes, Editor } from "../filesystem.js";
import {
	type Directory,
	dateAndTime,
	type Entry,
	parseDirectory,
	readDirectory,
	type Span,
	spansOf,
} from "./directory.js";
import type { Geometry } from "./geometry.js";
import { attribute, deleted, directoryLimit, end, entrySize, FsInfo, fsInfoSignatures, ShortEntry } from "./layout.js";
import { longEntries, makeShortName, nameProblem, sameName } from "./names.js";
import { AllocationTable } from "./table.js";

const largestFile = 2 ** 32 - 1;

/**
 * Edits a FAT volume. Of the attributes, FAT keeps only `mtime` (in steps of two seconds, from 1980 on) and whether the
 * owner may write. Data and directories are written at once, the FATs and FSInfo with `close`.
 */
export async function editFat(volume: ByteStore, geometry: Geometry): Promise<Editor> {
	const release = claim(volume);
	try {
		const table = new AllocationTable(volume, geometry);
		return new FatEditor(volume, geometry, table, await table.countFree(), release);
	} catch (error) {
		release();
		throw error;
	}
}

interface Found {
	readonly directory: Directory;
	/** The last name of the path. */
	readonly name: string;
	readonly entry: Entry | undefined;
}

class FatEditor implements Editor {
	readonly #volume: ByteStore;
	readonly #geometry: Geometry;
	readonly #table: AllocationTable;
	/** Clusters. */
	#free: number;
	/** Where to look for the next free cluster. */
	#hint = 2;
	readonly #release: () => void;
	readonly #inTurn = inTurn();

	constructor(volume: ByteStore, geometry: Geometry, table: AllocationTable, free: number, release: () => void) {
		this.#volume = volume;
		this.#geometry = geometry;
		this.#table = table;
		this.#free = free;
		this.#release = release;
	}

	writeFile(path: string, contents: Uint8Array, attributes: Attributes): Promise<void> {
		return this.#inTurn(() => this.#writeFile(path, contents, attributes));
	}

	async #writeFile(path: string, contents: Uint8Array, attributes: Attributes): Promise<void> {
		const { directory, name, entry } = await this.#find(path);
		const old = entry ? await this.#chain(this.#regular(path, entry)) : [];
		this.#checkRoom(path, contents.length, old.length, entry ? 0 : this.#growth(directory, name));
		const chain = await this.#resize(old, contents.length);
		await this.#writeData(chain, 0, contents);
		const fields = { cluster: chain[0] ?? 0, size: contents.length, mtime: attributes.mtime };
		if (entry) await this.#updateEntry(directory, entry, fields);
		else {
			const readOnly = (attributes.mode & 0o200) === 0 ? attribute.readOnly : 0;
			await this.#addEntry(directory, name, attribute.archive | readOnly, fields);
		}
	}

	appendFile(path: string, contents: Uint8Array, mtime: number): Promise<void> {
		return this.#inTurn(() => this.#appendFile(path, contents, mtime));
	}

	async #appendFile(path: string, contents: Uint8Array, mtime: number): Promise<void> {
		const { directory, entry } = await this.#find(path);
		if (!entry) throw notFound(`${this.#volume.name}:${path} does not exist`, { file: path });
		const old = await this.#chain(this.#regular(path, entry));
		if (old.length * this.#geometry.clusterSize < entry.size) {
			throw damaged(`${this.#volume.name}:${path} has ${entry.size} bytes, but its clusters end before`, {
				file: this.#volume.name,
				hint: "Repair a copy with fsck.vfat.",
			});
		}
		const size = entry.size + contents.length;
		this.#checkRoom(path, size, old.length, 0);
		const chain = await this.#resize(old, size);
		await this.#writeData(chain, entry.size, contents);
		await this.#updateEntry(directory, entry, { cluster: chain[0] ?? 0, size, mtime });
	}

	makeDirectory(path: string, attributes: Attributes): Promise<void> {
		return this.#inTurn(() => this.#makeDirectory(path, attributes));
	}

	async #makeDirectory(path: string, attributes: Attributes): Promise<void> {
		const { directory, name, entry } = await this.#find(path);
		if (entry) {
			if ((entry.attributes & attribute.directory) !== 0) return;
			throw refused(`${this.#volume.name}:${path} exists and is not a directory`, { file: path });
		}
		const { clusterSize } = this.#geometry;
		this.#checkRoom(path, clusterSize, 0, this.#growth(directory, name));
		const [cluster = 0] = await this.#resize([], clusterSize);
		const { mtime } = attributes;
		// The root is cluster 0 to its subdirectories, wherever it is.
		const parent = directory.cluster === this.#geometry.rootCluster ? 0 : directory.cluster;
		const contents = new Uint8Array(clusterSize);
		const dots: [string, number][] = [
			[".", cluster],
			["..", parent],
		];
		for (const [i, [dot, cluster]] of dots.entries()) {
			const raw = Uint8Array.from(dot.padEnd(11), (char) => char.charCodeAt(0));
			contents.set(shortEntry(raw, attribute.directory, { cluster, size: 0, mtime }), i * entrySize);
		}
		await this.#writeData([cluster], 0, contents);
		await this.#addEntry(directory, name, attribute.directory, { cluster, size: 0, mtime });
	}

	close(): Promise<void> {
		return this.#inTurn(() => this.#close());
	}

	async #close(): Promise<void> {
		try {
			await this.#table.flush();
			await this.#updateInfo();
		} finally {
			this.#release();
		}
	}

	/** FSInfo is advice about free clusters; a sector that is none is left alone. */
	async #updateInfo(): Promise<void> {
		const { infoAt } = this.#geometry;
		if (infoAt === 0) return;
		const info = FsInfo.parse(await readBytes(this.#volume, infoAt, FsInfo.size), 0, this.#volume.name, infoAt);
		if (info.leadSig !== fsInfoSignatures.leadSig || info.strucSig !== fsInfoSignatures.strucSig) return;
		await this.#volume.write(infoAt, FsInfo.build({ ...info, freeCount: this.#free, nxtFree: this.#hint }));
	}

	async #find(path: string): Promise<Found> {
		const names = path.split("/").filter((part) => part !== "");
		const name = names.pop();
		if (name === undefined) throw refused(`${this.#volume.name}: the root directory is no file`, { file: path });
		let directory = await readDirectory(this.#volume, this.#geometry, this.#table, 0);
		for (const part of names) {
			const entry = lookUp(directory, part);
			if (!entry || (entry.attributes & attribute.directory) === 0) {
				throw notFound(`${this.#volume.name}:${path}: there is no directory "${part}" on the way`, { file: path });
			}
			directory = await readDirectory(this.#volume, this.#geometry, this.#table, entry.cluster);
		}
		const entry = lookUp(directory, name);
		const problem = entry ? undefined : nameProblem(name);
		if (problem !== undefined) {
			throw refused(`${this.#volume.name}: "${name}" cannot be a file name on FAT: ${problem}`, { file: path });
		}
		return { directory, name, entry };
	}

	#regular(path: string, entry: Entry): Entry {
		if ((entry.attributes & attribute.directory) === 0) return entry;
		throw refused(`${this.#volume.name}:${path} is a directory`, { file: path });
	}

	/** All clusters of a file. */
	async #chain(entry: Entry): Promise<number[]> {
		const chain = await this.#table.chain(entry.cluster, Math.ceil(largestFile / this.#geometry.clusterSize));
		if (!chain.complete) {
			throw damaged(`${this.#volume.name}: the clusters of "${entry.name}" have no end`, {
				file: this.#volume.name,
				hint: "Repair a copy with fsck.vfat.",
			});
		}
		return chain.runs.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));
	}

	/** Refuses what cannot fit, before anything is written. */
	#checkRoom(path: string, size: number, had: number, growth: number): void {
		if (size > largestFile) {
			throw refused(`${this.#volume.name}:${path} would have ${size} bytes; FAT ends at ${largestFile}`, {
				file: path,
			});
		}
		const { clusterSize } = this.#geometry;
		const needed = Math.ceil(size / clusterSize) - had + growth;
		if (needed > this.#free) {
			throw new AnyvisorError(
				"no-space",
				`${this.#volume.name}: ${path} needs ${needed * clusterSize} more bytes, but only ${this.#free * clusterSize} are free`,
				{ file: path, hint: "Free space in the guest or enlarge this volume." },
			);
		}
	}

	/** Shortens or lengthens a chain to hold `size` bytes. */
	async #resize(chain: number[], size: number): Promise<number[]> {
		const count = Math.ceil(size / this.#geometry.clusterSize);
		const kept = chain.slice(0, count);
		for (const cluster of chain.slice(count)) await this.#table.set(cluster, 0);
		const added = await this.#table.allocate(count - kept.length, this.#hint);
		this.#free += chain.length - kept.length - added.length;
		this.#hint = added.at(-1) ?? this.#hint;
		const last = kept.at(-1);
		if (last !== undefined) await this.#table.set(last, added[0] ?? this.#table.endOfChain);
		return [...kept, ...added];
	}

	/** Writes at byte `at` of the file that the chain holds; the rest of its last cluster becomes zero. */
	async #writeData(chain: readonly number[], at: number, contents: Uint8Array): Promise<void> {
		const { clusterSize } = this.#geometry;
		const padded = new Uint8Array(Math.ceil((at + contents.length) / clusterSize) * clusterSize - at);
		padded.set(contents);
		await writeSpans(this.#volume, spansOf(this.#geometry, runsOf(chain), this.#volume.name), at, padded);
	}

	/** How many clusters a directory grows by when `name` enters it. */
	#growth(directory: Directory, name: string): number {
		const entries = this.#newEntries(directory, name, 0, { cluster: 0, size: 0, mtime: 0 });
		const place = freePlace(directory.bytes, entries.length);
		const missing = place + entries.length - directory.bytes.length;
		if (missing <= 0) return 0;
		if (directory.cluster === 0 || place + entries.length > directoryLimit) {
			throw new AnyvisorError("no-space", `${this.#volume.name}: the directory that "${name}" should be in is full`);
		}
		return Math.ceil(missing / this.#geometry.clusterSize);
	}

	async #addEntry(directory: Directory, name: string, attributes: number, fields: EntryFields): Promise<void> {
		const entries = this.#newEntries(directory, name, attributes, fields);
		const place = freePlace(directory.bytes, entries.length);
		const grown = await this.#grow(directory, this.#growth(directory, name));
		const stop = place + entries.length;
		// What lies behind the end is not specified, so that the end is marked anew where it moves.
		const marker = endOfEntries(grown.bytes) < stop && stop < grown.bytes.length ? entrySize : 0;
		const padded = new Uint8Array(entries.length + marker);
		padded.set(entries);
		await writeSpans(this.#volume, grown.spans, place, padded);
	}

	async #grow(directory: Directory, clusters: number): Promise<Directory> {
		if (clusters === 0) return directory;
		const { clusterSize } = this.#geometry;
		const chain = await this.#table.chain(directory.cluster, directory.bytes.length / clusterSize);
		const all = chain.runs.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i));
		const grown = await this.#resize(all, (all.length + clusters) * clusterSize);
		await this.#writeData(grown.slice(all.length), 0, new Uint8Array(clusters * clusterSize));
		return readDirectory(this.#volume, this.#geometry, this.#table, directory.cluster);
	}

	#newEntries(directory: Directory, name: string, attributes: number, fields: EntryFields): Uint8Array {
		const taken = parseDirectory(directory).entries.map((entry) =>
			ShortEntry.parse(directory.bytes, entry.offset).name.join(),
		);
		const { raw, exact } = makeShortName(name, (raw) => taken.includes(raw.join()));
		const long = exact ? new Uint8Array() : longEntries(name, raw);
		const entries = new Uint8Array(long.length + entrySize);
		entries.set(long);
		entries.set(shortEntry(raw, attributes, fields), long.length);
		return entries;
	}

	async #updateEntry(directory: Directory, entry: Entry, { cluster, size, mtime }: EntryFields): Promise<void> {
		const { date, time } = dateAndTime(mtime);
		const raw = ShortEntry.build({
			...ShortEntry.parse(directory.bytes, entry.offset),
			fstClusHI: Math.floor(cluster / 0x10000),
			fstClusLO: cluster % 0x10000,
			wrtDate: date,
			wrtTime: time,
			fileSize: size,
		});
		await writeSpans(this.#volume, directory.spans, entry.offset, raw);
	}
}

interface EntryFields {
	readonly cluster: number;
	readonly size: number;
	readonly mtime: number;
}

function shortEntry(raw: Uint8Array, attr: number, { cluster, size, mtime }: EntryFields): Uint8Array {
	const { date, time } = dateAndTime(mtime);
	return ShortEntry.build({
		name: raw,
		attr,
		crtTime: time,
		crtDate: date,
		lstAccDate: date,
		fstClusHI: Math.floor(cluster / 0x10000),
		wrtTime: time,
		wrtDate: date,
		fstClusLO: cluster % 0x10000,
		fileSize: size,
	});
}

function lookUp(directory: Directory, name: string): Entry | undefined {
	const { entries } = parseDirectory(directory);
	return (
		entries.find((entry) => sameName(entry.name, name)) ?? entries.find((entry) => sameName(entry.shortName, name))
	);
}

function endOfEntries(bytes: Uint8Array): number {
	let at = 0;
	while (at < bytes.length && bytes[at] !== end) at += entrySize;
	return at;
}

/** Offset of the first `length` bytes of unused entries; beyond the last entry where there are none between. */
function freePlace(bytes: Uint8Array, length: number): number {
	let start = 0;
	const stop = endOfEntries(bytes);
	for (let at = 0; at < stop; at += entrySize) {
		if (bytes[at] !== deleted) start = at + entrySize;
		else if (at + entrySize - start === length) return start;
	}
	return start;
}

function runsOf(chain: readonly number[]): { first: number; count: number }[] {
	const runs: { first: number; count: number }[] = [];
	for (const cluster of chain) {
		const run = runs.at(-1);
		if (run && run.first + run.count === cluster) run.count++;
		else runs.push({ first: cluster, count: 1 });
	}
	return runs;
}

/** What remains of `spans` without their first `skip` bytes. */
function after(spans: readonly Span[], skip: number): Span[] {
	const rest: Span[] = [];
	let left = skip;
	for (const { at, length } of spans) {
		if (left < length) rest.push({ at: at + left, length: length - left });
		left = Math.max(0, left - length);
	}
	return rest;
}

async function writeSpans(volume: ByteStore, spans: readonly Span[], at: number, bytes: Uint8Array): Promise<void> {
	let done = 0;
	for (const span of after(spans, at)) {
		if (done === bytes.length) break;
		const part = bytes.subarray(done, done + span.length);
		await volume.write(span.at, part);
		done += part.length;
	}
}
