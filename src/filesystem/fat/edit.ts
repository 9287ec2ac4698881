import { AnyvisorError, damaged, notFound, refused, unsupported } from "../../bytes/errors.js";
import { inTurn } from "../../bytes/in-turn.js";
import { type ByteStore, readBytes } from "../../bytes/source.js";
import { claim } from "../claim.js";
import { checkReplaced } from "../edit-path.js";
import type { Attributes, Editor } from "../filesystem.js";
import { type Directory, dateAndTime, type Entry, parseDirectory, readDirectory, spansOf } from "./directory.js";
import {
	type EntryFields,
	endOfEntries,
	firstOfName,
	freePlace,
	lookUp,
	runsOf,
	shortEntry,
	writeSpans,
} from "./entries.js";
import type { Geometry } from "./geometry.js";
import { attribute, deleted, directoryLimit, entrySize, FsInfo, fsInfoSignatures, ShortEntry } from "./layout.js";
import { longEntries, makeShortName, nameProblem } from "./names.js";
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

/** A short entry with this name. */
type MakeEntry = (raw: Uint8Array) => Uint8Array;

interface Found {
	readonly directory: Directory;
	/** The first clusters of the directories on the way, that one included. */
	readonly way: readonly number[];
	/** The last name of the path. */
	readonly name: string;
	readonly entry: Entry | undefined;
}

