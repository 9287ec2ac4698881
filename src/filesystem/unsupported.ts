import { cached } from "../bytes/cache.js";
import { type ByteSource, readUpTo } from "../bytes/source.js";
import { type Field, text, uuid, viewOf } from "../bytes/struct.js";

/** What is known about a volume whose contents are not read. */
export interface Recognised {
	/** For messages such as "partition 3 holds Linux swap". */
	readonly name: string;
	/** As in `/dev/disk/by-uuid`; empty where there is none, or where it is not looked for. */
	readonly uuid: string;
}

/** What marks a volume: bytes, given as text of one byte per character, at one of some offsets. */
interface Mark {
	readonly name: string;
	readonly magic: string;
	readonly at: (size: number) => readonly number[];
	/** Where its UUID stands, in bytes from the beginning. */
	readonly uuid?: { readonly at: number; readonly field: Field<string> };
}

const at =
	(...offsets: number[]) =>
	() =>
		offsets;

/** The places of version 1.0 (8 KiB before the end) and of version 0.90 (the last whole 64 KiB), counted from the end. */
const raidAtEnd = (size: number) => [Math.floor((size - 8192) / 4096) * 4096, Math.floor(size / 65536) * 65536 - 65536];

/** Where its UUID stands, in RFC 9562 byte order. */
const uuidAt = (at: number) => ({ uuid: { at, field: uuid } });

/**
 * Magics as each format defines them; libblkid looks at the same places. LVM2 and those of Linux are documented at
 * https://docs.kernel.org/filesystems/, md at https://raid.wiki.kernel.org/index.php/RAID_superblock_formats, LUKS at
 * https://gitlab.com/cryptsetup/cryptsetup/-/wikis/Specification, APFS and HFS Plus at
 * https://developer.apple.com/support/downloads/Apple-File-System-Reference.pdf and
 * https://developer.apple.com/library/archive/technotes/tn/tn1150.html, UDF in ECMA-167.
 */
const marks: readonly Mark[] = [
	// First, since the member of a mirror begins like what the mirror holds.
	{ name: "a Linux RAID member", magic: "\xfc\x4e\x2b\xa9", at: (size) => [0, 4096, ...raidAtEnd(size)] },
	{ name: "LUKS1 encryption", magic: "LUKS\xba\xbe\0\x01", at: at(0), uuid: { at: 168, field: text(40) } },
	{ name: "LUKS2 encryption", magic: "LUKS\xba\xbe\0\x02", at: at(0), uuid: { at: 168, field: text(40) } },
	{ name: "BitLocker encryption", magic: "-FVE-FS-", at: at(3) },
	{ name: "an LVM2 physical volume", magic: "LVM2 001", at: at(24, 536, 1048, 1560) },
	// The last ten bytes of the first page, whose size is the architecture's.
	{ name: "Linux swap", magic: "SWAPSPACE2", at: at(4086, 8182, 16374, 65526), uuid: { at: 1036, field: uuid } },
	// The name of the first pair in the list of names and values that describes the pool.
	{ name: "a ZFS pool member", magic: "\0\0\0\x07version\0", at: at(16404) },
	{
		name: "bcachefs",
		magic: "\xc6\x85\x73\xf6\x66\xce\x90\xa9\xd9\x6a\x60\xcf\x80\x3d\xf7\xef",
		at: at(4120),
		...uuidAt(4152),
	},
	{
		name: "a bcache device",
		magic: "\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81",
		at: at(4120),
		...uuidAt(4136),
	},
	{ name: "VMware VMFS", magic: "\x0d\xd0\x01\xc0", at: at(1 << 20) },
	{ name: "ReFS", magic: "ReFS\0\0\0\0", at: at(3) },
	{ name: "SquashFS", magic: "hsqs", at: at(0) },
	{ name: "EROFS", magic: "\xe2\xe1\xf5\xe0", at: at(1024), ...uuidAt(1072) },
	{ name: "F2FS", magic: "\x10\x20\xf5\xf2", at: at(1024), ...uuidAt(1132) },
	{ name: "JFS", magic: "JFS1", at: at(32768), ...uuidAt(32904) },
	{ name: "ReiserFS", magic: "ReIsErFs", at: at(65588) },
	{ name: "ReiserFS", magic: "ReIsEr2Fs", at: at(65588), ...uuidAt(65620) },
	{ name: "ReiserFS", magic: "ReIsEr3Fs", at: at(65588), ...uuidAt(65620) },
	// With its revision, 2.0.
	{ name: "NILFS2", magic: "\x02\0\0\0\0\0\x34\x34", at: at(1024), ...uuidAt(1176) },
	{ name: "APFS", magic: "NXSB", at: at(32), ...uuidAt(72) },
	{ name: "HFS Plus", magic: "H+\0\x04", at: at(1024) },
	{ name: "HFS Plus", magic: "HX\0\x05", at: at(1024) },
	{ name: "UFS", magic: "\x54\x19\x01\0", at: at(9564) },
	{ name: "UFS2", magic: "\x19\x01\x54\x19", at: at(66908) },
	{ name: "UDF", magic: "BEA01", at: at(32769) },
	{ name: "cramfs", magic: "\x45\x3d\xcd\x28", at: at(0) },
	// With the largest size of a file, which is always the same, before it; in version 3 with the size of blocks.
	{ name: "Minix", magic: "\0\0\0\x1c\x08\x10\x7f\x13", at: at(1034) },
	{ name: "Minix", magic: "\0\0\0\x1c\x08\x10\x8f\x13", at: at(1034) },
	{ name: "Minix", magic: "\0\0\xff\xff\xff\x7f\x68\x24", at: at(1034) },
	{ name: "Minix", magic: "\0\0\xff\xff\xff\x7f\x78\x24", at: at(1034) },
	{ name: "Minix", magic: "\x5a\x4d\0\0\0\x04", at: at(1048) },
	{ name: "Minix", magic: "\x5a\x4d\0\0\0\x10", at: at(1048) },
	// One of several that a file system lies on, which is found on another one.
	{ name: "a Btrfs device", magic: "_BHRfS_M", at: at(65536 + 64) },
];

/** What `source` carries when it is something well known that is not read; `undefined` when it is nothing known. */
export async function recogniseUnsupported(source: ByteSource): Promise<Recognised | undefined> {
	const volume = cached(source);
	for (const { name, magic, at, uuid } of marks) {
		for (const offset of at(volume.size)) {
			if (offset < 0) continue;
			const found = await readUpTo(volume, offset, magic.length);
			if (String.fromCharCode(...found) === magic) return { name, uuid: uuid ? await readUuid(volume, uuid) : "" };
		}
	}
	return undefined;
}

async function readUuid(volume: ByteSource, { at, field }: NonNullable<Mark["uuid"]>): Promise<string> {
	const bytes = await readUpTo(volume, at, field.size);
	const value = bytes.length < field.size ? "" : field.get(viewOf(bytes), 0, true).toLowerCase();
	// Nil is what an old mkswap left; a text may be anything.
	return /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(value) && /[1-9a-f]/.test(value) ? value : "";
}
