import { AnyvisorError } from "../../bytes/errors.js";
import { type ByteSource, readUpTo } from "../../bytes/source.js";
import type { Finding, Neighbours } from "../disk.js";
import { findParent } from "../parent.js";
import {
	type DynamicDisk,
	type FooterFields,
	footerAt,
	isDifferencing,
	parentPaths,
	readDynamicDisk,
	readFooter,
	unsupportedType,
} from "./header.js";
import {
	bitmapSize,
	DiskType,
	DynamicHeader,
	FEATURES_RESERVED,
	Footer,
	MAX_SIZE,
	NO_OFFSET,
	SECTOR,
	UNALLOCATED,
	VERSION,
} from "./layout.js";
import { parentLink } from "./read.js";

type Found = Omit<Finding, "file">;

/** Looks at the footer and its copy, the header, the block allocation table, the parent locators and the parent. */
export async function* checkVhd(source: ByteSource, neighbours: Neighbours): AsyncGenerator<Finding> {
	const file = source.name;
	for await (const found of findings(source, neighbours)) yield { ...found, file };
}

async function* findings(source: ByteSource, neighbours: Neighbours): AsyncGenerator<Found> {
	const footer = await readFooter(source);
	yield* checkFooter(footer, source);
	if (footer.diskType === DiskType.fixed) return;
	if (footer.diskType !== DiskType.dynamic && footer.diskType !== DiskType.differencing) {
		throw unsupportedType(source, footer);
	}
	yield* checkCopies(source);
	const dynamic = await readDynamicDisk(source, footer);
	yield* checkHeader(dynamic);
	yield* checkBlocks(source, dynamic);
	if (isDifferencing(footer)) yield* checkParent(source, neighbours, dynamic);
}

function* checkFooter(footer: FooterFields, source: ByteSource): Generator<Found> {
	const at = Math.max(0, source.size - Footer.size);
	const unusual = (field: keyof FooterFields, message: string): Found => ({
		severity: "warning",
		message: `the footer ${message}`,
		offset: at + Footer.offsets[field],
	});
	const { features, fileFormatVersion, savedState, currentSize, originalSize, dataOffset, diskType } = footer;
	if ((features & FEATURES_RESERVED) === 0) yield unusual("features", "lacks the feature bit that is always set");
	if (fileFormatVersion !== VERSION) yield unusual("fileFormatVersion", "has a version other than 1.0");
	if (savedState !== 0) yield unusual("savedState", "says that the machine's state was saved with the disk");
	if (currentSize % SECTOR !== 0) yield unusual("currentSize", `has ${currentSize} bytes, which are not whole sectors`);
	if (originalSize > currentSize) yield unusual("originalSize", "says that the disk was made larger than it is");
	if (currentSize > MAX_SIZE) yield unusual("currentSize", "has more than the 2040 GiB that a VHD may have");
	if (diskType === DiskType.fixed && dataOffset !== NO_OFFSET) {
		yield unusual("dataOffset", "of a fixed disk points to a header");
	}
}

/** The footer stands at the end of the file and, once more, at its beginning. */
async function* checkCopies(source: ByteSource): AsyncGenerator<Found> {
	const end = Math.max(0, source.size - Footer.size);
	const broken = (what: string, offset: number): Found => ({
		severity: "error",
		message: `${what} is damaged or missing: the other one is used`,
		offset,
	});
	const atStart = (await footerAt(source, 0)) !== undefined;
	let atEnd = end;
	for (const at of [end, end + 1]) if ((await footerAt(source, at)) !== undefined) atEnd = at;
	if (!atStart) yield broken("the copy of the footer at the beginning of the file", 0);
	if ((await footerAt(source, atEnd)) === undefined) yield broken("the footer at the end of the file", end);
	else if (atStart) {
		const first = await readUpTo(source, 0, Footer.size - 1);
		const last = await readUpTo(source, atEnd, Footer.size - 1);
		if (first.some((byte, i) => byte !== last[i])) {
			yield { severity: "warning", message: "the footer and its copy differ: the footer is used", offset: 0 };
		}
	}
}