const kindOf = ({ attributes }: Entry) => ((attributes & attribute.directory) === 0 ? "file" : "directory");

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
			await this.#addEntry(directory, name, (raw) => shortEntry(raw, attribute.archive | readOnly, fields));
		}
	}

	appendFile(path: string, contents: Uint8Array, mtime: number): Promise<void> {
		return this.#inTurn(() => this.#appendFile(path, contents, mtime));
	}

	async #appendFile(path: string, contents: Uint8Array, mtime: number): Promise<void> {
		const { directory, entry } = await this.#existing(path);
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
		const parent = this.#parentOf(directory);
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
		await this.#addEntry(directory, name, (raw) => shortEntry(raw, attribute.directory, { cluster, size: 0, mtime }));
	}

	/** What `..` says in a subdirectory: the root is cluster 0 there, wherever it is. */
	#parentOf({ cluster }: Directory): number {
		return cluster === this.#geometry.rootCluster ? 0 : cluster;
	}

	makeLink(path: string): Promise<void> {
		return Promise.reject(this.#lacks(path, "symbolic links"));
	}

	setExtendedAttribute(path: string): Promise<void> {
		return Promise.reject(this.#lacks(path, "extended attributes"));
	}

	removeExtendedAttribute(path: string): Promise<void> {
		return Promise.reject(this.#lacks(path, "extended attributes"));
	}

	#lacks(path: string, what: string): AnyvisorError {
		return unsupported(`${this.#volume.name}: FAT has no ${what}`, { file: path });
	}

	rename(from: string, to: string): Promise<void> {
		return this.#inTurn(() => this.#rename(from, to));
	}

	async #rename(from: string, to: string): Promise<void> {
		const { entry, directory: left } = await this.#existing(from);
		const { directory, way, name, entry: taken } = await this.#find(to);
		const isDirectory = kindOf(entry) === "directory";
		if (isDirectory && way.includes(entry.cluster)) {
			throw refused(`${this.#volume.name}:${from} cannot be moved into itself`, { file: from });
		}
		const fields = ShortEntry.parse(left.bytes, entry.offset);
		const itself = taken?.offset === entry.offset && left.cluster === directory.cluster;
		if (itself && taken.name === name) return;
		if (taken && !itself) {
			checkReplaced(this.#volume.name, to, kindOf(taken), kindOf(entry));
			const chain = await this.#removable(to, taken);
			// Its name stays, and with it the bits that say which parts of it are in lower case.
			const { name: raw, ntRes } = ShortEntry.parse(directory.bytes, taken.offset);
			const replaced = ShortEntry.build({ ...fields, name: raw, ntRes });
			await writeSpans(this.#volume, directory.spans, taken.offset, replaced);
			await this.#resize(chain, 0);
		} else {
			this.#checkRoom(to, 0, 0, this.#growth(directory, name));
			await this.#addEntry(directory, name, (raw) => ShortEntry.build({ ...fields, name: raw, ntRes: 0 }));
		}
		await this.#removeEntry(await readDirectory(this.#volume, this.#geometry, this.#table, left.cluster), entry);
		if (!isDirectory || left.cluster === directory.cluster) return;
		const moved = await readDirectory(this.#volume, this.#geometry, this.#table, entry.cluster);
		const parent = this.#parentOf(directory);
		const dots = ShortEntry.build({
			...ShortEntry.parse(moved.bytes, entrySize),
			fstClusHI: Math.floor(parent / 0x10000),
			fstClusLO: parent % 0x10000,
		});
		await writeSpans(this.#volume, moved.spans, entrySize, dots);
	}

	async #removeEntry(directory: Directory, entry: Entry): Promise<void> {
		for (let at = firstOfName(directory.bytes, entry.offset); at <= entry.offset; at += entrySize) {
			await writeSpans(this.#volume, directory.spans, at, Uint8Array.of(deleted));
		}
	}

	remove(path: string): Promise<void> {
		return this.#inTurn(async () => {
			const { directory, entry } = await this.#existing(path);
			const chain = await this.#removable(path, entry);
			await this.#removeEntry(directory, entry);
			await this.#resize(chain, 0);
		});
	}

	/** The clusters of what can be removed: `refused` for a directory that is not empty. */
	async #removable(path: string, entry: Entry): Promise<number[]> {
		if (kindOf(entry) === "directory") {
			const inside = await readDirectory(this.#volume, this.#geometry, this.#table, entry.cluster);
			if (parseDirectory(inside).entries.length > 0) {
				throw refused(`${this.#volume.name}:${path} is not empty`, { file: path });
			}
		}
		return this.#chain(entry);
	}

	setAttributes(path: string, { mode, uid, gid, mtime }: Partial<Attributes>): Promise<void> {
		return this.#inTurn(async () => {
			if (uid !== undefined || gid !== undefined) throw this.#lacks(path, "owners");
			const { directory, entry } = await this.#existing(path);
			const fields = ShortEntry.parse(directory.bytes, entry.offset);
			const attr = mode === undefined || mode & 0o200 ? 0 : attribute.readOnly;
			const modified = mtime === undefined ? undefined : dateAndTime(mtime);
			const raw = ShortEntry.build({
				...fields,
				...(mode !== undefined && { attr: (fields.attr & ~attribute.readOnly) | attr }),
				...(modified && { wrtDate: modified.date, wrtTime: modified.time }),
			});
			await writeSpans(this.#volume, directory.spans, entry.offset, raw);
		});
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
		const way = [directory.cluster];
		for (const part of names) {
			const entry = lookUp(directory, part);
			if (!entry || (entry.attributes & attribute.directory) === 0) {
				throw notFound(`${this.#volume.name}:${path}: there is no directory "${part}" on the way`, { file: path });
			}
			directory = await readDirectory(this.#volume, this.#geometry, this.#table, entry.cluster);
			way.push(directory.cluster);
		}
		const entry = lookUp(directory, name);
		const problem = entry ? undefined : nameProblem(name);
		if (problem !== undefined) {
			throw refused(`${this.#volume.name}: "${name}" cannot be a file name on FAT: ${problem}`, { file: path });
		}
		return { directory, way, name, entry };
	}

	async #existing(path: string): Promise<Found & { readonly entry: Entry }> {
		const { entry, ...found } = await this.#find(path);
		if (!entry) throw notFound(`${this.#volume.name}:${path} does not exist`, { file: path });
		return { ...found, entry };
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
		const entries = this.#newEntries(directory, name, () => new Uint8Array(entrySize));
		const place = freePlace(directory.bytes, entries.length);
		const missing = place + entries.length - directory.bytes.length;
		if (missing <= 0) return 0;
		if (directory.cluster === 0 || place + entries.length > directoryLimit) {
			throw new AnyvisorError("no-space", `${this.#volume.name}: the directory that "${name}" should be in is full`);
		}
		return Math.ceil(missing / this.#geometry.clusterSize);
	}

	async #addEntry(directory: Directory, name: string, make: MakeEntry): Promise<void> {
		const entries = this.#newEntries(directory, name, make);
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

	#newEntries(directory: Directory, name: string, make: MakeEntry): Uint8Array {
		const taken = parseDirectory(directory).entries.map((entry) =>
			ShortEntry.parse(directory.bytes, entry.offset).name.join(),
		);
		const { raw, exact } = makeShortName(name, (raw) => taken.includes(raw.join()));
		const long = exact ? new Uint8Array() : longEntries(name, raw);
		const entries = new Uint8Array(long.length + entrySize);
		entries.set(long);
		entries.set(make(raw), long.length);
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
