import { execFileSync } from "node:child_process";
import { bytesSource } from "../../src/bytes/source.js";
import type { GuestTree } from "../../src/filesystem/tree.js";
import type { Initramfs, LinuxGuest, LinuxKernel } from "../../src/guest/guest.js";
import { readInitramfs } from "../../src/guest/initramfs/initramfs.js";
import { readModuleIndex } from "../../src/guest/linux/modules.js";

export type Compression = Initramfs["segments"][number]["compression"];

/** The commands that initramfs generators compress with. */
const compressors: Record<Exclude<Compression, "none">, readonly [string, ...string[]]> = {
	zstd: ["zstd", "-q", "-c"],
	gzip: ["gzip", "-n", "-c"],
	xz: ["xz", "--check=crc32", "-c"],
	"lz4-legacy": ["lz4", "-l", "-q", "-c"],
	bzip2: ["bzip2", "-c"],
	lzma: ["xz", "--format=lzma", "-c"],
	lzop: ["lzop", "-c"],
};
export const compressions = ["none", ...(Object.keys(compressors) as (keyof typeof compressors)[])] as const;
export const compressorNames = Object.values(compressors).map(([name]) => name);

export function compress(compression: Compression, bytes: Uint8Array): Uint8Array {
	if (compression === "none") return bytes;
	const [command, ...args] = compressors[compression];
	return new Uint8Array(execFileSync(command, args, { input: bytes, maxBuffer: 1 << 26 }));
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
	return new Uint8Array(Buffer.concat(parts));
}

/** What the guest layer reads of an initramfs. */
export async function initramfsOf(bytes: Uint8Array, version: string): Promise<Initramfs> {
	const read = await readInitramfs([{ path: "/boot/initrd", source: bytesSource(bytes, "initrd") }], version);
	if (!read) throw new Error("no initramfs");
	return read;
}

/** A kernel whose modules are at `directory` of `tree`. */
export async function kernelIn(tree: GuestTree, version: string, directory: string): Promise<LinuxKernel> {
	return {
		version,
		image: `/boot/vmlinuz-${version}`,
		modulesDirectory: directory,
		cmdline: "",
		modules: await readModuleIndex(tree, directory),
		problems: [],
	};
}

/** A guest with nothing in it but what is given. */
export function guestWith(facts: Partial<LinuxGuest>): LinuxGuest {
	return {
		system: "linux",
		id: "debian",
		version: "12",
		name: "Debian",
		arch: "x86_64",
		firmware: ["bios"],
		kernels: [],
		defaultKernel: "",
		boot: { kind: "grub2", config: "", entries: [], default: -1 },
		fstab: [],
		network: [],
		naming: { udev: 252, scheme: "v252", by: "links", links: [], rules: [], generator: false, biosdevname: false },
		generators: [],
		problems: [],
		...facts,
	};
}
