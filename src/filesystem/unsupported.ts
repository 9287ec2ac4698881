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

/**
 * Magics as each format defines them; libblkid looks at the same places. LVM2 and md are documented at
 * https://docs.kernel.org/filesystems/ and https://raid.wiki.kernel.org/index.php/RAID_superblock_formats, LUKS at
 * https://gitlab.com/cryptsetup/cryptsetup/-/wikis/Specification, exFAT at
 * https://learn.microsoft.com/windows/win32/fileio/exfat-specification, ISO 9660 in ECMA-119 8.1.
 */
const marks: readonly Mark[] = [
	// First, since the member of a mirror begins like what the mirror holds.
	{ name: "a Linux RAID member", magic: "\xfc\x4e\x2b\xa9", at: (size) => [0, 4096, ...raidAtEnd(size)] },
	{ name: "LUKS1 encryption", magic: "LUKS\xba\xbe\0\x01", at: at(0), uuid: { at: 168, field: text(40) } },
	{ name: "LUKS2 encryption", magic: "LUKS\xba\xbe\0\x02", at: at(0), uuid: { at: 168, field: text(40) } },
	{ name: "BitLocker encryption", magic: "-FVE-FS-", at: at(3) },
	{ name: "an LVM2 physical volume", magic: "LVM2 001", at: at(24, 536, 1048, 1560) },
	{ name: "NTFS", magic: "NTFS    ", at: at(3) },
	{ name: "exFAT", magic: "EXFAT   ", at: at(3) },
	// The last ten bytes of the first page, whose size is the architecture's.
	{ name: "Linux swap", magic: "SWAPSPACE2", at: at(4086, 8182, 16374, 65526), uuid: { at: 1036, field: uuid } },
	{ name: "ISO 9660", magic: "CD001", at: at(32769) },
	{ name: "UFS", magic: "\x54\x19\x01\0", at: at(8192 + 1372) },
	{ name: "UFS", magic: "\x19\x01\x54\x19", at: at(65536 + 1372) },
	{ name: "SquashFS", magic: "hsqs", at: at(0) },
];

/** What `volume` carries when it is something well known that is not read; `undefined` when it is nothing known. */
export async function recogniseUnsupported(volume: ByteSource): Promise<Recognised | undefined> {
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