function* checkHeader({ footer, header, blocks, bat }: DynamicDisk): Generator<Found> {
	const base = Number(footer.dataOffset);
	const at = DynamicHeader.offsets;
	const unusual = (field: keyof typeof at, message: string): Found => ({
		severity: "warning",
		message: `the dynamic disk header ${message}`,
		offset: base + at[field],
	});
	if (header.headerVersion !== VERSION) yield unusual("headerVersion", "has a version other than 1.0");
	if (header.dataOffset !== NO_OFFSET) yield unusual("dataOffset", "points to another header");
	if (header.maxTableEntries !== blocks) {
		yield unusual("maxTableEntries", `has a BAT of ${header.maxTableEntries} entries where ${blocks} are needed`);
	}
	if (overlap(header.tableOffset, bat.byteLength, base, DynamicHeader.size) || header.tableOffset < Footer.size) {
		yield { severity: "error", message: "the BAT lies over a header", offset: base + at.tableOffset };
	}
}

/** Blocks that lie over each other, over a header, over the BAT, or beyond the end of the file. */
function* checkBlocks(source: ByteSource, { footer, header, size, blocks, bat }: DynamicDisk): Generator<Found> {
	const { tableOffset, blockSize } = header;
	const whole = bitmapSize(blockSize) + blockSize;
	const structures = [
		{ what: "the copy of the footer", at: 0, length: Footer.size },
		{ what: "the dynamic disk header", at: Number(footer.dataOffset), length: DynamicHeader.size },
		{ what: "the BAT", at: tableOffset, length: blocks * 4 },
	];
	const used: number[] = [];
	for (let block = 0; block < blocks; block++) {
		const sector = bat.getUint32(block * 4);
		if (sector === UNALLOCATED) continue;
		used.push(sector);
		const at = sector * SECTOR;
		const error = (what: string): Found => ({
			severity: "error",
			message: `block ${block} at ${at} ${what}`,
			offset: tableOffset + block * 4,
		});
		for (const structure of structures) {
			if (overlap(at, whole, structure.at, structure.length)) yield error(`lies over ${structure.what}`);
		}
		const needed = bitmapSize(blockSize) + Math.min(blockSize, size - block * blockSize);
		if (at + needed > source.size) yield error(`goes on beyond the end of the file at ${source.size}`);
	}
	const sectors = Uint32Array.from(used).sort();
	for (let i = 1; i < sectors.length; i++) {
		const [before = 0, at = 0] = [sectors[i - 1], sectors[i]];
		if ((at - before) * SECTOR >= whole) continue;
		const message = `two blocks lie over each other at ${at * SECTOR}`;
		yield { severity: "error", message, offset: at * SECTOR };
	}
}

async function* checkParent(
	source: ByteSource,
	neighbours: Neighbours,
	{ footer, header }: DynamicDisk,
): AsyncGenerator<Found> {
	const base = Number(footer.dataOffset);
	for (const [i, { platformDataOffset: at, platformDataLength: length }] of header.parentLocators.entries()) {
		if (length === 0 || at + length <= source.size) continue;
		yield {
			severity: "warning",
			message: `parent locator ${i + 1} lies beyond the end of the file`,
			offset: base + DynamicHeader.offsets.parentLocators,
		};
	}
	if ((await parentPaths(source, header)).length === 0) {
		const offset = base + DynamicHeader.offsets.parentLocators;
		yield { severity: "error", message: "the disk does not name its parent", offset };
		return;
	}
	let parent: FooterFields | undefined;
	try {
		await findParent(neighbours, await parentLink(source, header, (footer) => (parent = footer)));
	} catch (error) {
		if (!(error instanceof AnyvisorError)) throw error;
		yield { severity: "error", message: error.message, offset: base + DynamicHeader.offsets.parentUniqueId };
		return;
	}
	// Hyper-V leaves the time stamp 0.
	if (parent !== undefined && header.parentTimeStamp !== 0 && parent.timeStamp > header.parentTimeStamp) {
		yield {
			severity: "warning",
			message: "the parent is newer than the differencing disk's record of it: it may have been written since",
			offset: base + DynamicHeader.offsets.parentTimeStamp,
		};
	}
}

const overlap = (at: number, length: number, from: number, size: number) => at < from + size && from < at + length;
