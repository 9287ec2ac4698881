import { chmod, copyFile, mkdir, open, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { exitCodes } from "../../src/cli/exit-codes.js";
import { guestTools, testGuest } from "../support/guests.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { anyvisor } from "./support.js";

const MiB = 2 ** 20;

it("docs/exit-codes.md lists exactly the exit codes there are", async () => {
	const text = await readFile("docs/exit-codes.md", "utf8");
	const listed = [...text.matchAll(/^\| (\d+) \| ([\w-]+) \|/gm)].map(([, code, kind]) => [kind, Number(code)]);
	expect(listed).toEqual(Object.entries(exitCodes));
});

describe("bad input ends with its own exit code, a next step, and no output", () => {
	let folder = "";
	beforeAll(async () => {
		folder = await temporaryFolder();
	});

	/** Packs `file`, expects failure, and that the folder holds what it held before. */
	async function packFails(file: string, uid?: number) {
		const before = await readdir(folder);
		const ended = await anyvisor(["pack", file, "-o", path.join(folder, "out.ova")], uid === undefined ? {} : { uid });
		expect(await readdir(folder)).toEqual(before);
		expect(ended.stderr).toMatch(/^anyvisor: /);
		expect(ended.stderr).toMatch(/\n {2}Next: \S/);
		expect(ended.stdout).toBe("");
		return ended;
	}

	async function make(name: string, contents: Uint8Array | string): Promise<string> {
		const file = path.join(folder, name);
		await writeFile(file, contents);
		return file;
	}

	it("a file that is not there", async () => {
		const { code, stderr } = await packFails(path.join(folder, "nothing.raw"));
		expect(code).toBe(exitCodes["not-found"]);
		expect(stderr).toContain("nothing.raw");
	});

	it("an empty file", async () => {
		expect((await packFails(await make("empty.qcow2", ""))).code).toBe(exitCodes.damaged);
	});

	it("a file that is not a disk", async () => {
		const { code, stderr } = await packFails(await make("letter.txt", "Dear Sir or Madam,\n".repeat(99)));
		expect(code).toBe(exitCodes.unsupported);
		expect(stderr).toContain("letter.txt");
	});

	it("a disk without a known guest", async () => {
		const { code, stderr } = await packFails(await make("blank.raw", new Uint8Array(4 * MiB)));
		expect(code).toBe(exitCodes.unsupported);
		expect(stderr).toContain("No operating system");
	});

	it("an encrypted disk", async () => {
		const luks = new Uint8Array(4 * MiB);
		luks.set(new TextEncoder().encode("LUKS\xba\xbe").subarray(0, 4));
		luks.set([0x4c, 0x55, 0x4b, 0x53, 0xba, 0xbe, 0, 2]);
		const { code, stderr } = await packFails(await make("secret.raw", luks));
		expect(code).toBe(exitCodes.refused);
		expect(stderr).toMatch(/encrypted/i);
	});

	it.skipIf(missing("mkfs.vfat", "mmd"))(`a Windows guest is named ${because("mkfs.vfat", "mmd")}`, async () => {
		const file = await make("windows.raw", new Uint8Array(8 * MiB));
		await run("mkfs.vfat", file);
		await run("mmd", "-i", file, "::EFI", "::EFI/Microsoft", "::EFI/Microsoft/Boot");
		await run("mcopy", "-i", file, "package.json", "::EFI/Microsoft/Boot/bootmgfw.efi");
		const { code, stderr } = await packFails(file);
		expect(code).toBe(exitCodes.unsupported);
		expect(stderr).toContain("Windows guest");
	});

	it.skipIf(missing("qemu-img"))(`a truncated image names the file and the offset ${because("qemu-img")}`, async () => {
		const file = path.join(folder, "cut.vhdx");
		await run("qemu-img", "create", "-q", "-f", "vhdx", file, "64M");
		await truncate(file, 3 * MiB);
		const { code, stderr } = await packFails(file);
		expect(code).toBe(exitCodes.damaged);
		expect(stderr).toContain("cut.vhdx");
		expect(stderr).toMatch(/At: .*byte \d+ \(0x/);
	});

	it.skipIf(process.getuid?.() !== 0)(
		`a file that may not be read ${process.getuid?.() === 0 ? "" : "(skipped: has to run as root to become somebody else)"}`,
		async () => {
			const file = await make("private.raw", new Uint8Array(MiB));
			await chmod(file, 0o600);
			await chmod(folder, 0o755);
			expect((await packFails(file, 65_534)).code).toBe(exitCodes.permission);
		},
	);

	it.each([
		[["pack"], "missing required argument"],
		[["pack", "a.raw"], "-o"],
		[["inspct", "a.raw"], "inspect"],
		[["inspect", "a.raw", "--for", "vmwear"], "vmware"],
		[["expand", "a.raw", "--for", "kvm"], "-o"],
		[["convert", "a.raw", "b.xyz"], "--to"],
		[["convert", "a.raw", "b.qcow2", "--level", "11"], "0 to 9"],
		[["inspect", "a.raw", "--models", "missing.json"], "missing.json"],
	])("%j is a usage error that says how", async (args, hint) => {
		const { code, stderr } = await anyvisor(args);
		expect(code, stderr).toBe(exitCodes.usage);
		expect(stderr).toContain(hint);
	});
});

describe.skipIf(missing(...guestTools))(`outputs are complete or absent ${because(...guestTools)}`, () => {
	let folder = "";
	let guest = "";
	beforeAll(async () => {
		folder = await temporaryFolder();
		guest = await testGuest("initramfs-tools");
	}, 300_000);

	it("Ctrl-C in the middle leaves nothing", async () => {
		let interrupted = false;
		const ended = await anyvisor(["pack", guest, "-o", path.join(folder, "a.ova"), "--progress", "json"], {
			onError(text, interrupt) {
				const done = /"done":(\d+)/.exec(text)?.[1];
				if (interrupted || done === undefined || Number(done) === 0) return;
				interrupted = true;
				interrupt();
			},
		});
		expect(interrupted).toBe(true);
		expect(ended).toMatchObject({ code: exitCodes.interrupted, signal: null });
		expect(ended.stderr).toContain("a.ova");
		expect(await readdir(folder)).toEqual([]);
	});

	it("an existing output is kept, unless --force is given", async () => {
		const output = path.join(folder, "kept.qcow2");
		await writeFile(output, "precious");
		const refusal = await anyvisor(["convert", guest, output]);
		expect(refusal.code).toBe(exitCodes.refused);
		expect(await readFile(output, "utf8")).toBe("precious");
		expect((await anyvisor(["convert", guest, output, "--force"])).code).toBe(exitCodes.ok);
		await run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", guest, output);
	}, 120_000);

	it.skipIf(process.getuid?.() !== 0)(
		`a full destination ${process.getuid?.() === 0 ? "" : "(skipped: has to run as root to mount a small one)"}`,
		async () => {
			const small = path.join(folder, "small");
			await mkdir(small);
			await run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small);
			try {
				const { code, stderr } = await anyvisor(["pack", guest, "-o", path.join(small, "a.ova")]);
				expect(code, stderr).toBe(exitCodes["no-space"]);
				expect(stderr).toContain("a.ova");
				expect(await readdir(small)).toEqual([]);
			} finally {
				await run("umount", small);
			}
		},
	);

	it("a guest whose file system is damaged is told by volume and offset", async () => {
		const damaged = path.join(folder, "damaged.raw");
		await copyFile(guest, damaged);
		const superblock = 135_168 * 512 + 1024;
		const file = await open(damaged, "r+");
		await file.write(Uint8Array.of(0xff, 0xff), 0, 2, superblock + 4);
		await file.close();
		const { code, stderr } = await anyvisor(["inspect", damaged]);
		expect(code, stderr).toBe(exitCodes.damaged);
		expect(stderr).toContain("damaged.raw:p3");
		expect(stderr).toMatch(/Next: .*e2fsck/);
	});

	it("a guest without room for the drivers is refused before anything is written", async () => {
		const full = path.join(folder, "full.raw");
		await copyFile(guest, full);
		await fillRoot(full);
		const { code, stderr } = await anyvisor(["pack", full, "-o", path.join(folder, "full.ova")]);
		expect(code, stderr).toBe(exitCodes["no-space"]);
		expect(await readdir(folder)).not.toContain("full.ova");
	}, 120_000);
});

/** Leaves the guest's root file system a few blocks, by debugfs on its partition: scripts/guest/build.mjs has the place. */
async function fillRoot(disk: string): Promise<void> {
	const partition = `${disk}?offset=${135_168 * 512}`;
	const free = Number(/^Free blocks:\s+(\d+)$/m.exec(await run("dumpe2fs", "-h", partition))?.[1]);
	expect(free).toBeGreaterThan(1000);
	const commands = `${disk}.debugfs`;
	await writeFile(commands, `write /dev/null /filler\nfallocate /filler 0 ${free - 100}\n`);
	await run("debugfs", "-w", "-f", commands, partition);
	await rm(commands);
}
