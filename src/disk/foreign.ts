import type { AnyvisorError } from "../bytes/errors.js";
import { refused, unsupported } from "../bytes/errors.js";

/** Something that is often taken for a disk, and that nobody should read as a raw one. */
interface Foreign {
	/** As a person calls it; completes "… is". */
	readonly what: string;
	readonly magic: string | readonly number[];
	/** Where its magic lies in the file; at the start where left out. */
	readonly at?: number;
	/** What to do next. */
	readonly hint: string;
	readonly kind?: "refused";
}

const convert = (driver: string) => `Convert it first: qemu-img convert -f ${driver} -O qcow2.`;
const DECOMPRESS = "Decompress it first; Anyvisor needs to read a disk at any place.";
const UNLOCK = "Open it with its key on the system it comes from, and package the disk inside.";
const ARCHIVE = "Name it as the machine instead of as a disk, or unpack it first.";
const EWF = "Export it as a raw image first: ewfexport.";

const FOREIGN: readonly Foreign[] = [
	{ what: "a Bochs image", magic: "Bochs Virtual HD Image", hint: convert("bochs") },
	{ what: "a compressed loop (cloop) image", magic: "#!/bin/sh\n#V2.0 Format", hint: convert("cloop") },
	{
		what: "a Proxmox backup (VMA)",
		magic: "VMA\0",
		hint: "Extract it on a Proxmox host first, and name a disk that comes out: vma extract.",
	},
	{
		what: "an Apple sparse image (ASIF)",
		magic: "shdw",
		hint: "Convert it first on macOS: diskutil image create from --format RAW.",
	},
	{
		what: "an Apple sparse image (UDSP)",
		magic: "sprs",
		hint: "Convert it first on macOS: hdiutil convert -format UDTO.",
	},
	{
		what: "an encrypted Apple disk image",
		magic: "encrcdsa",
		hint: "Decrypt it first on macOS: hdiutil convert -format UDTO.",
		kind: "refused",
	},
	{ what: "an EnCase image", magic: [0x45, 0x56, 0x46, 0x09, 0x0d, 0x0a, 0xff], hint: EWF },
	{ what: "an EnCase image (Ex01)", magic: [0x45, 0x56, 0x46, 0x32, 0x0d, 0x0a, 0x81], hint: EWF },
	{ what: "a forensic image (AFF)", magic: "AFF10\r\n\0", hint: "Export it as a raw image first: affconvert -r." },
	{
		what: "a forensic image (AFF4)",
		magic: "container.description",
		at: 30,
		hint: "Export it as a raw image first, with the program that made it.",
	},
	{
		what: "an Acronis backup",
		magic: [0xce, 0x24, 0xb9, 0xa2, 0x20],
		hint: "Convert it to a virtual disk first, with the program that made it.",
	},
	{ what: "a Partclone image", magic: "partclone-image", hint: "Restore it to a raw image first: partclone.restore." },
	{
		what: "an Android sparse image",
		magic: [0x3a, 0xff, 0x26, 0xed],
		hint: "Convert it to a raw image first: simg2img.",
	},
	{
		what: "a Windows image of files (WIM)",
		magic: "MSWIM\0\0\0",
		hint: "Apply it to a virtual disk first, and name that disk.",
	},
	{
		what: "encrypted (LUKS)",
		magic: [0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe],
		hint: "Where the guest itself opens it, read it as the raw disk that it is: --format raw, and --key-file <file>.",
		kind: "refused",
	},
	{ what: "encrypted (BitLocker)", magic: "-FVE-FS-", at: 3, hint: UNLOCK, kind: "refused" },
	{ what: "compressed with gzip", magic: [0x1f, 0x8b, 8], hint: DECOMPRESS },
	{ what: "compressed with xz", magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], hint: DECOMPRESS },
	{ what: "compressed with zstd", magic: [0x28, 0xb5, 0x2f, 0xfd], hint: DECOMPRESS },
	{ what: "compressed with bzip2", magic: [0x31, 0x41, 0x59, 0x26, 0x53, 0x59], at: 4, hint: DECOMPRESS },
	{ what: "compressed with lz4", magic: [0x04, 0x22, 0x4d, 0x18], hint: DECOMPRESS },
	{ what: "a zip archive", magic: [0x50, 0x4b, 3, 4], hint: ARCHIVE },
	{ what: "a 7z archive", magic: [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c], hint: ARCHIVE },
	{ what: "a tar archive (perhaps an OVA)", magic: "ustar", at: 257, hint: ARCHIVE },
];

/** The error that names what a file is instead of a disk that can be read; undefined where nothing is known of it. */
export function foreignFormat(file: string, head: Uint8Array): AnyvisorError | undefined {
	const found = FOREIGN.find(({ magic, at = 0 }) => {
		const expected = typeof magic === "string" ? new TextEncoder().encode(magic) : magic;
		return expected.every((byte, i) => head[at + i] === byte);
	});
	if (found === undefined) return undefined;
	const message = `${file} is ${found.what}, which cannot be read as a disk`;
	return (found.kind === "refused" ? refused : unsupported)(message, { file, offset: 0, hint: found.hint });
}
