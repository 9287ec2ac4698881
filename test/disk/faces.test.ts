import { randomBytes } from "node:crypto";
import { link, mkdir, open, readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import type { Disk } from "../../src/disk/disk.js";
import { describesOnly, facesInPlace, facesSize, sizeWithoutFaces, writeFaces } from "../../src/disk/faces.js";
import { setEnd } from "../../src/source/in-place.js";
import { fileSink } from "../../src/source/index.js";
import { anyvisor } from "../cli/support.js";
import { attempt, loopMounted, tmpfs } from "../source/mounts.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const MIB = 1 << 20;
const root = await temporaryFolder();
let count = 0;

async function folder(): Promise<string> {
	const made = path.join(root, String(count++));
	await mkdir(made);
	return made;
}

async function faces(...args: string[]): Promise<Record<string, unknown>> {
	const { code, stdout, stderr } = await anyvisor(["disk", "faces", "--json", ...args]);
	if (code !== 0) throw new Error(stderr);
	return JSON.parse(stdout) as Record<string, unknown>;
}

/** The faces of `name`, as QEMU is told to open them. */
const facesOf = (home: string, name: string, virtualSize: number) => [
	`driver=raw,size=${virtualSize},file.filename=${path.join(home, name)}`,
	`driver=vpc,file.filename=${path.join(home, `${path.parse(name).name}.vhd`)}`,
	`driver=vmdk,file.filename=${path.join(home, `${path.parse(name).name}.vmdk`)}`,
];

async function rawDisk(file: string, size: number): Promise<Buffer> {
	const content = Buffer.alloc(size);
	const data = randomBytes(Math.min(size, 300_000));
	data.copy(content, 0);
	data.copy(content, Math.floor(size / 2), 0, Math.min(data.length, Math.floor(size / 4)));
	await writeFile(file, content);
	return content;
}

describe.skipIf(missing("qemu-img", "qemu-io"))(`by QEMU's word ${because("qemu-img", "qemu-io")}`, () => {
	test.each([
		["whole MiB", 5 * MIB, 5 * MIB],
		["whole sectors", 3 * MIB + 700 * 512, 4 * MIB],
		["not even that", 2 * MIB + 77, 3 * MIB],
	])("a raw disk of %s has three faces that are equal and write to the same disk", async (_, size, virtualSize) => {
		const home = await folder();
		const file = path.join(home, "disk.raw");
		const content = await rawDisk(file, size);
		const told = await faces("--in-place", "--format", "raw", file);
		expect(told).toMatchObject({ virtualSize, size: { before: size, after: virtualSize + 512 }, shared: 0 });
		expect((await readdir(home)).sort()).toEqual(["disk.raw", "disk.vhd", "disk.vmdk"]);

		const [raw = "", vhd = "", vmdk = ""] = facesOf(home, "disk.raw", virtualSize);
		const model = Buffer.concat([content, Buffer.alloc(virtualSize - size)]);
		await writeFile(path.join(home, "model"), model);
		const modelOptions = `driver=raw,file.filename=${path.join(home, "model")}`;
		for (const face of [raw, vhd, vmdk]) {
			const info = JSON.parse(await run("qemu-img", "info", "--output=json", "--image-opts", face));
			expect(info).toMatchObject({ "virtual-size": virtualSize });
			expect(await run("qemu-img", "compare", "--image-opts", modelOptions, face)).toContain("identical");
		}

		for (const [i, face] of [raw, vhd, vmdk].entries()) {
			// The last sector of the disk among them, next to the footer.
			for (const at of [i * 512, MIB + i * 4096, virtualSize - (i + 1) * 512]) {
				await run("qemu-io", "-c", `write -P ${0x41 + i} ${at} 512`, "--image-opts", face);
				model.fill(0x41 + i, at, at + 512);
			}
		}
		await writeFile(path.join(home, "model"), model);
		for (const face of [raw, vhd, vmdk]) {
			expect(await run("qemu-img", "compare", "--image-opts", modelOptions, face)).toContain("identical");
		}
		expect((await readFile(file)).subarray(0, virtualSize).equals(model)).toBe(true);

		// Something was written behind the end that the raw disk had: that stays.
		await faces("--undo", file);
		const expected = size === virtualSize ? size : virtualSize;
		expect((await readFile(file)).equals(model.subarray(0, expected))).toBe(true);
		expect((await readdir(home)).sort()).toEqual(["disk.raw", "model"]);
	});

	test("a copy of a disk in another format has the same faces", async () => {
		const home = await folder();
		const content = await rawDisk(path.join(home, "plain"), 7 * MIB + 512);
		await run(
			"qemu-img",
			"convert",
			"-f",
			"raw",
			"-O",
			"qcow2",
			path.join(home, "plain"),
			path.join(home, "disk.qcow2"),
		);
		const told = await faces(path.join(home, "disk.qcow2"));
		expect(told).toMatchObject({ action: "copy", file: path.join(home, "disk.vhd"), virtualSize: 8 * MIB, link: null });
		const [, vhd = "", vmdk = ""] = facesOf(home, "disk.vhd", 8 * MIB);
		const raw = `driver=raw,size=${8 * MIB},file.filename=${path.join(home, "disk.vhd")}`;
		for (const face of [raw, vhd, vmdk]) {
			expect(
				await run(
					"qemu-img",
					"compare",
					"--image-opts",
					`driver=qcow2,file.filename=${path.join(home, "disk.qcow2")}`,
					face,
				),
			).toContain("identical");
		}
		const copy = await readFile(path.join(home, "disk.vhd"));
		expect(copy.subarray(0, content.length).equals(content)).toBe(true);
		expect((await stat(path.join(home, "disk.vhd"))).blocks * 512).toBeLessThan(2 * MIB);
	});

	test("a footer that was overwritten becomes a part of the disk when the faces are made again", async () => {
		const home = await folder();
		const file = path.join(home, "disk.raw");
		await rawDisk(file, 2 * MIB);
		await faces("--in-place", file);
		// As a partitioning tool does that takes the whole file for the disk, and moves GPT's backup header to its end.
		await run("qemu-io", "-f", "raw", "-c", `write -P 0x45 ${2 * MIB} 512`, file);
		expect(await faces("--in-place", file)).toMatchObject({ virtualSize: 3 * MIB });
		const [raw = "", vhd = "", vmdk = ""] = facesOf(home, "disk.raw", 3 * MIB);
		expect(await run("qemu-img", "compare", "--image-opts", raw, vhd)).toContain("identical");
		expect(await run("qemu-img", "compare", "--image-opts", raw, vmdk)).toContain("identical");
		expect((await readFile(file)).subarray(2 * MIB, 2 * MIB + 512).every((byte) => byte === 0x45)).toBe(true);
	});
});

test.skipIf(missing("vhdiinfo", "7zz"))(`libvhdi and 7-Zip see the VHD ${because("vhdiinfo", "7zz")}`, async () => {
	const file = path.join(await folder(), "disk.raw");
	const content = await rawDisk(file, 3 * MIB - 512);
	await faces("--in-place", file);
	const vhd = file.replace(/raw$/, "vhd");
	expect(await run("vhdiinfo", vhd)).toMatch(
		new RegExp(`Disk type\\s*: Fixed\\s+Media size\\s*: .*\\(${3 * MIB} bytes\\)`),
	);
	await run("7zz", "x", "-bd", `-o${path.dirname(file)}`, vhd, "disk.img");
	const extracted = await readFile(path.join(path.dirname(file), "disk.img"));
	expect(extracted.equals(Buffer.concat([content, Buffer.alloc(512)]))).toBe(true);
});

describe("in place", () => {
	test("nothing changes in a dry run, nor the second time; undone, the file is what it was", async () => {
		const home = await folder();
		const file = path.join(home, "disk.raw");
		const content = await rawDisk(file, 3 * MIB + 5 * 512);
		expect(await faces("--in-place", "--dry-run", file)).toMatchObject({
			dryRun: true,
			size: { after: 4 * MIB + 512 },
		});
		expect(await readdir(home)).toEqual(["disk.raw"]);
		await faces("--in-place", file);
		const first = await readFile(file);
		expect(first.subarray(0, content.length).equals(content)).toBe(true);
		const descriptor = await readFile(path.join(home, "disk.vmdk"), "utf8");
		await faces("--in-place", file);
		expect((await readFile(file)).equals(first)).toBe(true);
		expect(await readFile(path.join(home, "disk.vmdk"), "utf8")).toBe(descriptor);
		await faces("--undo", "--dry-run", file);
		expect((await readFile(file)).equals(first)).toBe(true);
		await faces("--undo", file);
		expect((await readFile(file)).equals(content)).toBe(true);
		expect(await readdir(home)).toEqual(["disk.raw"]);
	});

	test("a file that is named .vhd needs no other name; its faces are beside it, whatever link leads there", async () => {
		const home = await folder();
		await rawDisk(path.join(home, "disk.vhd"), MIB);
		await mkdir(path.join(home, "links"));
		await run("ln", "-s", "../disk.vhd", path.join(home, "links", "alias.raw"));
		expect(await faces("--in-place", path.join(home, "links", "alias.raw"))).toMatchObject({ link: null });
		expect((await readdir(home)).sort()).toEqual(["disk.vhd", "disk.vmdk", "links"]);
		expect(await readdir(path.join(home, "links"))).toEqual(["alias.raw"]);
	});

	const qcow2 = (home: string) =>
		writeFile(
			path.join(home, "disk.raw"),
			Buffer.concat([Buffer.from("QFI\xfb\0\0\0\x03", "latin1"), Buffer.alloc(4088)]),
		);

	const refusals: [what: string, prepare: (home: string) => Promise<unknown>, code: number, message: string][] = [
		["another image format", qcow2, 5, "qcow2"],
		[
			"a descriptor of something else",
			(home) => writeFile(path.join(home, "disk.vmdk"), "mine"),
			5,
			"disk.vmdk exists",
		],
		[
			"another file in the place of the .vhd",
			(home) => writeFile(path.join(home, "disk.vhd"), "mine"),
			5,
			"disk.vhd exists",
		],
	];
	test.each(refusals)("%s is refused, and nothing changes", async (_, prepare, code, message) => {
		const home = await folder();
		const file = path.join(home, "disk.raw");
		await rawDisk(file, MIB);
		await prepare(home);
		const before = await readFile(file);
		const ended = await anyvisor(["disk", "faces", "--in-place", file]);
		expect(ended).toMatchObject({ code, stderr: expect.stringContaining(message) });
		expect((await readFile(file)).equals(before)).toBe(true);
	});

	test("what has no footer cannot be undone", async () => {
		const file = path.join(await folder(), "disk.raw");
		await rawDisk(file, MIB);
		expect(await anyvisor(["disk", "faces", "--undo", file])).toMatchObject({ code: 5 });
	});

	const small = attempt(() => tmpfs(2 * MIB));
	test.skipIf(small.reason !== "")(
		`without room for the footer, the disk keeps its length ${small.reason}`,
		async () => {
			const file = path.join(small.folder, "disk.raw");
			await writeFile(file, new Uint8Array(MIB).fill(1));
			await writeFile(path.join(small.folder, "filler"), new Uint8Array(MIB)).catch(() => {});
			const { code } = await anyvisor(["disk", "faces", "--in-place", file]);
			expect(code).toBe(8);
			expect((await stat(file)).size).toBe(MIB);
			expect((await readdir(small.folder)).sort()).toEqual(["disk.raw", "filler"]);
		},
	);
});

describe("setEnd", () => {
	test("refuses a file that has another length by now, and a device", async () => {
		const file = path.join(await folder(), "x");
		await writeFile(file, "12345");
		const end = { was: 4, at: 10, bytes: Uint8Array.of(1) };
		await expect(setEnd(file, end)).rejects.toMatchObject({ kind: "refused" });
		expect(await readFile(file, "utf8")).toBe("12345");
		await expect(setEnd("/dev/null", { ...end, was: 0 })).rejects.toMatchObject({ kind: "refused" });
	});
});

describe("the plan", () => {
	test("adds nothing but zeros and a footer, and undoes to any original size", async () => {
		await fc.assert(
			fc.asyncProperty(fc.integer({ min: 1, max: 3 * MIB }), async (size) => {
				const disk = new Uint8Array(size).fill(7);
				const { virtualSize, footer, descriptor } = await facesInPlace(bytesSource(disk, "disk.raw"), undefined);
				expect(virtualSize).toBe(facesSize(size));
				expect(virtualSize % MIB).toBe(0);
				expect(footer?.length).toBe(512);
				expect(describesOnly(descriptor, "/some/where/disk.raw")).toBe(true);
				const file = new Uint8Array(virtualSize + 512);
				file.set(disk);
				file.set(footer ?? [], virtualSize);
				const whole = bytesSource(file, "disk.raw");
				expect(await sizeWithoutFaces(whole, descriptor)).toBe(size);
				expect(await sizeWithoutFaces(whole, undefined)).toBe(virtualSize);
				expect(await facesInPlace(whole, descriptor)).toEqual({ virtualSize, footer: undefined, descriptor });
				// A descriptor that lies changes nothing but the length, within the last MiB.
				expect(await sizeWithoutFaces(whole, descriptor.replace(/: \d+\n$/, ": 17000000\n"))).toBe(virtualSize);
			}),
			{ numRuns: 20 },
		);
	});

	test("is not for 4096-byte sectors, nor for more than a VHD can hold", async () => {
		const disk = (size: number, sectorSize: number): Disk => ({
			...bytesSource(new Uint8Array(0), "disk"),
			size,
			sectorSize,
			format: "vhdx/dynamic",
			read: async (_, into) => void into.fill(0),
			async *extents() {},
		});
		const target = path.join(await folder(), "disk.vhd");
		await using sink = await fileSink(target);
		await using descriptor = await sink.sibling("disk.vmdk");
		await expect(writeFaces(disk(MIB, 4096), sink, descriptor)).rejects.toMatchObject({ kind: "unsupported" });
		await expect(writeFaces(disk(2041 * 2 ** 30, 512), sink, descriptor)).rejects.toMatchObject({ kind: "refused" });
	});
});

const reflink = attempt(() => loopMounted("xfs"));

test.skipIf(reflink.reason !== "" || missing("filefrag"))(
	`where blocks can be shared, the copy takes no space ${reflink.reason}${because("filefrag")}`,
	async () => {
		const file = path.join(reflink.folder, "disk.raw");
		const content = await rawDisk(file, 20 * MIB);
		const told = await faces(file, "-o", path.join(reflink.folder, "copy.vhd"));
		expect(told["shared"]).toBeGreaterThan(0);
		const fragments = await run("filefrag", "-v", path.join(reflink.folder, "copy.vhd"));
		const unshared = fragments.split("\n").filter((line) => /^\s*\d+:/.test(line) && !line.includes("shared"));
		// The footer's block.
		expect(unshared.length).toBeLessThanOrEqual(1);
		expect((await readFile(path.join(reflink.folder, "copy.vhd"))).subarray(0, content.length).equals(content)).toBe(
			true,
		);
		const handle = await open(path.join(reflink.folder, "copy.vhd"), "r+");
		await handle.write(Uint8Array.of(~(content[5] ?? 0)), 0, 1, 5);
		await handle.close();
		expect((await readFile(file)).equals(content)).toBe(true);
	},
);

test("a copy needs a name that Hyper-V and Azure know, and a place", async () => {
	const home = await folder();
	await rawDisk(path.join(home, "disk.vhd"), MIB);
	const ended = (...args: string[]) => anyvisor(["disk", "faces", ...args]);
	expect(await ended(path.join(home, "disk.vhd"), "-o", path.join(home, "x.raw"))).toMatchObject({ code: 2 });
	expect(await ended("-")).toMatchObject({ code: 2 });
	expect(await ended(path.join(home, "disk.vhd"))).toMatchObject({ code: 5 });
	// Not even by force: it is being read.
	expect(await ended(path.join(home, "disk.vhd"), "--force")).toMatchObject({ code: 5 });
	expect(await readdir(home)).toEqual(["disk.vhd"]);
	// Nor under another name of its own.
	await link(path.join(home, "disk.vhd"), path.join(home, "also.vhd"));
	const other = ["-o", path.join(home, "also.vhd"), "--force"];
	expect(await ended(path.join(home, "disk.vhd"), ...other)).toMatchObject({ code: 5 });
	expect((await readdir(home)).toSorted()).toEqual(["also.vhd", "disk.vhd"]);
});
