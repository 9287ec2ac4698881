import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { type ByteSource, bytesSource, readBytes } from "../../src/bytes/source.js";
import { diskLikeness } from "../../src/disk/likeness.js";
import { confinedNeighbours } from "../../src/disk/neighbours.js";
import { openDisk } from "../../src/disk/registry.js";
import { type ContainedOptions, openContained, openFile, tarHeader } from "../../src/source/index.js";
import { openXzBlocks } from "../../src/source/xz-blocks.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const folder = await temporaryFolder();
const at = (...parts: string[]) => path.join(folder, ...parts);

/** Bytes of a disk with a boot signature, data, and zeros. */
const raw = Buffer.alloc(3 << 20);
randomBytes(300_000).copy(raw, 5000);
raw.fill("text ", 2_000_000, 2_400_000);
raw.writeUInt16LE(0xaa55, 510);

const within = async (source: ByteSource, options: Partial<ContainedOptions> = {}) => {
	const found = await openContained(source, { likeness: diskLikeness, spool: { folder }, ...options });
	if (found === undefined) throw new Error(`${source.name} was not taken for an archive`);
	return found;
};

/** What is found in a file: its name, and whether it is the disk. */
async function look(file: string, options?: Partial<ContainedOptions>): Promise<{ name: string; isRaw: boolean }> {
	await using source = await openFile(file);
	await using found = await within(source, options);
	const content = await readBytes(found.source, 0, found.source.size);
	return { name: path.basename(found.source.name), isRaw: raw.equals(content) };
}

const failure = (work: Promise<unknown>): Promise<AnyvisorError> =>
	work.then(
		() => Promise.reject(new Error("did not fail")),
		(error: AnyvisorError) => error,
	);

const shell = (command: string) => execFileSync("bash", ["-c", command], { cwd: at("in"), stdio: "ignore" });

beforeAll(async () => {
	await mkdir(at("in", "sub"), { recursive: true });
	await writeFile(at("in", "disk.raw"), raw);
	await writeFile(at("in", "sub", "disk.raw"), raw);
	await writeFile(at("in", "readme.txt"), "read me".repeat(1000));
	await writeFile(at("in", "._disk.raw"), raw);
});

const tools = ["tar", "gzip", "xz", "zstd", "bzip2", "lz4", "7zz", "python3"] as const;

