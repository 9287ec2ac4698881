import { damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, checkRange, readBytes } from "../../bytes/source.js";
import type { Value } from "../../bytes/struct.js";
import { childrenOf, descend, MAX_DESCRIPTOR, parseXml, textOf, type XmlElement } from "../../machine/xml-read.js";
import { BlockChunk, BlockTable, CHUNK, SECTOR, TABLE_SIGNATURE, type Trailer } from "./layout.js";

/** A run of the disk. What no chunk covers is zero. */
export interface Chunk {
	/** In bytes, on the disk. */
	readonly at: number;
	readonly length: number;
	readonly kind: "zero" | "data" | "zlib" | "bzip2" | "xz";
	/** Where it lies in the file, and how many bytes it takes there. */
	readonly offset: number;
	readonly stored: number;
}

/** Bytes of a compressed chunk; macOS makes them of 256 KiB to 1 MiB. */
const LARGEST_CHUNK = 16 << 20;

const KINDS: Readonly<Record<number, Chunk["kind"]>> = {
	[CHUNK.zero]: "zero",
	[CHUNK.ignored]: "zero",
	[CHUNK.raw]: "data",
	[CHUNK.zlib]: "zlib",
	[CHUNK.bzip2]: "bzip2",
	[CHUNK.xz]: "xz",
};
const UNREAD: Readonly<Record<number, string>> = { [CHUNK.adc]: "ADC", [CHUNK.lzfse]: "LZFSE" };

const HINT = "Convert it on macOS: hdiutil convert -format UDZO.";

/** All chunks of the disk in ascending order, none of which overlap. */
export async function readChunks(source: ByteSource, trailer: Value<typeof Trailer>): Promise<Chunk[]> {
	const file = source.name;
	const chunks: Chunk[] = [];
	for (const table of await readTables(source, trailer)) {
		const header = BlockTable.parse(table, 0, file);
		if (header.signature !== TABLE_SIGNATURE) throw damaged(`${file}: a table of blocks without its mark`, { file });
		for (let i = 0; i < header.numberOfBlockChunks; i++) {
			const entry = BlockChunk.parse(table, BlockTable.size + i * BlockChunk.size, file);
			const base = trailer.dataForkOffset + header.dataOffset;
			const chunk = chunkOf(source, entry, header.sectorNumber, base);
			if (chunk !== undefined && chunk.length > 0) chunks.push(chunk);
		}
	}
	chunks.sort((a, b) => a.at - b.at);
	const size = trailer.sectorCount * SECTOR;
	for (const [i, { at, length }] of chunks.entries()) {
		if (at + length <= (chunks[i + 1]?.at ?? size)) continue;
		throw damaged(`${file}: ${length} bytes at ${at} of the disk reach into what follows`, { file });
	}
	return chunks;
}

function chunkOf(
	source: ByteSource,
	{ entryType, sectorNumber, sectorCount, compressedOffset, compressedLength }: Value<typeof BlockChunk>,
	firstSector: number,
	base: number,
): Chunk | undefined {
	if (entryType === CHUNK.comment || entryType === CHUNK.terminator) return undefined;
	const file = source.name;
	const kind = KINDS[entryType];
	if (kind === undefined) {
		const what = UNREAD[entryType] ?? `method 0x${entryType.toString(16)}`;
		throw unsupported(`${file}: blocks compressed by ${what} are not supported`, { file, hint: HINT });
	}
	const at = (firstSector + sectorNumber) * SECTOR;
	const length = sectorCount * SECTOR;
	if (kind === "zero") return { at, length, kind, offset: 0, stored: 0 };

	const offset = base + compressedOffset;
	const wrong =
		kind === "data" ? compressedLength !== length : length > LARGEST_CHUNK || compressedLength > LARGEST_CHUNK;
	if (wrong) throw damaged(`${file}: a block of ${length} bytes that takes ${compressedLength}`, { file, offset });
	checkRange(source, offset, compressedLength);
	return { at, length, kind, offset, stored: compressedLength };
}

/** The tables that the property list has under resource-fork/blkx. */
async function readTables(source: ByteSource, trailer: Value<typeof Trailer>): Promise<Uint8Array[]> {
	const file = source.name;
	const { xmlOffset, xmlLength } = trailer;
	// One byte more than the parser takes, so that it says what is wrong with a larger one.
	const list = await readBytes(source, xmlOffset, Math.min(xmlLength, MAX_DESCRIPTOR + 1));
	// Property lists name their DTD, which the parser refuses wherever it comes from.
	const text = new TextDecoder().decode(list).replace(/<!DOCTYPE plist[^>[]*>/, "");
	const plist = await parseXml({ name: `${file}:property list`, bytes: new TextEncoder().encode(text) });
	const tables = valueOf(valueOf(descend(plist, "dict"), "resource-fork"), "blkx");
	return childrenOf(tables, "dict").map((table) => {
		const data = (textOf(valueOf(table, "Data")) ?? "").replaceAll(/\s+/g, "");
		// What is no whole base64 would make atob() throw an error of its own.
		if (data.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(data)) {
			throw damaged(`${file}: a table of blocks that is not base64`, { file, offset: xmlOffset });
		}
		return Uint8Array.from(atob(data), (char) => char.charCodeAt(0));
	});
}

/** What follows a key in a dictionary of a property list. */
function valueOf(dict: XmlElement | undefined, key: string): XmlElement | undefined {
	const children = dict?.children ?? [];
	const index = children.findIndex((child) => child.name === "key" && child.text === key);
	return index < 0 ? undefined : children[index + 1];
}
