import { crc32 } from "../bytes/checksum/index.js";
import { codec } from "../bytes/codec/index.js";
import { damaged } from "../bytes/errors.js";
import { type ByteSource, checkRange, readBytes } from "../bytes/source.js";
import { bytes, struct, u32 } from "../bytes/struct.js";

/** https://tukaani.org/xz/xz-file-format.txt sections 2.1.1, 2.1.2 and 4 */
const STREAM_HEADER = 12;
const StreamFooter = struct("xz stream footer", "little", {
	crc32: u32,
	backwardSize: u32,
	streamFlags: bytes(2),
	footerMagic: bytes(2),
});
const Crc = struct("xz index CRC", "little", { crc32: u32 });
const FOOTER_MAGIC = [0x59, 0x5a] as const;
const INDEX_INDICATOR = 0;

/** Blocks are decoded as a whole: "xz -T0" makes them of 24 MiB, at its highest level of 192 MiB. */
const LARGEST_BLOCK = 32 << 20;
const LARGEST_INDEX = 4 << 20;
/** How many decoded blocks are kept. */
const KEPT = 2;

interface Block {
	/** Offset in the file. */
	readonly at: number;
	/** Bytes in the file, without padding. */
	readonly unpadded: number;
	/** Offset in the content. */
	readonly from: number;
	/** Bytes of content. */
	readonly size: number;
}

/** To be decoded at once; what does not compress is hardly longer than its content. */
const isLarge = ({ size, unpadded }: Block) => size > LARGEST_BLOCK || unpadded > 2 * LARGEST_BLOCK;

/**
 * The content of an .xz file that was compressed in blocks, read in place: each block is decoded when a part of it is
 * needed. Undefined where there is no more than one block or a very large one, and where the file is not one plain stream.
 */
export async function openXzBlocks(source: ByteSource, name: string): Promise<ByteSource | undefined> {
	const found = await readIndex(source);
	if (found === undefined) return undefined;
	const { blocks, flags } = found;
	const last = blocks.at(-1);
	if (last === undefined || blocks.length < 2 || blocks.some(isLarge)) return undefined;

	const header = await readBytes(source, 0, STREAM_HEADER);
	// In the order of their last use: a Map iterates in the order of insertion.
	const kept = new Map<Block, Promise<Uint8Array>>();
	const decoded = (block: Block): Promise<Uint8Array> => {
		const content = kept.get(block) ?? decodeBlock(source, block, header, flags);
		kept.delete(block);
		kept.set(block, content);
		content.catch(() => kept.get(block) === content && kept.delete(block));
		if (kept.size > KEPT) for (const oldest of kept.keys()) if (kept.delete(oldest)) break;
		return content;
	};
	const content: ByteSource = {
		name,
		size: last.from + last.size,
		async read(at, into) {
			checkRange(content, at, into.length);
			for (let done = 0, index = blockAt(blocks, at); done < into.length; index++) {
				const block = blocks[index];
				if (block === undefined) throw new RangeError(`byte ${at + done} is in no block`);
				const from = at + done - block.from;
				const part = (await decoded(block)).subarray(from, from + into.length - done);
				into.set(part, done);
				done += part.length;
			}
		},
	};
	return content;
}

/** The last block that begins at `at` or before. */
function blockAt(blocks: readonly Block[], at: number): number {
	let [low, high] = [0, blocks.length - 1];
	while (low < high) {
		const middle = Math.ceil((low + high) / 2);
		if ((blocks[middle]?.from ?? 0) <= at) low = middle;
		else high = middle - 1;
	}
	return low;
}

