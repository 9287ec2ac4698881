import { type ByteSource, readUpTo } from "../bytes/source.js";

/** What marks a volume: bytes, given as text of one byte per character, at one of some offsets. */
interface Mark {
	readonly name: string;
	readonly magic: string;
	readonly at: (size: number) => readonly number[];
}

const at =
	(...offsets: number[]) =>
	() =>
		offsets;

/** The places of version 1.0 (8 KiB before the end) and of version 0.90 (the last whole 64 KiB), counted from the end. */
const raidAtEnd = (size: number) => [Math.floor((size - 8192) / 4096) * 4096, Math.floor(size / 65536) * 65536 - 65536];

/**
 * Magics as each format defines them; libblkid looks at the same places. LVM2 and md are documented at
 * https://docs.kernel.org/filesystems/ and https://raid.wiki.kernel.org/index.php/RAID_superblock_formats, LUKS at
 * https://gitlab.com/cryptsetup/cryptsetup/-/wikis/Specification, exFAT at
 * https://learn.microsoft.com/windows/win32/fileio/exfat-specification, ISO 9660 in ECMA-119 8.1.
 */
const marks: readonly Mark[] = [
	// First, since the member of a mirror begins like what the mirror holds.
	{ name: "a Linux RAID member", magic: "\xfc\x4e\x2b\xa9", at: (size) => [0, 4096, ...raidAtEnd(size)] },
	{ name: "LUKS1 encryption", magic: "LUKS\xba\xbe\0\x01", at: at(0) },
	{ name: "LUKS2 encryption", magic: "LUKS\xba\xbe\0\x02", at: at(0) },
	{ name: "BitLocker encryption", magic: "-FVE-FS-", at: at(3) },
	{ name: "an LVM2 physical volume", magic: "LVM2 001", at: at(24, 536, 1048, 1560) },
	{ name: "NTFS", magic: "NTFS    ", at: at(3) },
	{ name: "exFAT", magic: "EXFAT   ", at: at(3) },
	// The last ten bytes of the first page, whose size is the architecture's.
	{ name: "Linux swap", magic: "SWAPSPACE2", at: at(4086, 8182, 16374, 65526) },
	{ name: "ISO 9660", magic: "CD001", at: at(32769) },
	{ name: "SquashFS", magic: "hsqs", at: at(0) },
];

/**
 * Names what `volume` carries when it is something well known that cannot be read here, for messages such as "partition
 * 3 is XFS, which …"; `undefined` when it is nothing known, or a file system that can be read.
 */
export async function recogniseUnsupported(volume: ByteSource): Promise<string | undefined> {
	for (const { name, magic, at } of marks) {
		for (const offset of at(volume.size)) {
			if (offset < 0) continue;
			const found = await readUpTo(volume, offset, magic.length);
			if (String.fromCharCode(...found) === magic) return name;
		}
	}
	return undefined;
}
