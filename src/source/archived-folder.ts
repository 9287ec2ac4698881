import { readdir, rm } from "node:fs/promises";
import path from "node:path";
import { writeZstdFrames } from "../bytes/codec/zstd-frames.js";
import type { ByteSink, OutputFolder } from "../bytes/sink.js";
import { readBytes } from "../bytes/source.js";
import { guarded } from "./failure.js";
import { type LocalFile, openFile } from "./file.js";
import { PartialFolder, partialFolder } from "./folder.js";
import { fileSink, type OutputOptions } from "./sink.js";
import { TAR_BLOCK, tarHeader } from "./tar-header.js";
import { type DataRun, MOST_RUNS, oldGnuSparseHeader } from "./tar-sparse.js";

/** `tar.zst` keeps holes; a `zip` is what every desktop unpacks, to full size. */
export type ArchiveKind = "zip" | "tar.zst";

export interface ArchiveOptions extends OutputOptions {
	/** 0 to 9 on zlib's scale. */
	readonly level?: number | undefined;
	/** What the files are dated with: seconds since 1970. */
	readonly now: number;
	readonly signal?: AbortSignal | undefined;
}

/**
 * Writes a folder that becomes an archive, `target` with the kind behind it, once all of its files are complete. The
 * archive holds the folder under its name; until then the files need their room beside it.
 *
 * @throws what {@link fileSink} throws
 */
export async function archivedFolder(
	target: string,
	kind: ArchiveKind,
	options: ArchiveOptions,
): Promise<OutputFolder> {
	const name = `${target}.${kind}`;
	// Refused before the work, where the archive could not be put in its place.
	await using archive = await fileSink(name, options);
	return new ArchivedFolder(await partialFolder(target), archive.name, kind, options);
}

class ArchivedFolder extends PartialFolder {
	readonly #kind: ArchiveKind;
	readonly #options: ArchiveOptions;

	constructor(folder: string, name: string, kind: ArchiveKind, options: ArchiveOptions) {
		super(folder, name, options.overwrite === true);
		this.#kind = kind;
		this.#options = options;
	}

	protected override async place(): Promise<void> {
		const files = await guarded("reading", this.name, () => filesBelow(this.folder));
		const root = path.basename(this.name).slice(0, -1 - this.#kind.length);
		const members = files.map((file) => ({ file: path.join(this.folder, file), name: `${root}/${file}` }));
		await using sink = await fileSink(this.name, this.#options);
		const write = this.#kind === "zip" ? writeZip : writeTar;
		await sink.commit(await write(members, sink, this.#options));
		await guarded("writing", this.name, () => rm(this.folder, { recursive: true }));
	}
}

interface Member {
	readonly file: string;
	/** In the archive. */
	readonly name: string;
}

/** With "/" between folders, in an order that does not depend on the file system. */
async function filesBelow(folder: string, below = ""): Promise<readonly string[]> {
	const found: string[] = [];
	const entries = await readdir(path.join(folder, below), { withFileTypes: true });
	for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
		const inside = below === "" ? entry.name : `${below}/${entry.name}`;
		if (entry.isDirectory()) found.push(...(await filesBelow(folder, inside)));
		else found.push(inside);
	}
	return found;
}

async function writeZip(members: readonly Member[], sink: ByteSink, options: ArchiveOptions): Promise<number> {
	const { ZipFile } = await import("yazl");
	const zip = new ZipFile();
	const output = zip.outputStream as NodeJS.ReadableStream & AsyncIterable<Buffer> & { destroy(error?: Error): void };
	zip.on("error", (error) => output.destroy(error as Error));
	const mtime = new Date(options.now * 1000);
	const level = options.level ?? 6;
	for (const { file, name } of members) {
		zip.addFile(file, name, { mtime, mode: 0o100644, compress: level > 0, compressionLevel: level });
	}
	zip.end();
	let position = 0;
	for await (const piece of output) {
		options.signal?.throwIfAborted();
		await sink.write(position, piece);
		position += piece.length;
	}
	return position;
}

/** GNU's old format, which tars of all kinds unpack with its holes. */
const writeTar = (members: readonly Member[], sink: ByteSink, { level, ...options }: ArchiveOptions) =>
	writeZstdFrames(tarPieces(members, options), sink, level);

const PIECE = 1 << 20;

async function* tarPieces(
	members: readonly Member[],
	{ now, signal }: Pick<ArchiveOptions, "now" | "signal">,
): AsyncGenerator<Uint8Array> {
	for (const { file, name } of members) {
		await using source = await openFile(file);
		const runs = await dataRuns(source);
		const whole = runs.length === 1 && runs[0]?.length === source.size;
		yield whole || source.size === 0
			? tarHeader(name, source.size, now)
			: oldGnuSparseHeader(name, { size: source.size, runs }, now);
		let stored = 0;
		for (const run of runs) {
			for (let at = run.at; at < run.at + run.length; at += PIECE) {
				signal?.throwIfAborted();
				yield await readBytes(source, at, Math.min(PIECE, run.at + run.length - at));
			}
			stored += run.length;
		}
		yield new Uint8Array((TAR_BLOCK - (stored % TAR_BLOCK)) % TAR_BLOCK);
	}
	yield new Uint8Array(2 * TAR_BLOCK);
}

/** Smaller holes are stored as the zeros that they are, and so is what is beyond {@link MOST_RUNS}. */
const SMALLEST_HOLE = 64 << 10;

async function dataRuns(source: LocalFile): Promise<readonly DataRun[]> {
	const runs: { at: number; length: number }[] = [];
	for await (const { at, length, kind } of source.extents()) {
		if (kind === "zero") continue;
		const last = runs.at(-1);
		const gap = last === undefined ? at : at - (last.at + last.length);
		if (last !== undefined && (gap < SMALLEST_HOLE || runs.length === MOST_RUNS)) last.length = at + length - last.at;
		else runs.push({ at, length });
	}
	return runs;
}