describe.skipIf(missing(...tools))(`one disk in whatever container ${because(...tools)}`, () => {
	test.each([
		["gz", "gzip -c disk.raw > $out"],
		[
			"gz of two members, filled up",
			"(head -c 100000 disk.raw | gzip; tail -c +100001 disk.raw | gzip; head -c 512 /dev/zero) > $out",
		],
		["xz", "xz -c disk.raw > $out"],
		["xz in blocks", "xz -T2 --block-size=256KiB -c disk.raw > $out"],
		["xz of two streams", "(head -c 100000 disk.raw | xz; tail -c +100001 disk.raw | xz) > $out"],
		["zst", "zstd -qc disk.raw > $out"],
		["zst of two frames", "(head -c 100000 disk.raw | zstd -q; tail -c +100001 disk.raw | zstd -q) > $out"],
		["bz2", "bzip2 -c disk.raw > $out"],
		["lz4", "lz4 -c disk.raw > $out"],
		["tar", "tar -cf $out readme.txt ._disk.raw disk.raw"],
		["sparse tar", "tar -Scf $out readme.txt disk.raw"],
		["pax tar", "tar --format=posix -Scf $out readme.txt disk.raw"],
		["tar.gz", "tar -czf $out readme.txt disk.raw"],
		["tar.zst", "tar -c readme.txt disk.raw | zstd -q > $out"],
		["gz in a tar", "gzip -kf disk.raw && tar -cf $out readme.txt disk.raw.gz"],
		["zip", "7zz a -tzip x.zip disk.raw readme.txt ._disk.raw && mv x.zip $out"],
		["zip that stores", "7zz a -tzip -mx0 x.zip disk.raw readme.txt && mv x.zip $out"],
		["zip with bzip2", "7zz a -tzip -mm=bzip2 x.zip disk.raw readme.txt && mv x.zip $out"],
		["zip with xz", "7zz a -tzip -mm=xz x.zip disk.raw readme.txt && mv x.zip $out"],
		[
			"zip in a zip",
			"7zz a -tzip -mx0 y.zip disk.raw && 7zz a -tzip x.zip y.zip readme.txt && mv x.zip $out && rm y.zip",
		],
		["zip in a tar.gz", "7zz a -tzip y.zip disk.raw && tar -czf $out y.zip && rm y.zip"],
		[
			"zip with descriptors behind the data, zip64",
			`python3 -c '
import sys, zipfile, io
class Pipe(io.RawIOBase):
    def writable(self): return True
    def write(self, b): sys.stdout.buffer.write(b); return len(b)
with zipfile.ZipFile(Pipe(), "w", zipfile.ZIP_DEFLATED) as z:
    with z.open("disk.raw", "w", force_zip64=True) as f: f.write(open("disk.raw", "rb").read())
' > $out`,
		],
	])("%s", async (name, command) => {
		const out = at(`${name.replaceAll(" ", "-")}.bin`);
		shell(`out='${out}'; ${command}`);
		expect((await look(out)).isRaw).toBe(true);
	});

	test("members are found by path, by name, and inside of others", async () => {
		shell("tar -czf ../many.tgz disk.raw sub/disk.raw readme.txt");
		shell("7zz a -tzip ../outer.zip ../many.tgz readme.txt");
		expect(await look(at("many.tgz"), { member: "sub/disk.raw" })).toEqual({ name: "disk.raw", isRaw: true });
		expect(await look(at("many.tgz"), { member: "./readme.txt" })).toMatchObject({ isRaw: false });
		expect(await look(at("many.tgz"), { member: "many.tar:disk.raw" })).toMatchObject({ isRaw: true });
		expect(await look(at("outer.zip"), { member: "many.tgz:sub/disk.raw" })).toMatchObject({ isRaw: true });
		expect(await look(at("outer.zip"), { member: "many.tgz:many.tar:sub/disk.raw" })).toMatchObject({ isRaw: true });
		expect(await failure(look(at("many.tgz"), { member: "absent" }))).toMatchObject({
			kind: "not-found",
			hint: expect.stringContaining("sub/disk.raw"),
		});
		expect(await failure(look(at("many.tgz")))).toMatchObject({
			kind: "usage",
			hint: expect.stringMatching(/disk\.raw.*sub\/disk\.raw/),
		});
	});

	test("where no disk is, that is said", async () => {
		shell("tar -cf ../letters.tar readme.txt; gzip -c readme.txt > ../letter.gz; tar -cf ../empty.tar -T /dev/null");
		expect(await failure(look(at("letters.tar")))).toMatchObject({
			kind: "not-found",
			hint: expect.stringContaining("readme"),
		});
		expect(await look(at("letter.gz"))).toMatchObject({ isRaw: false });
		await using source = await openFile(at("in", "disk.raw"));
		expect(await openContained(source, { likeness: diskLikeness })).toBeUndefined();
	});

	test("encrypted members are refused by name", async () => {
		shell("7zz a -tzip -psecret ../locked.zip disk.raw; 7zz a -tzip ../locked.zip readme.txt");
		expect(await failure(look(at("locked.zip")))).toMatchObject({
			kind: "refused",
			message: expect.stringContaining("disk.raw"),
		});
		expect(await look(at("locked.zip"), { member: "readme.txt" })).toMatchObject({ isRaw: false });
	});

	test("what follows compressed data is not passed over, nor is a missing end", async () => {
		const whole = gzipSync(raw);
		await writeFile(at("more.gz"), Buffer.concat([whole, Buffer.from("more")]));
		expect(await failure(look(at("more.gz")))).toMatchObject({ kind: "damaged" });
		await writeFile(at("less.gz"), whole.subarray(0, -5));
		expect(await failure(look(at("less.gz")))).toMatchObject({ kind: "damaged" });
	});

	test("nothing stays open or in the temporary folder", async () => {
		const limit = raw.length + 100_000;
		for (let i = 0; i < 3; i++) {
			await look(at("zip.bin"), { spool: { folder, limit } });
			await failure(look(at("zip.bin"), { spool: { folder, limit: 1000 } }));
		}
		expect(await failure(look(at("zip.bin"), { spool: { folder, limit: 1000 } }))).toMatchObject({ kind: "refused" });
		expect((await run("ls", "-A", folder)).includes("spool")).toBe(false);
	});
});