/** Decodes one block as a stream of its own: between the file's header, and an index and footer that list only it. */
async function decodeBlock(
	source: ByteSource,
	block: Block,
	header: Uint8Array,
	flags: Uint8Array,
): Promise<Uint8Array> {
	const padded = pad(block.unpadded);
	const index = buildIndex(block);
	const footer = StreamFooter.build({
		backwardSize: index.length / 4 - 1,
		streamFlags: flags,
		footerMagic: Uint8Array.from(FOOTER_MAGIC),
	});
	footer.set(Crc.build({ crc32: crc32(footer.subarray(4, 10)) }));

	const stream = new Uint8Array(STREAM_HEADER + padded + index.length + footer.length);
	stream.set(header);
	await source.read(block.at, stream.subarray(STREAM_HEADER, STREAM_HEADER + padded));
	stream.set(index, STREAM_HEADER + padded);
	stream.set(footer, STREAM_HEADER + padded + index.length);
	const { bytes } = await codec("xz").decode(stream, { limit: block.size, file: source.name, offset: block.at });
	if (bytes.length === block.size) return bytes;
	throw damaged(
		`${source.name}: the xz block at byte ${block.at} holds ${bytes.length} bytes instead of ${block.size}`,
		{
			file: source.name,
			offset: block.at,
		},
	);
}

function buildIndex({ unpadded, size }: Block): Uint8Array {
	const fields = [INDEX_INDICATOR, ...variable(1), ...variable(unpadded), ...variable(size)];
	const index = new Uint8Array(pad(fields.length) + Crc.size);
	index.set(fields);
	const end = index.length - Crc.size;
	index.set(Crc.build({ crc32: crc32(index.subarray(0, end)) }), end);
	return index;
}

/** Undefined for what is not exactly one stream with a sound index; decoding it from its beginning tells what is wrong. */
async function readIndex(source: ByteSource): Promise<{ blocks: Block[]; flags: Uint8Array } | undefined> {
	const footerAt = source.size - StreamFooter.size;
	if (footerAt < STREAM_HEADER) return undefined;
	const raw = await readBytes(source, footerAt, StreamFooter.size);
	const footer = StreamFooter.parse(raw, 0, source.name, footerAt);
	if (FOOTER_MAGIC.some((byte, i) => footer.footerMagic[i] !== byte) || footer.crc32 !== crc32(raw.subarray(4, 10))) {
		return undefined;
	}
	const length = (footer.backwardSize + 1) * 4;
	const indexAt = footerAt - length;
	if (length > LARGEST_INDEX || indexAt < STREAM_HEADER) return undefined;
	const index = await readBytes(source, indexAt, length);
	const sum = Crc.parse(index, length - Crc.size, source.name, indexAt).crc32;
	if (sum !== crc32(index.subarray(0, length - Crc.size))) return undefined;
	const blocks = parseIndex(index.subarray(0, length - Crc.size), indexAt);
	return blocks && { blocks, flags: footer.streamFlags };
}

/** @param end where the blocks end, in the file */
function parseIndex(index: Uint8Array, end: number): Block[] | undefined {
	let at = 1;
	const next = () => {
		let value = 0;
		for (let scale = 1; scale <= 2 ** 49; scale *= 128) {
			const byte = index[at++] ?? 0;
			value += (byte & 0x7f) * scale;
			if (byte < 0x80) return value;
		}
		return Number.NaN;
	};
	if (index[0] !== INDEX_INDICATOR) return undefined;
	const count = next();
	// A record takes two bytes at least.
	if (!(count <= index.length / 2)) return undefined;
	const blocks: Block[] = [];
	let [from, start] = [0, STREAM_HEADER];
	for (let i = 0; i < count; i++) {
		const [unpadded, size] = [next(), next()];
		if (!(unpadded > 0 && start + unpadded <= end && size > 0 && Number.isSafeInteger(from + size))) return undefined;
		blocks.push({ at: start, unpadded, from, size });
		start += pad(unpadded);
		from += size;
	}
	return start === end ? blocks : undefined;
}

/** Blocks and index are filled up to multiples of four bytes. */
const pad = (length: number) => Math.ceil(length / 4) * 4;

/** A number of 7 bits a byte, lowest first: section 1.2. */
function variable(value: number): number[] {
	const groups: number[] = [];
	let rest = value;
	for (; rest >= 0x80; rest = Math.floor(rest / 128)) groups.push((rest % 128) + 0x80);
	return [...groups, rest];
}
