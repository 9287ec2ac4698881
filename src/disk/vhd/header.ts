import { damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { type Value, viewOf } from "../../bytes/struct.js";
import { checksum, DiskType, DYNAMIC_COOKIE, DynamicHeader, Footer, MAX_GEOMETRY, Platform, SECTOR } from "./layout.js";
import { FOOTER_COOKIE } from "./mark.js";

/** Far above the 4 MiB that the largest disk needs with its usual blocks of 2 MiB. */
const BAT_LIMIT = 64 * 1024 * 1024;
/** The longest path of Windows, in bytes. */
const PATH_LIMIT = 64 * 1024;

const HINT = "Fetch the file again, or repair a copy with the hypervisor that made it.";

export type FooterFields = Value<typeof Footer>;
export type DynamicHeaderFields = Value<typeof DynamicHeader>;

/** Where footers may lie: at the end, in images from before Virtual PC 2004 a byte shorter, and at the start a copy. */
function footerPlaces({ size }: ByteSource): number[] {
	return [size - Footer.size, size - Footer.size + 1, 0].filter((at) => at >= 0);
}

/** The footer at `at`; undefined where none is, or one whose checksum is wrong. */
export async function footerAt(source: ByteSource, at: number): Promise<FooterFields | undefined> {
	const bytes = new Uint8Array(Footer.size);
	await source.read(at, bytes.subarray(0, source.size - at));
	// What is damaged may hold anything: only an intact footer is parsed.
	const field = Footer.offsets.checksum;
	if (viewOf(bytes).getUint32(field) !== checksum(bytes, field)) return undefined;
	const footer = Footer.parse(bytes, 0, source.name, at);
	return footer.cookie === FOOTER_COOKIE ? footer : undefined;
}

/**
 * The footer at the end of the file; where it is damaged or cut off, its copy at the start, which all but fixed disks
 * have.
 */
export async function readFooter(source: ByteSource): Promise<FooterFields> {
	for (const at of footerPlaces(source)) {
		const footer = await footerAt(source, at);
		if (footer !== undefined) return footer;
	}
	throw damaged(`${source.name}: its VHD footer is damaged: the checksum is wrong`, {
		file: source.name,
		offset: Math.max(0, source.size - Footer.size),
		hint: HINT,
	});
}

/**
 * The current size. Only Microsoft Virtual PC itself gave its guests what the geometry says, which is a little less;
 * Hyper-V, Azure, XenServer, VirtualBox and QEMU all mean the current size.
 */
export function sizeOf(footer: FooterFields): number {
	const { cylinders, heads, sectorsPerTrack, creatorApplication, currentSize } = footer;
	const geometry = cylinders * heads * sectorsPerTrack;
	const largest = MAX_GEOMETRY.cylinders * MAX_GEOMETRY.heads * MAX_GEOMETRY.sectorsPerTrack;
	if (creatorApplication === "vpc " && geometry > 0 && geometry < largest) return geometry * SECTOR;
	return Math.floor(currentSize / SECTOR) * SECTOR;
}

export interface DynamicDisk {
	readonly footer: FooterFields;
	readonly header: DynamicHeaderFields;
	/** Of the virtual disk, in bytes. */
	readonly size: number;
	/** How many blocks the disk has; the BAT may have more entries. */
	readonly blocks: number;
	readonly bat: DataView;
}

/** The dynamic disk header and the block allocation table of a disk that is not fixed. */
export async function readDynamicDisk(source: ByteSource, footer: FooterFields): Promise<DynamicDisk> {
	const file = source.name;
	const size = sizeOf(footer);
	const base = Number(footer.dataOffset);
	const bytes = await readBytes(source, base, DynamicHeader.size);
	const header = DynamicHeader.parse(bytes, 0, file, base);
	const at = DynamicHeader.offsets;
	const fail = (offset: number, message: string) =>
		damaged(`${file}: ${message}`, { file, offset: base + offset, hint: HINT });

	if (header.cookie !== DYNAMIC_COOKIE) throw fail(at.cookie, "the dynamic disk header is missing");
	if (header.checksum !== checksum(bytes, at.checksum)) {
		throw fail(at.checksum, "the dynamic disk header's checksum is wrong");
	}
	const { blockSize } = header;
	// A power of two divides 2^31; a block smaller than a sector cannot have a bitmap.
	if (blockSize < SECTOR || 2 ** 31 % blockSize !== 0) throw fail(at.blockSize, `blocks of ${blockSize} bytes`);
	const blocks = Math.ceil(size / blockSize);
	if (header.maxTableEntries < blocks) {
		throw fail(at.maxTableEntries, `the BAT has ${header.maxTableEntries} entries, but ${size} bytes need ${blocks}`);
	}
	if (blocks * 4 > BAT_LIMIT) throw fail(at.blockSize, `${size} bytes in blocks of ${blockSize} are too many`);
	return { footer, header, size, blocks, bat: viewOf(await readBytes(source, header.tableOffset, blocks * 4)) };
}

export function unsupportedType({ name }: ByteSource, { diskType }: FooterFields): Error {
	return unsupported(`${name}: VHD type ${diskType} is not supported`, {
		file: name,
		hint: "Convert it to a dynamic VHD with the hypervisor that made it.",
	});
}

/** Paths of a differencing disk's parent, as the disk has them: relative ones first. */
export async function parentPaths(source: ByteSource, header: DynamicHeaderFields): Promise<string[]> {
	const found = new Map<string, string>();
	for (const { platformCode, platformDataOffset: at, platformDataLength: length } of header.parentLocators) {
		// A locator that leads nowhere is no loss as long as another one does not.
		if (length === 0 || length > PATH_LIMIT || at + length > source.size) continue;
		const path = decodePath(platformCode, await readBytes(source, at, length));
		if (path !== undefined) found.set(platformCode, path);
	}
	const { relative, absolute, url } = Platform;
	const paths = [found.get(relative), found.get(absolute), header.parentUnicodeName, found.get(url)];
	return paths.filter((path): path is string => path !== undefined && path !== "");
}

function decodePath(platformCode: string, bytes: Uint8Array): string | undefined {
	switch (platformCode) {
		case Platform.relative:
		case Platform.absolute:
			return beforeNul(new TextDecoder("utf-16le").decode(bytes));
		case Platform.url:
			return decodeUrl(beforeNul(new TextDecoder().decode(bytes)));
		default:
			return undefined;
	}
}

function decodeUrl(url: string): string {
	try {
		return decodeURIComponent(url);
	} catch {
		// A stray "%": then it is part of the name.
		return url;
	}
}

const beforeNul = (text: string) => text.split("\0", 1)[0] ?? "";

export const isDifferencing = ({ diskType }: FooterFields) => diskType === DiskType.differencing;