describe.skipIf(missing("qemu-img", "7zz", "tar"))(
	`images of several files ${because("qemu-img", "7zz", "tar")}`,
	() => {
		const disk = async (file: string, options: Partial<ContainedOptions> = {}) => {
			await using source = await openFile(file);
			await using found = await within(source, options);
			const opened = await openDisk(found.source, { neighbours: confinedNeighbours(found.neighbour) });
			const isRaw = raw.equals(await readBytes(opened, 0, raw.length));
			await opened[Symbol.asyncDispose]?.();
			return { name: path.basename(found.source.name).replace(/^.*:/, ""), isRaw };
		};

		test("the descriptor is taken, and its extents are found beside it", async () => {
			await run(
				"qemu-img",
				"convert",
				"-O",
				"vmdk",
				"-o",
				"subformat=twoGbMaxExtentSparse",
				at("in", "disk.raw"),
				at("in", "sub", "vm.vmdk"),
			);
			shell("7zz a -tzip ../split.zip sub/vm.vmdk sub/vm-s001.vmdk readme.txt");
			expect(await disk(at("split.zip"))).toEqual({ name: "vm.vmdk", isRaw: true });
			// As some programs of Windows write names.
			const bytes = await readFile(at("split.zip"));
			for (let i = bytes.indexOf("sub/"); i >= 0; i = bytes.indexOf("sub/", i)) bytes.write("sub\\", i);
			await writeFile(at("windows.zip"), bytes);
			expect(await disk(at("windows.zip"))).toMatchObject({ isRaw: true });
		});

		test("the top of a chain is taken; its base must be in the same folder, or allowed", async () => {
			await run("qemu-img", "convert", "-O", "qcow2", at("in", "disk.raw"), at("in", "base.qcow2"));
			await run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", "base.qcow2", at("in", "top.qcow2"));
			shell("tar -czf ../chain.tgz base.qcow2 top.qcow2");
			expect(await disk(at("chain.tgz"))).toEqual({ name: "top.qcow2", isRaw: true });

			await run(
				"qemu-img",
				"create",
				"-q",
				"-u",
				"-f",
				"qcow2",
				"-F",
				"qcow2",
				"-b",
				"../base.qcow2",
				at("in", "sub", "up.qcow2"),
				"3M",
			);
			shell("tar -cf ../up.tar base.qcow2 sub/up.qcow2");
			const error = await failure(disk(at("up.tar")));
			expect(error).toMatchObject({ kind: "refused", hint: expect.stringContaining("--allow-external ../base.qcow2") });
			expect(await disk(at("up.tar"), { allow: ["../base.qcow2"] })).toEqual({ name: "up.qcow2", isRaw: true });
			shell("tar -cf ../alone.tar top.qcow2");
			expect(await failure(disk(at("alone.tar")))).toMatchObject({ kind: "not-found" });
		});
	},
);

