import { readUpTo } from "../../bytes/source.js";
import { bytes, struct, u8, u16 } from "../../bytes/struct.js";
import type { GuestTree } from "../../filesystem/tree.js";

/** https://refspecs.linuxfoundation.org/elf/gabi4+/ch4.eheader.html */
const elfFields = { magic: bytes(4), class: u8, data: u8, version: u8, pad: bytes(9), type: u16, machine: u16 };
const ElfLittle = struct("ELF header", "little", elfFields);
const ElfBig = struct("ELF header", "big", elfFields);
const bigEndian = 2;

const machines = new Map([
	[3, "i686"],
	[21, "ppc64"],
	[22, "s390x"],
	[40, "armv7l"],
	[62, "x86_64"],
	[183, "aarch64"],
	[243, "riscv64"],
	[258, "loongarch64"],
]);

const programs = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd", "/sbin/init", "/bin/sh", "/bin/busybox"];

/** The guest's architecture as `uname -m` calls it, from its first program; `unknown` where none can be read. */
export async function readArch(tree: GuestTree): Promise<string> {
	for (const path of programs) {
		if ((await tree.stat(path))?.type !== "file") continue;
		const head = await readUpTo(await tree.open(path), 0, ElfLittle.size);
		if (head.length < ElfLittle.size) continue;
		const { magic, data, machine } = ElfLittle.parse(head);
		if (String.fromCharCode(...magic) !== "\x7fELF") continue;
		const big = data === bigEndian;
		const name = machines.get(big ? ElfBig.parse(head).machine : machine) ?? "unknown";
		return name === "ppc64" && !big ? "ppc64le" : name;
	}
	return "unknown";
}
