import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

const programs = "/usr/lib/systemd/boot/efi";
const read = (name: string) => {
	const file = path.join(programs, name);
	return existsSync(file) ? new Uint8Array(readFileSync(file)) : undefined;
};

/** systemd-boot's EFI program. */
export const systemdBoot = read("systemd-bootx64.efi");

/** The part of a suite's title that names the reason of a skip. */
export const systemdBootReason =
	systemdBoot === undefined ? "(skipped: systemd-boot-efi not installed; see scripts/system-packages.sh)" : "";

/** A unified kernel image as ukify makes it: systemd-stub with sections behind its own, put there by objcopy. */
export function unifiedKernel(sections: Readonly<Record<string, string | Uint8Array>>): Uint8Array {
	const folder = mkdtempSync(path.join(tmpdir(), "anyvisor-uki-"));
	try {
		let address = 0x2_0000;
		const args = Object.entries({ linux: "kernel", ...sections }).flatMap(([name, contents]) => {
			const file = path.join(folder, name);
			writeFileSync(file, contents);
			const at = address;
			address = Math.ceil((at + contents.length + 1) / 0x1000) * 0x1000;
			return ["--add-section", `.${name}=${file}`, "--change-section-vma", `.${name}=0x${at.toString(16)}`];
		});
		const image = path.join(folder, "uki.efi");
		execFileSync("objcopy", [...args, path.join(programs, "linuxx64.efi.stub"), image], { stdio: "pipe" });
		return new Uint8Array(readFileSync(image));
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}