describe("bombs and traps", () => {
	const source = (bytes: Uint8Array, name = "trap.gz") => bytesSource(bytes, name);

	test("what explodes ends at the limit", async () => {
		const member = gzipSync(Buffer.alloc(64 << 20));
		const bomb = Buffer.concat(Array.from({ length: 64 }, () => member));
		const started = process.cpuUsage();
		expect(await failure(within(source(bomb), { spool: { folder, limit: 128 << 20 } }))).toMatchObject({
			kind: "refused",
			hint: expect.stringContaining("--spool-limit"),
		});
		expect(process.cpuUsage(started).user).toBeLessThan(2_000_000);
	});

	test("hundreds of thousands of empty streams are refused early", async () => {
		const empty = gzipSync("");
		const many = Buffer.alloc(empty.length * 200_000, empty);
		expect(await failure(within(source(many)))).toMatchObject({ kind: "refused" });
	});

	test("compressed files inside each other are followed a few times only", async () => {
		let bytes: Buffer = raw;
		for (let i = 0; i < 3; i++) bytes = gzipSync(bytes, { level: 1 });
		await using found = await within(source(bytes, "x.raw.gz.gz.gz"));
		expect(raw.equals(await readBytes(found.source, 0, raw.length))).toBe(true);
		for (let i = 0; i < 3; i++) bytes = gzipSync(bytes, { level: 1 });
		expect(await failure(within(source(bytes)))).toMatchObject({ kind: "refused" });
	});

	test("a tar with too many members to look through asks for a name", async () => {
		const header = tarHeader("x", 0);
		const bytes = Buffer.concat(
			Array.from({ length: 5000 }, (_, i) => (i === 0 ? header : tarHeader(`disk-${i}.raw`, 0))),
		);
		expect(await failure(within(source(bytes, "many.tar")))).toMatchObject({ kind: "usage" });
	});
});

describe.skipIf(missing("7zz"))(`damaged zip archives ${because("7zz")}`, () => {
	let zip: Uint8Array<ArrayBuffer>;
	const EXPECTED = ["damaged", "refused", "unsupported", "not-found", "usage"];

	beforeAll(async () => {
		shell("7zz a -tzip ../small.zip disk.raw readme.txt");
		zip = new Uint8Array(await readFile(at("small.zip")));
	});

	const patched = (signature: number, change: (view: DataView) => void) => {
		const bytes = zip.slice();
		const view = new DataView(bytes.buffer);
		let found = bytes.length - 4;
		while (found >= 0 && view.getUint32(found, true) !== signature) found--;
		change(new DataView(bytes.buffer, found));
		return bytesSource(bytes, "patched.zip");
	};
	const DIRECTORY = 0x02014b50;
	const END = 0x06054b50;

	test.each<[string, number, (view: DataView) => void, string]>([
		["a directory at the end of the world", END, (view) => view.setUint32(16, 0xfffffffe, true), "damaged"],
		["a directory over itself", END, (view) => view.setUint32(16, 0, true), "damaged"],
		["more members than there are", END, (view) => view.setUint16(10, 0xffff, true), "damaged"],
		["several volumes", END, (view) => view.setUint16(4, 3, true), "unsupported"],
		["a method of its own", DIRECTORY, (view) => view.setUint16(10, 99, true), "not-found"],
		["a member outside of the archive", DIRECTORY, (view) => view.setUint32(42, 0xfffffff0, true), "not-found"],
	])("%s", async (_, signature, change, kind) => {
		// The last member of the directory is the text, so that the disk is still found: only when it is named it fails.
		const options = kind === "not-found" ? { member: "readme.txt" } : {};
		const error = await failure(within(patched(signature, change), options));
		expect(["damaged", "unsupported"]).toContain(error.kind);
	});

	test.each([
		["larger", 1],
		["smaller", -1],
	])("content that is %s than stated is damaged", async (_, difference) => {
		const lying = patched(DIRECTORY, (view) => view.setUint32(24, view.getUint32(24, true) - difference, true));
		expect(await failure(within(lying, { member: "readme.txt" }))).toMatchObject({ kind: "damaged" });
	});

	test("a wrong checksum is damaged", async () => {
		const lying = patched(DIRECTORY, (view) => view.setUint32(16, 1, true));
		expect(await failure(within(lying, { member: "readme.txt" }))).toMatchObject({ kind: "damaged" });
	});

	test("whatever is changed, the answer is a typed error or a result, and quick", async () => {
		const structure = zip.length - 400;
		const places = fc.oneof(fc.integer({ min: structure, max: zip.length - 1 }), fc.nat(60));
		const changes = fc.array(fc.tuple(places, fc.oneof(fc.constantFrom(0, 0xff, 0x7f), fc.nat(255))), {
			minLength: 1,
			maxLength: 4,
		});
		const outcomes = new Set<string>();
		await fc.assert(
			fc.asyncProperty(changes, fc.option(fc.nat(zip.length), { freq: 10 }), async (all, cut) => {
				const bytes = zip.slice(0, cut ?? zip.length);
				for (const [place, value] of all) if (place < bytes.length) bytes[place] = value;
				const started = process.cpuUsage();
				const outcome = await openContained(bytesSource(bytes, "mutant.zip"), {
					likeness: diskLikeness,
					spool: { folder, limit: 8 << 20 },
				}).then(
					async (found) => {
						await found?.[Symbol.asyncDispose]();
						return "read";
					},
					(error: unknown) => {
						if (!(error instanceof AnyvisorError)) throw error;
						return error.kind;
					},
				);
				outcomes.add(outcome);
				expect(["read", ...EXPECTED]).toContain(outcome);
				expect(process.cpuUsage(started).user).toBeLessThan(1_500_000);
			}),
			{ numRuns: 200 },
		);
		expect([...outcomes]).toEqual(expect.arrayContaining(["read", "damaged"]));
	});
});

