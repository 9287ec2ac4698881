import { type ByteSource, readUpTo } from "../../../bytes/source.js";
import type { GuestTree } from "../../../filesystem/tree.js";
import { readKernelRelease } from "../kernel-image.js";
import { parseAssignments } from "../text.js";
import { type PeImage, readPe } from "./pe.js";

/**
 * A unified kernel image: kernel, initramfs and command line in one EFI program.
 * https://uapi-group.org/specifications/specs/unified_kernel_image/
 */
export interface UnifiedKernel {
	/** As `uname -r` prints it; empty where the image does not say. */
	readonly release: string;
	readonly cmdline: string;
	readonly osRelease: ReadonlyMap<string, string>;
	/** systemd-stub's version, such as `252.39-1`; empty where the program at its start is another one. */
	readonly stub: string;
	readonly signed: boolean;
	/** Absent where the kernel gets none, or gets it elsewhere. */
	readonly initrd?: ByteSource;
}

/** Bytes; what is longer is cut, as these are texts. */
const longestText = 64 * 1024;

/** `undefined` where the file is no unified kernel image. */
export async function readUnifiedKernel(file: ByteSource): Promise<UnifiedKernel | undefined> {
	const image = await readPe(file);
	const linux = image?.sections.get(".linux");
	if (!image || !linux) return undefined;
	const initrd = image.sections.get(".initrd");
	return {
		release: (await textOf(image, ".uname")).trim() || ((await readKernelRelease(linux)) ?? ""),
		cmdline: (await textOf(image, ".cmdline")).trim().replace(/\s+/g, " "),
		osRelease: parseAssignments(await textOf(image, ".osrel")),
		stub: systemdProgram(await textOf(image, ".sdmagic"), "systemd-stub"),
		signed: image.signed,
		...(initrd && { initrd }),
	};
}

/** The version of systemd-boot that an EFI program is; `undefined` where it is another one. */
export async function readSystemdBootVersion(file: ByteSource): Promise<string | undefined> {
	const image = await readPe(file);
	return (image && systemdProgram(await textOf(image, ".sdmagic"), "systemd-boot")) || undefined;
}

/** An add-on for unified kernel images; `undefined` where the file is none. */
export async function readAddOn(file: ByteSource): Promise<Pick<UnifiedKernel, "release" | "initrd"> | undefined> {
	const image = await readPe(file);
	if (!image || image.sections.has(".linux")) return undefined;
	const initrd = image.sections.get(".initrd");
	return { release: (await textOf(image, ".uname")).trim(), ...(initrd && { initrd }) };
}

/** What the kernel unpacks of a file that a boot entry names: of a unified kernel image or an add-on, the archive inside. */
export async function openInitrd(tree: GuestTree, path: string): Promise<ByteSource> {
	const file = await tree.open(path);
	return (await readPe(file))?.sections.get(".initrd") ?? file;
}

async function textOf({ sections }: PeImage, name: string): Promise<string> {
	const section = sections.get(name);
	if (!section) return "";
	return new TextDecoder().decode(await readUpTo(section, 0, longestText)).replace(/\0[^]*$/, "");
}

/** `#### LoaderInfo: systemd-stub 252.39-1~deb12u2 ####` */
const systemdProgram = (magic: string, program: string) =>
	new RegExp(`^#### LoaderInfo: ${program} (\\S+) ####`).exec(magic)?.[1] ?? "";
