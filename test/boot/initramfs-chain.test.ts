import { execFile, execFileSync } from "node:child_process";
import { chmod, copyFile, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { cpio } from "../../src/prepare/cpio.js";
import { kmodIndex } from "../../src/prepare/kmod-index.js";
import { overlayArchive } from "../../src/prepare/overlay-archive.js";
import { memoryTree } from "../guest/support/memory.js";
import {
	type Compression,
	compress,
	compressions,
	compressorNames,
	concat,
	initramfsOf,
	kernelIn,
} from "../prepare/support.js";
import { because, missing, temporaryFolder } from "../support/tools.js";

const tools = ["qemu-system-x86_64", "busybox", "cpio", ...compressorNames];
const version = "1.2.3";
const directory = `/usr/lib/modules/${version}`;

/** kmod's index of nothing: magic, version, and a root without children. */
const emptyIndex = Uint8Array.of(0xb0, 0x07, 0xf4, 0x57, 0, 2, 0, 1, 0, 0, 0, 0);

/** The interpreter lies behind the link /lib: an archive that replaced that link would leave no init to start. */
const init = `#!/lib/busybox sh
/lib/busybox mount -t devtmpfs dev /dev
exec >/dev/ttyS0 2>&1
echo
echo CHAIN-BASE
[ -s /lib/modules/${version}/kernel/marker.ko ] && echo CHAIN-MARKER
[ -s /lib/modules/${version}/modules.alias.bin ] && echo CHAIN-INDEX
echo CHAIN-END
/lib/busybox reboot -f
`;

/** The kernel of this machine says what it makes of an initramfs. */
async function boot(initramfs: Uint8Array, folder: string, name: string): Promise<readonly string[]> {
	const file = path.join(folder, name);
	await writeFile(file, initramfs);
	const [kernel] = (await readdir("/boot")).filter((image) => image.startsWith("vmlinuz-")).sort();
	// The machine without a BIOS and a PCI bus is there fastest.
	const machine = ["-machine", "microvm,acpi=off,pit=on,pic=on,rtc=on", "-accel", "tcg", "-m", "192", "-no-reboot"];
	const { stdout } = await promisify(execFile)(
		"qemu-system-x86_64",
		[
			...machine,
			...["-nodefaults", "-display", "none", "-serial", "stdio", "-monitor", "none"],
			...["-kernel", `/boot/${kernel}`, "-initrd", file, "-append", "console=ttyS0 quiet reboot=t panic=-1"],
		],
		{ timeout: 120_000 },
	);
	return stdout.match(/CHAIN-\w+|junk[^\r\n]*|Initramfs unpacking failed[^\r\n]*|Decoding failed|panic/g) ?? [];
}

describe.skipIf(missing(...tools))(`the kernel unpacks what is appended ${because(...tools)}`, () => {
	let folder = "";
	let base: Uint8Array = new Uint8Array();
	const tree = memoryTree({
		[`${directory}/modules.dep`]: "kernel/marker.ko:\n",
		[`${directory}/modules.dep.bin`]: kmodIndex([{ key: "marker", value: "kernel/marker.ko:", priority: 0 }]),
		[`${directory}/modules.alias`]: "",
		[`${directory}/modules.alias.bin`]: emptyIndex,
		[`${directory}/kernel/marker.ko`]: new Uint8Array(123_457).fill(7),
	});

	beforeAll(async () => {
		folder = await temporaryFolder();
		const root = path.join(folder, "root");
		for (const name of ["dev", "usr/lib/modules"]) await mkdir(path.join(root, name), { recursive: true });
		await symlink("usr/lib", path.join(root, "lib"));
		await copyFile("/bin/busybox", path.join(root, "usr/lib/busybox"));
		await writeFile(path.join(root, "init"), init);
		await chmod(path.join(root, "init"), 0o755);
		base = new Uint8Array(
			execFileSync("sh", ["-c", "find . | cpio -o -H newc --quiet"], { cwd: root, maxBuffer: 1 << 26 }),
		);
	});

	/** `zeros` follow the base. */
	const bases: readonly (readonly [Compression, number])[] = [
		...compressions.map((compression) => [compression, 0] as const),
		...compressions.map((compression) => [compression, compression === "none" ? 1 : 2] as const),
		["lz4-legacy", 512],
	];
	it.concurrent.each(bases)("behind %s with %i zero bytes after it", async (compression, zeros) => {
		const first = concat(compress(compression, base), new Uint8Array(zeros));
		const initramfs = await initramfsOf(first, version);
		expect(initramfs.modulesDirectory).toBe(`usr/lib/modules/${version}`);
		const overlay = await overlayArchive(tree, await kernelIn(tree, version, directory), initramfs, ["marker"]);
		const whole = concat(first, overlay);
		expect((await initramfsOf(whole, version)).modules).toEqual(new Map([["marker", "kernel/marker.ko"]]));
		expect(await boot(whole, folder, `${compression}-${zeros}`)).toEqual([
			"CHAIN-BASE",
			"CHAIN-MARKER",
			"CHAIN-INDEX",
			"CHAIN-END",
		]);
	});

	it.concurrent("and nothing of a plain archive behind lz4, so that the care is needed", async () => {
		const plain = cpio([{ name: `usr/lib/modules/${version}` }]);
		const seen = await boot(concat(compress("lz4-legacy", base), plain), folder, "control");
		expect(seen).not.toContain("CHAIN-INDEX");
		expect(seen.join()).toMatch(/Decoding failed|junk|unpacking failed/);
	});
});
