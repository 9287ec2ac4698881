import type { AnyvisorError } from "../bytes/errors.js";
import { refused, unsupported } from "../bytes/errors.js";

/** Something that is often taken for a disk, and that nobody should read as a raw one. */
interface Foreign {
	/** As a person calls it; completes "… is". */
	readonly what: string;
	/** Where its magic lies: from the start of the file, or of its last 512 bytes. */
	readonly in: "head" | "tail";
	readonly at: number;
	readonly magic: string | readonly number[];
	readonly hint: string;
	readonly kind?: "refused";
}

const convert = (driver: string) => `Convert it first: qemu-img convert -f ${driver} -O qcow2.`;
const DECOMPRESS = "Decompress it first; Anyvisor needs to read a disk at any place.";
const UNLOCK = "Open it with its key on the system it comes from, and package the disk inside.";
const ARCHIVE = "Name it as the machine instead of as a disk, or unpack it first.";

const FOREIGN: readonly Foreign[] = [
	{ what: "a QED image", in: "head", at: 0, magic: "QED\0", hint: convert("qed") },
	{ what: "a Bochs image", in: "head", at: 0, magic: "Bochs Virtual HD Image", hint: convert("bochs") },
	{
		what: "a compressed loop (cloop) image",
		in: "head",
		at: 0,
		magic: "#!/bin/sh\n#V2.0 Format",
		hint: convert("cloop"),
	},
	{ what: "an Apple disk image (dmg)", in: "tail", at: 0, magic: "koly", hint: convert("dmg") },
	{
		what: "an Apple sparse image (ASIF)",
		in: "head",
		at: 0,
		magic: "shdw",
		hint: "Convert it first on macOS: diskutil image create from --format RAW.",
	},
	{
		what: "an EnCase image",
		in: "head",
		at: 0,
		magic: [0x45, 0x56, 0x46, 0x09, 0x0d, 0x0a, 0xff],
		hint: "Export it as a raw image first: ewfexport.",
	},
	{
		what: "encrypted (LUKS)",
		in: "head",
		at: 0,
		magic: [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe],
		hint: UNLOCK,
		kind: "refused",
	},
	{ what: "encrypted (BitLocker)", in: "head", at: 3, magic: "-FVE-FS-", hint: UNLOCK, kind: "refused" },
	{ what: "compressed with gzip", in: "head", at: 0, magic: [0x1f, 0x8b, 8], hint: DECOMPRESS },
	{ what: "compressed with xz", in: "head", at: 0, magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], hint: DECOMPRESS },
	{ what: "compressed with zstd", in: "head", at: 0, magic: [0x28, 0xb5, 0x2f, 0xfd], hint: DECOMPRESS },
	{ what: "compressed with bzip2", in: "head", at: 4, magic: [0x31, 0x41, 0x59, 0x26, 0x53, 0x59], hint: DECOMPRESS },
	{ what: "compressed with lz4", in: "head", at: 0, magic: [0x04, 0x22, 0x4d, 0x18], hint: DECOMPRESS },
	{ what: "a zip archive", in: "head", at: 0, magic: [0x50, 0x4b, 3, 4], hint: ARCHIVE },
	{ what: "a 7z archive", in: "head", at: 0, magic: [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], hint: ARCHIVE },
	{ what: "a tar archive (perhaps an OVA)", in: "head", at: 257, magic: "ustar", hint: ARCHIVE },
];

/** The error that names what a file is instead of a disk that can be read; undefined where nothing is known of it. */
export function foreignFormat(file: string, head: Uint8Array, tail: Uint8Array): AnyvisorError | undefined {
	const found = FOREIGN.find((foreign) => {
		const bytes = foreign.in === "head" ? head : tail;
		const magic = typeof foreign.magic === "string" ? new TextEncoder().encode(foreign.magic) : foreign.magic;
		return magic.every((byte, i) => bytes[foreign.at + i] === byte);
	});
	if (found === undefined) return undefined;
	const message = `${file} is ${found.what}, which cannot be read as a disk`;
	return (found.kind === "refused" ? refused : unsupported)(message, { file, offset: 0, hint: found.hint });
}
