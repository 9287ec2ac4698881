import { damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import type { Value } from "../../bytes/struct.js";
import type { Disk } from "../disk.js";
import { mappedDisk, type Run } from "../mapped.js";
import { type Chunk, readChunks } from "./chunks.js";
import { SECTOR, Trailer } from "./layout.js";

/** Opens an image of one file whose blocks are plain, or compressed by zlib, bzip2 or LZMA. */
export async function openDmg(source: ByteSource): Promise<Disk> {
	const trailer = await readTrailer(source);
	const chunks = await readChunks(source, trailer);
	const compressed = new Set(chunks.map(({ kind }) => kind).filter((kind) => kind !== "zero" && kind !== "data"));
	return mappedDisk({
		name: source.name,
		size: trailer.sectorCount * SECTOR,
		format: "dmg",
		sectorSize: SECTOR,
		details: { blocks: chunks.length, compression: compressed.size === 0 ? "none" : [...compressed].join(", ") },
		runs: (start, end) => runsOf(source, chunks, start, end),
	});
}

async function readTrailer(source: ByteSource): Promise<Value<typeof Trailer>> {
	const file = source.name;
	const offset = Math.max(0, source.size - Trailer.size);
	const trailer = Trailer.parse(await readBytes(source, offset, Trailer.size), 0, file, offset);
	if (!Number.isSafeInteger(trailer.sectorCount * SECTOR)) {
		throw damaged(`${file}: a disk of ${trailer.sectorCount} sectors`, { file, offset });
	}
	if (trailer.segmentCount > 1 || trailer.xmlLength === 0) {
		const what = trailer.xmlLength === 0 ? "without a property list" : `in ${trailer.segmentCount} files`;
		throw unsupported(`${file}: a disk image ${what} is not supported`, {
			file,
			offset,
			hint: "Convert it on macOS: hdiutil convert -format UDZO.",
		});
	}
	return trailer;
}

async function* runsOf(source: ByteSource, chunks: readonly Chunk[], start: number, end: number): AsyncGenerator<Run> {
	let at = start;
	for (let i = firstAfter(chunks, start); at < end; i++) {
		const chunk = chunks[i];
		const next = Math.min(end, chunk?.at ?? end);
		if (next > at) yield { kind: "zero", at, length: next - at };
		at = Math.max(at, next);
		if (chunk === undefined || at === end) return;
		const length = Math.min(end, chunk.at + chunk.length) - at;
		yield runIn(source, chunk, at, length);
		at += length;
	}
}

function runIn(source: ByteSource, chunk: Chunk, at: number, length: number): Run {
	const { kind, offset, stored } = chunk;
	if (kind === "zero") return { kind, at, length };
	if (kind === "data") return { kind, at, length, source, offset: offset + at - chunk.at };
	const unit = { at: chunk.at, length: chunk.length };
	return { kind: "compressed", at, length, source, offset, stored, codec: kind, unit };
}

/** The index of the first chunk that ends after `at`. */
function firstAfter(chunks: readonly Chunk[], at: number): number {
	let low = 0;
	let high = chunks.length;
	while (low < high) {
		const middle = Math.floor((low + high) / 2);
		const chunk = chunks[middle];
		if (chunk !== undefined && chunk.at + chunk.length <= at) low = middle + 1;
		else high = middle;
	}
	return low;
}
