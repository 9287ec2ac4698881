import { codec } from "../../bytes/codec/index.js";
import { damaged, refused } from "../../bytes/errors.js";
import { type ByteSource, readUpTo } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import type { Initramfs } from "../guest.js";
import { cpioTrailer, directory, fileTypeMask, readCpio } from "./cpio.js";
import { type ForwardReader, sourceReader, streamReader } from "./reader.js";
import type { Rootfs } from "./rootfs.js";

export type Segment = Initramfs["segments"][number];

/** Bounds far beyond any real initramfs, so that a crafted one ends. */
const limits = {
	segments: 1000,
	entries: 200_000,
	/** Bytes, decompressed. */
	unpacked: 2 * 2 ** 30,
	/** Bytes of one file whose contents are kept. */
	file: 32 * 2 ** 20,
	/** Bytes of all that is kept: names, links, contents. */
	kept: 256 * 2 ** 20,
};

type Compression = Exclude<Segment["compression"], "none">;

/**
 * The two bytes by which the kernel knows a compression.
 * https://github.com/torvalds/linux/blob/master/lib/decompress.c, compressed_formats
 */
const magics: Readonly<Record<number, Compression>> = {
	0x1f8b: "gzip",
	0x425a: "bzip2",
	0x5d00: "lzma",
	0xfd37: "xz",
	0x894c: "lzop",
	0x0221: "lz4-legacy",
	0x28b5: "zstd",
};

/**
 * Unpacks an initramfs into `rootfs`, archive after archive, by the kernel's own rules (`unpack_to_rootfs` in
 * init/initramfs.c): zero bytes between archives are skipped, an ASCII `0` on a 4-byte boundary begins a cpio archive,
 * anything else must be a compressed one. Contents are kept where `wants` says so.
 */
export async function unpackInitramfs(
	source: ByteSource,
	rootfs: Rootfs,
	wants: (name: string) => boolean,
): Promise<readonly Segment[]> {
	const file = source.name;
	const segments: Segment[] = [];
	let entries = 0;
	let kept = 0;

	const wanted = (name: string, size: number) => {
		if (!wants(name)) return false;
		if (size > limits.file) throw tooLarge(file, `${name} of ${size} bytes`);
		return true;
	};

	/** Unpacks one archive, or all that the reader has; returns whether they hold nothing but what is early. */
	const unpack = async (reader: ForwardReader, offset: number, all: boolean) => {
		let early = true;
		for await (const entry of readCpio(reader, { file, offset, wants: wanted })) {
			kept += entry.name.length + (entry.contents?.length ?? 0);
			if (++entries > limits.entries || kept > limits.kept) throw tooLarge(file, `${entries} files or more`);
			rootfs.insert(entry);
			if (entry.name === cpioTrailer && !all) break;
			early &&= entry.name === cpioTrailer || (entry.mode & fileTypeMask) === directory || isEarly(entry.name);
		}
		return early;
	};

	let at = 0;
	for (;;) {
		const gap = sourceReader(source, at);
		const first = await gap.skipZeros();
		at += gap.at;
		if (first === undefined) return segments;
		if (segments.length === limits.segments) throw tooLarge(file, `more than ${limits.segments} archives`);

		if (first === 0x30 && at % 4 === 0) {
			const reader = sourceReader(source, at);
			const early = await unpack(reader, at, false);
			segments.push({ at, length: reader.at, compression: "none", early });
			at += reader.at;
			continue;
		}
		const compression = recogniseCompression(await readUpTo(source, at, 2), file, at);
		const decoded: AsyncGenerator<Uint8Array, number> = codec(compression).stream(source, at, { reuse: true });
		let end: number | undefined;
		/** The next piece is decoded, most often on another thread, while the one before it is read. */
		const ask = () => {
			const step = decoded.next();
			// What goes wrong is told to whoever takes it, if anybody does.
			step.catch(() => undefined);
			return step;
		};
		let asked: ReturnType<typeof ask> | undefined;
		const counted = {
			left: limits.unpacked,
			async next() {
				const step = await (asked ?? ask());
				if (step.done) end = step.value;
				else {
					asked = ask();
					this.left -= step.value.length;
					if (this.left < 0) throw tooLarge(file, `more than ${limits.unpacked} bytes once unpacked`);
				}
				return step;
			},
		};
		try {
			const reader = streamReader(counted);
			await unpack(reader, 0, true);
			if (end === undefined) {
				throw damaged(`${file}: byte ${reader.at} of what the ${compression} archive at byte ${at} holds is no cpio`, {
					file,
					offset: at,
				});
			}
		} finally {
			await decoded.return(0);
		}
		if (compression === "lz4-legacy") await checkAfterLz4(source, end);
		segments.push({ at, length: end - at, compression, early: false });
		at = end;
	}
}

const lz4LegacyMagic = 0x184c2102;

/**
 * A legacy lz4 frame has no end mark: the kernel takes what follows for its next block, unless it is four zero bytes or
 * another frame (`unlz4` in lib/decompress_unlz4.c).
 */
async function checkAfterLz4(source: ByteSource, at: number): Promise<void> {
	const next = await readUpTo(source, at, 4);
	const word = next.length < 4 ? 0 : viewOf(next).getUint32(0, true);
	if (word === 0 || word === lz4LegacyMagic) return;
	throw damaged(`${source.name}: the kernel cannot unpack what follows an lz4 archive at byte ${at}`, {
		file: source.name,
		offset: at,
	});
}

/** Where the kernel looks for microcode and ACPI tables before it unpacks anything; `early_cpio` is dracut's marker. */
const isEarly = (name: string) => name.startsWith("kernel/") || name === "early_cpio";

function recogniseCompression(head: Uint8Array, file: string, offset: number): Compression {
	const [first = 0, second = 0] = head;
	const compression = magics[first * 256 + second];
	if (compression !== undefined) return compression;
	throw damaged(`${file}: no archive that a kernel can unpack begins at byte ${offset}`, { file, offset });
}

const tooLarge = (file: string, what: string) => refused(`${file}: an initramfs with ${what} is not read`, { file });