describe.skipIf(missing("xz"))(`openXzBlocks ${because("xz")}`, () => {
	let blocks: Uint8Array<ArrayBuffer>;

	beforeAll(async () => {
		shell("xz -T2 --block-size=100000 -c disk.raw > ../blocks.xz; xz -T1 -c disk.raw > ../one.xz");
		shell("(cat ../blocks.xz; head -c 4 /dev/zero) > ../padded.xz; cat ../blocks.xz ../blocks.xz > ../two.xz");
		blocks = new Uint8Array(await readFile(at("blocks.xz")));
	});

	test("reads any range without a temporary file", async () => {
		await using source = await openFile(at("blocks.xz"));
		await using found = await within(source, { spool: { folder, limit: 0 } });
		const ranges = fc.array(fc.tuple(fc.nat(raw.length - 1), fc.nat(300_000)), { minLength: 1, maxLength: 4 });
		await fc.assert(
			fc.asyncProperty(ranges, async (all) => {
				await Promise.all(
					all.map(async ([start, length]) => {
						const wanted = raw.subarray(start, start + length);
						expect(wanted.equals(await readBytes(found.source, start, wanted.length))).toBe(true);
					}),
				);
			}),
			{ numRuns: 40 },
		);
	});

	test.each(["one.xz", "padded.xz", "two.xz"])("leaves %s to be spooled", async (name) => {
		await using source = await openFile(at(name));
		expect(await openXzBlocks(source, "x")).toBeUndefined();
	});

	test("a damaged index is left, and damaged blocks are damaged", async () => {
		const changes = fc.array(fc.tuple(fc.nat(blocks.length - 1), fc.integer({ min: 1, max: 255 })), {
			minLength: 1,
			maxLength: 3,
		});
		const nearEnd = changes.map((all) => all.map(([place, by]) => [blocks.length - 1 - (place % 300), by] as const));
		await fc.assert(
			fc.asyncProperty(fc.oneof(changes, nearEnd), async (all) => {
				const bytes = blocks.slice();
				for (const [place, by] of all) bytes[place] = (bytes[place] ?? 0) ^ by;
				const content = await openXzBlocks(bytesSource(bytes, "mutant.xz"), "x");
				const outcome = content && (await readBytes(content, 0, content.size).catch((error: AnyvisorError) => error));
				// The same bit may have been changed twice: what is read at all is right.
				const kind = outcome instanceof Uint8Array ? raw.equals(outcome) : outcome?.kind;
				expect([undefined, true, "damaged", "unsupported", "refused"]).toContain(kind);
			}),
			{ numRuns: 60 },
		);
	});
});
