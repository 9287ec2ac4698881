// What building any guest needs: the kernel it is made from, tools that are run quietly, and a cache outside the checkout.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
	closeSync,
	existsSync,
	ftruncateSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	readdirSync,
	readFileSync,
	readSync,
	renameSync,
	rmSync,
	statfsSync,
	writeFileSync,
	writeSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import path from "node:path";

export const MiB = 1024 * 1024;
export const SECTOR = 512;
process.env.PATH += ":/usr/sbin:/sbin";

/** The newest kernel that is installed here with its modules. */
export const kernel = readdirSync("/lib/modules")
	.filter((version) => existsSync(`/boot/vmlinuz-${version}`))
	.sort((a, b) => a.localeCompare(b, "en", { numeric: true }))
	.at(-1);
if (kernel === undefined) {
	console.error("No kernel in /boot with modules in /lib/modules: run scripts/system-packages.sh first.");
	process.exit(1);
}

export const cache = path.join(process.env.XDG_CACHE_HOME ?? path.join(homedir(), ".cache"), "anyvisor", "guests");

/** The key under which something is cached that is made of these values and files. */
export function keyOf(values, files) {
	const key = createHash("sha256").update(JSON.stringify(values)).update(readFileSync("/usr/lib/os-release"));
	for (const file of files) key.update(path.basename(file)).update(readFileSync(file));
	return key.digest("hex").slice(0, 16);
}

/** A folder that disappears when the program ends; in memory where there is enough of it, since mounts are synced. */
export function workFolder() {
	const memory = process.env.TMPDIR ? undefined : "/dev/shm";
	const room = memory && existsSync(memory) ? statfsSync(memory) : { bavail: 0, bsize: 0 };
	const parent = memory && room.bavail * room.bsize > 2048 * MiB ? memory : tmpdir();
	const work = mkdtempSync(path.join(parent, "anyvisor-guest-"));
	process.on("exit", () => rmSync(work, { recursive: true, force: true }));
	for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(130));
	return work;
}

/** Runs a tool quietly; its output is shown only when it fails. */
export function run(command, args, options = {}) {
	const { status, error, stdout, stderr } = spawnSync(command, args, { maxBuffer: 64 * MiB, ...options });
	if (error) throw error;
	if (status !== 0) throw new Error(`${command} ${args.join(" ")}\n${stdout}${stderr}`);
	return stdout;
}

/** Files of packages that are unpacked, not installed, because they would want to own the host's boot. */
export function unpacked(name, packages, folder) {
	const cached = path.join(cache, name);
	if (existsSync(cached)) return cached;
	mkdirSync(cache, { recursive: true });
	const work = mkdtempSync(path.join(cache, "packages-"));
	// apt's own user may not read a private folder; as root it then warns and goes on.
	run("apt-get", ["download", "-q", ...packages], { cwd: work });
	for (const file of readdirSync(work)) run("dpkg-deb", ["-x", path.join(work, file), path.join(work, "files")]);
	try {
		renameSync(path.join(work, "files", folder), cached);
	} catch (error) {
		// Somebody else was faster.
		if (!existsSync(cached)) throw error;
	}
	rmSync(work, { recursive: true, force: true });
	return cached;
}

export const grubFiles = () => unpacked("grub", ["grub-pc-bin", "grub-efi-amd64-bin"], "usr/lib/grub");

export function makeFile(name, size) {
	const file = openSync(name, "wx");
	ftruncateSync(file, size);
	closeSync(file);
}

/** Writes text files below a folder: path to content. */
export function writeFiles(folder, files) {
	for (const [name, text] of Object.entries(files)) {
		mkdirSync(path.join(folder, path.dirname(name)), { recursive: true });
		writeFileSync(path.join(folder, name), text);
	}
}

export function copySparse(from, into, at) {
	const source = openSync(from, "r");
	const chunk = Buffer.alloc(MiB);
	const zeros = Buffer.alloc(MiB);
	for (let offset = 0; ; ) {
		const length = readSync(source, chunk, 0, MiB, offset);
		if (length === 0) break;
		const data = chunk.subarray(0, length);
		if (!data.equals(zeros.subarray(0, length))) writeSync(into, data, 0, length, at + offset);
		offset += length;
	}
	closeSync(source);
}

/**
 * GRUB for a BIOS: its first sector, and its core in a partition of its own, as grub-bios-setup would put them. `early`
 * is the script that finds the real configuration; `sectors` of the core partition begin at sector `at`.
 */
export function embedGrub(file, work, { at, early, prefix, modules }) {
	const grub = grubFiles();
	const [script, core] = [path.join(work, "early-bios.cfg"), path.join(work, "core.img")];
	writeFileSync(script, early);
	const target = ["-d", `${grub}/i386-pc`, "-O", "i386-pc"];
	run("grub-mkimage", [...target, "-o", core, "-p", prefix, "-c", script, "biosdisk", ...modules]);
	const boot = readFileSync(`${grub}/i386-pc/boot.img`);
	const coreBytes = readFileSync(core);
	const coreSectors = Math.ceil(coreBytes.length / SECTOR);
	// The block list at the end of core.img's first sector: where the rest lies, how long it is, and its load segment.
	coreBytes.writeBigUInt64LE(BigInt(at + 1), 0x1f4);
	coreBytes.writeUInt16LE(coreSectors - 1, 0x1fc);
	coreBytes.writeUInt16LE(0x820, 0x1fe);
	// boot.img: sector of core.img; the BIOS's boot drive; no floppy check.
	boot.writeBigUInt64LE(BigInt(at), 0x5c);
	boot[0x64] = 0xff;
	boot.fill(0x90, 0x66, 0x68);
	writeSync(file, boot, 0, 0x1b8, 0);
	writeSync(file, coreBytes, 0, coreBytes.length, at * SECTOR);
}

/** GRUB as one EFI program. */
export function grubProgram(work, { early, prefix, modules }) {
	const [script, program] = [path.join(work, "early-efi.cfg"), path.join(work, "grubx64.efi")];
	writeFileSync(script, early);
	const target = ["-d", `${grubFiles()}/x86_64-efi`, "-O", "x86_64-efi"];
	run("grub-mkimage", [...target, "-o", program, "-p", prefix, "-c", script, ...modules, "efi_gop", "efi_uga"]);
	return program;
}
