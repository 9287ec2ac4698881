import { link, mkdir, open, readdir, readFile, stat, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { formatFacts, streamedVariants } from "../../src/cli/disk/formats.js";
import { parseNewSize, parseSize } from "../../src/cli/disk/size.js";
import { exitCodes } from "../../src/cli/exit-codes.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { anyvisor, COMMAND } from "./support.js";

const MIB = 2 ** 20;
/** Driver names of QEMU. */
const judges: Readonly<Record<string, string>> = { vhd: "vpc" };
const judgeOf = (format: string) => judges[format] ?? format;

describe("sizes on the command line", () => {
	it("are bytes, or binary multiples", () => {
		const sizes = ["65536", "64K", "64k", "10G", "1.5T", "2GiB", "512MB"].map(parseSize);
		expect(sizes).toEqual([65_536, 65_536, 65_536, 10 * 2 ** 30, 1.5 * 2 ** 40, 2 ** 31, 2 ** 29]);
		expect(parseNewSize("+2G")).toEqual({ bytes: 2 ** 31, added: true });
		expect(parseNewSize("2G")).toEqual({ bytes: 2 ** 31, added: false });
	});

	it("are nothing else", () => {
		for (const text of ["", "G", "-1", "1Z", "10 G", "1.0001K", "0x10", "9E9", "99999999999999999999"]) {
			expect(() => parseSize(text), text).toThrow("number of bytes");
		}
	});
});

describe.skipIf(missing("qemu-img", "qemu-io"))(`convert ${because("qemu-img", "qemu-io")}`, () => {
	let folder = "";
	const at = (name: string) => path.join(folder, name);

	beforeAll(async () => {
		folder = await temporaryFolder();
		const file = await open(at("disk.raw"), "w");
		for (let i = 0; i < 6; i++) await file.write(Buffer.alloc(300_000, `text ${i} `), 0, 300_000, i * 5 * MIB);
		await file.close();
		await truncate(at("disk.raw"), 32 * MIB);
		await run("qemu-img", "convert", "-O", "qcow2", at("disk.raw"), at("base.qcow2"));
		await run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", at("top.qcow2"));
		await run("qemu-img", "snapshot", "-c", "before", at("top.qcow2"));
		await run("qemu-io", "-c", "write -P 9 20M 64k", at("top.qcow2"));
	});

	const convert = (...args: string[]) => anyvisor(["disk", "convert", ...args]);

	async function ok(...args: string[]): Promise<string> {
		const { code, stdout, stderr } = await convert(...args);
		expect(code, stderr).toBe(0);
		return stdout;
	}

	async function expectFailure(code: number, message: RegExp, ...args: string[]): Promise<void> {
		const before = await readdir(folder);
		const ended = await convert(...args);
		expect(ended.code, ended.stderr).toBe(code);
		expect(ended.stderr).toMatch(message);
		expect(await readdir(folder)).toEqual(before);
	}

	const expectSame = async (output: string, format: string, original = at("disk.raw"), from = "raw") =>
		expect(await run("qemu-img", "compare", "-f", from, "-F", judgeOf(format), original, output)).toContain(
			"identical",
		);

	const all = Object.entries(formatFacts).flatMap(([format, { variants }]) =>
		variants.map((variant) => ({ format, variant })),
	);

	it.each(all)("writes $format $variant, which qemu-img finds identical", async ({ format, variant }) => {
		const home = at(`${format}-${variant}`);
		await mkdir(home);
		const output = path.join(home, `out.${format}`);
		const told = JSON.parse(await ok(at("disk.raw"), output, "--variant", variant, "--json"));
		expect(told).toMatchObject({ from: "raw", to: format, variant, virtualSize: 32 * MIB });
		expect(told.files.map((file: { name: string }) => path.basename(file.name)).toSorted()).toEqual(
			await readdir(home),
		);
		expect(told.size).toBe(told.files.reduce((sum: number, { size }: { size: number }) => sum + size, 0));
		await expectSame(output, format);
		const read = JSON.parse((await anyvisor(["disk", "info", "--json", output])).stdout);
		expect(read).toMatchObject({ format, virtualSize: 32 * MIB });
		expect((await anyvisor(["disk", "compare", at("disk.raw"), output])).code).toBe(0);
	});

	it.each(["vmdk/streamOptimized", "qcow2/compressed"])(
		"writes and reads %s without native libraries",
		async (name) => {
			const [format = "", variant = ""] = name.split("/");
			const [output, back] = [at(`zlib.${format}`), at(`zlib-${format}.raw`)];
			const alone = { env: { ANYVISOR_NATIVE: "0" } };
			const { code, stderr } = await anyvisor(["convert", at("disk.raw"), output, "--variant", variant], alone);
			expect(code, stderr).toBe(0);
			await expectSame(output, format);
			expect((await anyvisor(["convert", output, back], alone)).code).toBe(0);
			await expectSame(back, "raw");
		},
	);

	it.skipIf(missing("strace")).each([
		["waits until the file and its folder are on the disk", [], [".out.vhdx.partial-PID", ""]],
		["does not wait with --no-sync", ["--no-sync"], []],
	])(`%s ${because("strace")}`, async (_, options, expected) => {
		const home = await temporaryFolder();
		const [output, calls] = [path.join(home, "out.vhdx"), path.join(home, "calls")];
		const traced = ["-f", "-y", "-e", "trace=fsync,fdatasync,sync,syncfs", "-o", calls, process.execPath, COMMAND];
		await run("strace", ...traced, "convert", at("disk.raw"), output, ...options);
		await expectSame(output, "vhdx");
		const synced = [...(await readFile(calls, "utf8")).matchAll(/ (?:f\w*sync\(\d+<(.*?)>|sync)/g)];
		const files = synced.flatMap(([, file]) =>
			file?.startsWith("socket:") ? [] : [file?.replace(/partial-\d+-[0-9a-f]{8}$/, "partial-PID")],
		);
		expect(files).toEqual(expected.map((name) => path.join(home, name)));
	});

	it.each(streamedVariants.map((name) => ({ name })))("writes $name to standard output", async ({ name }) => {
		const [format = "", variant = ""] = name.split("/");
		const output = at(`streamed-${format}`);
		const command = `"$1" "$2" convert "$3" - --to "$4" --variant "$5" --json 2>"$6.json" >"$6"`;
		await run("sh", "-c", command, "sh", process.execPath, COMMAND, at("disk.raw"), format, variant, output);
		expect(JSON.parse(await readFile(`${output}.json`, "utf8"))).toMatchObject({ output: "-", to: format, variant });
		await expectSame(output, format);
	});

	it("writes to standard output only what can be written in one pass, and no disk to half of a reader", async () => {
		await expectFailure(exitCodes.usage, /one pass.*\n.*raw\/plain/, at("disk.raw"), "-", "--to", "qcow2");
		await expectFailure(exitCodes.usage, /--to/, at("disk.raw"), "-");
		const command = `{ "$1" "$2" convert "$3" - --to raw 2>/dev/null; echo $? >"$4"; } | head -c 1000 >/dev/null`;
		await run("sh", "-c", command, "sh", process.execPath, COMMAND, at("disk.raw"), at("status"));
		expect(await readFile(at("status"), "utf8")).toBe(`${exitCodes.io}\n`);
	});

	it("reads standard input, archives, compressed files and the disks in them", async () => {
		await run(
			"sh",
			"-c",
			`"$1" "$2" convert - "$4" <"$3"`,
			"sh",
			process.execPath,
			COMMAND,
			at("base.qcow2"),
			at("in.raw"),
		);
		await expectSame(at("in.raw"), "raw");
		await run("tar", "-C", folder, "-cf", at("disks.tar"), "base.qcow2");
		await ok(at("disks.tar"), at("tar.raw"));
		await expectSame(at("tar.raw"), "raw");
		await ok(`${at("disks.tar")}:base.qcow2`, at("member.raw"));
		await expectSame(at("member.raw"), "raw");
		await run("sh", "-c", `gzip -c "$1" >"$2"`, "sh", at("disk.raw"), at("disk.raw.gz"));
		await ok(at("disk.raw.gz"), at("gz.qcow2"));
		await expectSame(at("gz.qcow2"), "qcow2");
	});

	it("reads a web server's files", async () => {
		const bytes = await readFile(at("base.qcow2"));
		const server = createServer(({ headers: { range } }, answer) => {
			const [, from = "0", to = String(bytes.length - 1)] = /^bytes=(\d+)-(\d+)?/.exec(range ?? "") ?? [];
			const part = bytes.subarray(Number(from), Number(to) + 1);
			answer.writeHead(206, {
				"content-length": part.length,
				"content-range": `bytes ${from}-${Number(from) + part.length - 1}/${bytes.length}`,
				etag: '"one"',
			});
			answer.end(part);
		});
		await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
		try {
			const { port } = server.address() as AddressInfo;
			await ok(`http://127.0.0.1:${port}/base.qcow2`, at("fetched.raw"));
		} finally {
			server.close();
		}
		await expectSame(at("fetched.raw"), "raw");
	});

	it("writes a snapshot as it was", async () => {
		await ok(at("top.qcow2"), at("before.raw"), "--snapshot", "before");
		await expectSame(at("before.raw"), "raw");
		await ok(at("top.qcow2"), at("now.raw"), "--flatten");
		await expectSame(at("now.raw"), "raw", at("top.qcow2"), "qcow2");
		expect(JSON.parse(await run("qemu-img", "info", "--output=json", at("now.raw")))).not.toHaveProperty(
			"backing-filename",
		);
		await expectFailure(exitCodes["not-found"], /after/, at("top.qcow2"), at("x.raw"), "--snapshot", "after");
	});

	it("grows a disk, and never cuts one off", async () => {
		await ok(at("disk.raw"), at("grown.qcow2"), "--resize", "+32M");
		const { "virtual-size": size } = JSON.parse(await run("qemu-img", "info", "--output=json", at("grown.qcow2")));
		expect(size).toBe(64 * MIB);
		await expectSame(at("grown.qcow2"), "qcow2");
		await ok(at("disk.raw"), at("terabyte.vhdx"), "--resize", "1T");
		expect((await stat(at("terabyte.vhdx"))).blocks * 512).toBeLessThan(16 * MIB);
		await expectFailure(exitCodes.usage, /cut off its end/, at("disk.raw"), at("x.raw"), "--resize", "16M");
		await expectFailure(exitCodes.usage, /10G/, at("disk.raw"), at("x.raw"), "--resize", "big");
		await expectFailure(exitCodes.usage, /sectors/, at("disk.raw"), at("x.raw"), "--resize", "+100");
	});

	it("writes what differs from a backing file, and refers to it", async () => {
		await ok(at("top.qcow2"), at("delta.qcow2"), "--backing", at("base.qcow2"));
		const info = JSON.parse(await run("qemu-img", "info", "--output=json", at("delta.qcow2")));
		expect(info).toMatchObject({ "backing-filename": "base.qcow2", "backing-filename-format": "qcow2" });
		expect(info["actual-size"]).toBeLessThan(MIB);
		await expectSame(at("delta.qcow2"), "qcow2", at("top.qcow2"), "qcow2");

		await mkdir(at("elsewhere"));
		const far = at("elsewhere/delta.qcow2");
		await expectFailure(exitCodes.refused, /outside/, at("top.qcow2"), far, "--backing", at("base.qcow2"));
		await ok(at("top.qcow2"), far, "--backing", at("base.qcow2"), "--allow-external", at("base.qcow2"));
		await expectSame(far, "qcow2", at("top.qcow2"), "qcow2");
		await expectFailure(exitCodes["not-found"], /none/, at("top.qcow2"), at("x.qcow2"), "--backing", at("none.qcow2"));
		await expectFailure(exitCodes.usage, /--backing/, at("top.qcow2"), at("x.vmdk"), "--backing", at("base.qcow2"));
		await expectFailure(
			exitCodes.usage,
			/--flatten/,
			at("top.qcow2"),
			at("x.qcow2"),
			"--backing",
			at("base.qcow2"),
			"--flatten",
		);
	});

	it("writes what a snapshot differs by from the disk as it is now: what was said of the input is not of its backing file", async () => {
		await run("qemu-img", "create", "-f", "qcow2", at("vm.qcow2"), "8M");
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 1M", at("vm.qcow2"));
		await run("qemu-img", "snapshot", "-c", "before", at("vm.qcow2"));
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 2 0 2M", at("vm.qcow2"));
		await run("qemu-img", "convert", "-l", "before", "-O", "raw", at("vm.qcow2"), at("before.raw"));
		await ok(at("vm.qcow2"), at("old.qcow2"), "--snapshot", "before", "--backing", at("vm.qcow2"));
		await expectSame(at("old.qcow2"), "qcow2", at("before.raw"), "raw");
		await run("gzip", "-k", at("base.qcow2"));
		const packed = at("base.qcow2.gz");
		await expectFailure(
			exitCodes.refused,
			/no file that an image could refer to/,
			at("top.qcow2"),
			at("x.qcow2"),
			"--backing",
			packed,
		);
	});

	it.each([
		["qcow2", ["--unit-size", "4K"], { "cluster-size": 4096 }],
		["qcow2", ["--compression", "zstd"], { "format-specific": { data: { "compression-type": "zstd" } } }],
		["qcow2", ["--fast"], {}],
		["qcow2", ["--level", "9", "--variant", "compressed"], {}],
		["qcow2", ["--preallocation", "metadata"], {}],
		["vmdk", ["--fast"], { "format-specific": { data: { "create-type": "streamOptimized" } } }],
		["vmdk", ["--unit-size", "128K", "--variant", "monolithicSparse"], { "cluster-size": 131_072 }],
		["vhdx", ["--unit-size", "2M"], { "cluster-size": 2 * MIB }],
		["raw", ["--preallocation", "full"], {}],
	])("has the options of %s: %j", async (format, options, expected) => {
		const output = at(`options.${format}`);
		await ok(at("disk.raw"), output, "--force", ...options);
		await expectSame(output, format);
		const info = JSON.parse(await run("qemu-img", "info", "-f", judgeOf(format), "--output=json", output));
		expect(info).toMatchObject(expected);
		const full = options.includes("full") ? 32 * MIB : 0;
		expect(info["actual-size"]).toBeGreaterThanOrEqual(full);
	});

	it.each([
		["x.raw", ["--compression", "zstd"], /raw has no --compression[^]*qcow2/],
		["x.vhd", ["--level", "9"], /vhd has no --level/],
		["x.qcow2", ["--sector-size", "4096"], /qcow2 has no --sector-size[^]*vhdx/],
		["x.qcow2", ["--variant", "plain", "--fast"], /plain is not compressed[^]*compressed/],
		["x.qcow2", ["--variant", "fixed"], /no variant "fixed"[^]*plain, compressed/],
		["x.qcow2", ["--unit-size", "3K"], /3072/],
		["x.qcow2", ["--level", "3", "--fast"], /--fast/],
		["x.vhdx", ["--sector-size", "1000"], /512 or 4096/],
		["x.xyz", [], /--to/],
	])("refuses for %s the options %j", async (output, options, message) => {
		await expectFailure(exitCodes.usage, message, at("disk.raw"), at(output), ...options);
	});

	it("never replaces what it reads, by whatever name", async () => {
		await link(at("base.qcow2"), at("same.qcow2"));
		await symlink("disk.raw", at("symbolic.raw"));
		for (const [input, output] of [
			["disk.raw", "disk.raw"],
			["disk.raw", "symbolic.raw"],
			["base.qcow2", "same.qcow2"],
			["top.qcow2", "base.qcow2"],
		] as const) {
			await expectFailure(exitCodes.refused, /read for it/, at(input), at(output), "--force");
		}
		const extent = at("flat-s001.vmdk");
		await run(
			"qemu-img",
			"convert",
			"-O",
			"vmdk",
			"-o",
			"subformat=twoGbMaxExtentSparse",
			at("disk.raw"),
			at("flat.vmdk"),
		);
		await expectFailure(exitCodes.refused, /read for it/, at("flat.vmdk"), extent, "--to", "vmdk", "--force");
		await link(at("disk.raw"), at("sibling-flat.vmdk"));
		const flat = ["--variant", "monolithicFlat", "--force"];
		await expectFailure(exitCodes.refused, /read for it/, at("disk.raw"), at("sibling.vmdk"), ...flat);
		await writeFile(at("kept.raw"), "precious");
		await expectFailure(exitCodes.refused, /exists already/, at("disk.raw"), at("kept.raw"));
		expect(await readFile(at("kept.raw"), "utf8")).toBe("precious");
	});

	it("--dry-run says what would be written, and writes nothing", async () => {
		const before = await readdir(folder);
		const plan = JSON.parse(await ok(at("disk.raw"), at("dry.qcow2"), "--dry-run", "--json", "--compression", "zstd"));
		expect(plan).toMatchObject({ to: "qcow2", variant: "compressed", virtualSize: 32 * MIB });
		expect(plan.data).toBeGreaterThanOrEqual(6 * 300_000);
		expect(plan.data).toBeLessThan(4 * MIB);
		expect(await ok(at("disk.raw"), at("dry.qcow2"), "-n")).toMatch(/qcow2\/plain[^]*32\.0 MiB[^]*at most/);
		expect(await readdir(folder)).toEqual(before);
	});

	it("tells the result on standard error, and nothing on standard output", async () => {
		const { stdout, stderr } = await convert(at("disk.raw"), at("told.vhd"));
		expect(stdout).toBe("");
		expect(stderr).toMatch(/told\.vhd +vhd\/dynamic, .* for a disk of 32\.0 MiB, \d+/);
		expect(stderr).not.toContain("\u001b");
	});

	it("is the same command without disk before it", async () => {
		const help = await anyvisor(["convert", "--help"]);
		const nested = await anyvisor(["disk", "convert", "--help"]);
		expect(nested.stdout.replace("anyvisor disk convert", "anyvisor convert")).toBe(help.stdout);
	});
});
