import { mkdir, open, readFile, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { AnyvisorError } from "../../src/bytes/errors.js";
import { isHoleAware } from "../../src/bytes/holes.js";
import { bytesSource, readBytes } from "../../src/bytes/source.js";
import { isTar, openFile, readTar, safeMemberName, type TarMember, tarHeader } from "../../src/source/index.js";
import { withChecksum } from "../../src/source/tar-header.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const folder = await temporaryFolder();

const deep = `${"folder-with-a-long-name/".repeat(6)}file.txt`;
const longer = `${"x".repeat(99)}/${"y".repeat(180)}.txt`;
const files: Record<string, string> = {
	"a.ovf": "<Envelope/>\n",
	"empty.mf": "",
	"ümlaut.txt": "text",
	[deep]: "deep",
};

describe.skipIf(missing("tar"))(`readTar of what GNU tar makes ${because("tar")}`, () => {
	beforeAll(async () => {
		for (const [name, content] of Object.entries({ ...files, [longer]: "longer" })) {
			await mkdir(path.join(folder, "in", path.dirname(name)), { recursive: true });
			await writeFile(path.join(folder, "in", name), content);
		}
		await symlink("a.ovf", path.join(folder, "in", "link"));
	});

	const make = async (...args: string[]) => {
		const archive = path.join(folder, `${args.join("").replaceAll("/", "")}.tar`.slice(-200));
		await run("tar", "--no-recursion", "-C", path.join(folder, "in"), "-cf", archive, ...args);
		return archive;
	};

	test.each(["ustar", "gnu", "oldgnu", "posix", "v7"])("in the format %s", async (format) => {
		// v7 has no prefix field.
		const names = Object.keys(files).filter((name) => format !== "v7" || name.length < 100);
		if (format !== "ustar" && format !== "v7") names.push(longer);
		const archive = await make(`--format=${format}`, ...names, "link", "folder-with-a-long-name/");
		const bytes = await readFile(archive);
		expect(isTar(bytes)).toBe(true);

		const members = await readTar(bytesSource(bytes, "a.tar"));
		const listed = (await run("tar", "-tf", archive, "--quoting-style=literal")).trim().split("\n");
		expect(members.map(({ name }) => name)).toEqual(listed);
		expect(members.find(({ name }) => name === "link")?.type).toBe("symlink");
		expect(members.find(({ name }) => name.endsWith("/"))?.type).toBe("folder");
		for (const name of names) {
			const member = members.find((each) => each.name === name);
			expect(member).toMatchObject({ type: "file", source: { name: `a.tar:${name}` } });
			const content = await readBytes(bytesSource(bytes), member?.at ?? -1, member?.size ?? 0);
			expect(new TextDecoder().decode(content)).toBe({ ...files, [longer]: "longer" }[name]);
		}
	});

	test.each([
		"--format=gnu",
		"--format=posix --sparse-version=0.0",
		"--format=posix --sparse-version=0.1",
		"--format=posix --sparse-version=1.0",
	])("sparse members read as the files they were: %s", async (format) => {
		const file = path.join(folder, "in", "sparse");
		// More runs than fit GNU's header and one block after it.
		const runs = Array.from({ length: 60 }, (_, i) => i * 100_000 + (i % 3) * 4096);
		for (const [size, starts] of [
			[0, []],
			[3_000_000, []],
			[7_000_000, runs],
			[4096 + 59 * 100_000 + 8192 + 4096, runs],
		] as const) {
			const handle = await open(file, "w");
			for (const at of starts) await handle.write(Buffer.alloc(4096, `run at ${at}`), 0, 4096, at);
			await handle.truncate(size);
			await handle.close();
			const archive = await make(...format.split(" "), "--hole-detection=raw", "-S", "sparse", "a.ovf");
			const [sparse, plain] = await readTar(bytesSource(await readFile(archive), "a.tar"));
			expect(sparse).toMatchObject({ name: "sparse", type: "file", size });
			expect(plain).toMatchObject({ name: "a.ovf", size: files["a.ovf"]?.length });
			if (sparse === undefined) continue;
			const { source } = sparse;
			const original = await readFile(file);
			const everything = await readBytes(source, 0, size);
			expect(original.equals(everything)).toBe(true);
			for (const at of starts) {
				const piece = await readBytes(source, Math.max(0, at - 100), 5000);
				expect(
					original
						.subarray(Math.max(0, at - 100))
						.subarray(0, 5000)
						.equals(piece),
				).toBe(true);
			}
			if (starts.length === 0) continue;
			if (!isHoleAware(source)) throw new Error("a sparse member knows its holes");
			let end = 0;
			let data = 0;
			for await (const { at, length, kind } of source.extents()) {
				expect(at).toBe(end);
				end += length;
				if (kind === "data") data += length;
			}
			expect(end).toBe(size);
			expect(data).toBeLessThanOrEqual(starts.length * 8192);
		}
	});

	test("headers before one member are bounded", async () => {
		const name = new Uint8Array(1024);
		name.set(retyped(tarHeader("././@LongLink", 4), "L"));
		name.set(new TextEncoder().encode("name"), 512);
		const endless = Buffer.concat([...Array.from({ length: 40 }, () => name), archiveOf("x", new Uint8Array(3))]);
		await expect(readTar(bytesSource(endless))).rejects.toMatchObject({ kind: "refused" });
	});

	test.each(["-0000001000", "-777", "     -10"])("a size of %s is none", async (size) => {
		const header = tarHeader("a", 0);
		header.set(new TextEncoder().encode(size.padEnd(11, "\0")), 124);
		const archive = new Uint8Array(2048);
		archive.set(withChecksum(header));
		await expect(readTar(bytesSource(archive, "a.tar"))).rejects.toMatchObject({ kind: "damaged" });
	});

	test("a truncated archive is damaged wherever it was cut", async () => {
		const bytes = await readFile(await make("--format=gnu", "a.ovf", longer));
		const members = await readTar(bytesSource(bytes));
		// Cut between two members, or in what only fills a member up, it is an archive without a mark of its end.
		const whole = (length: number) =>
			members.some(({ at, size }) => length >= at + size && length <= padded(at + size));
		const end = Math.max(...members.map(({ at, size }) => at + size));
		const cuts = Array.from({ length: end }, (_, length) => length).filter((length) => length > 0 && !whole(length));
		for (const length of cuts.filter((_, i) => i % 31 === 0)) {
			await expect(readTar(bytesSource(bytes.subarray(0, length)))).rejects.toMatchObject({ kind: "damaged" });
		}
	});

	test("damage is an error or another listing, and quick", async () => {
		await writeFile(path.join(folder, "in", "holes"), Buffer.concat([Buffer.alloc(9000), Buffer.from("end")]));
		const archives: Uint8Array[] = [];
		for (const format of ["gnu", "posix"]) {
			const archive = await make(`--format=${format}`, "--hole-detection=raw", "-S", "a.ovf", "holes", longer, "link");
			archives.push(new Uint8Array(await readFile(archive)));
		}
		const flips = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 5 });
		await fc.assert(
			fc.asyncProperty(fc.constantFrom(...archives), flips, async (bytes, all) => {
				const broken = bytes.slice();
				for (const [at, value] of all) broken[at % broken.length] = value;
				// With its checksum repaired, a bad header gets further.
				for (let at = 0; at + 512 <= broken.length; at += 512)
					if (broken[at] !== 0) repair(broken.subarray(at, at + 512));
				const outcome = await readTar(bytesSource(broken)).catch((error: AnyvisorError) => error.kind);
				expect(typeof outcome === "string" ? ["damaged", "unsupported", "refused"] : [outcome]).toContain(outcome);
				for (const member of typeof outcome === "string" ? [] : outcome) {
					const kind = await readAll(member).catch((error: AnyvisorError) => error.kind);
					expect([undefined, "damaged"]).toContain(kind);
				}
			}),
			{ numRuns: 600 },
		);
	});
});

const padded = (size: number) => Math.ceil(size / 512) * 512;

/** A sparse member may claim any size: its two ends will do. */
async function readAll({ source, size }: TarMember): Promise<void> {
	const length = Math.min(size, 1 << 20);
	await readBytes(source, 0, length);
	await readBytes(source, size - length, length);
}

function retyped(header: Uint8Array, typeflag: string): Uint8Array {
	header.set(new TextEncoder().encode(typeflag), 156);
	repair(header);
	return header;
}

function repair(header: Uint8Array): void {
	header.fill(0x20, 148, 156);
	const sum = header.reduce((total, byte) => total + byte, 0);
	header.set(new TextEncoder().encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
}

/** An archive of one member, by our header. */
const archiveOf = (name: string, content: Uint8Array) => {
	const bytes = new Uint8Array(512 + Math.ceil(content.length / 512) * 512 + 1024);
	bytes.set(tarHeader(name, content.length, 1_700_000_000));
	bytes.set(content, 512);
	return bytes;
};

describe("tarHeader", () => {
	test.skipIf(missing("tar", "7zz"))(`is read by GNU tar and 7-Zip ${because("tar", "7zz")}`, async () => {
		for (const name of ["app.ovf", "größe.vmdk", deep]) {
			const archive = path.join(folder, "ours.tar");
			await writeFile(archive, archiveOf(name, new TextEncoder().encode("content")));
			const listing = await run("tar", "--utc", "--quoting-style=literal", "-tvf", archive);
			expect(listing).toMatch(/^-rw-r--r-- 0\/0 +7 2023-11-14 22:13 /);
			expect(listing.trim().endsWith(` ${name}`)).toBe(true);
			expect(await run("tar", "-xOf", archive)).toBe("content");
			expect(await run("7zz", "x", "-so", archive)).toBe("content");
		}
	});

	test.skipIf(missing("tar"))(`states more than 8 GiB so that GNU tar reads it ${because("tar")}`, async () => {
		const archive = path.join(folder, "large.tar");
		const size = 9 * 2 ** 30 + 5;
		const handle = await open(archive, "w");
		await handle.write(tarHeader("disk.vmdk", size));
		await handle.truncate(512 + 9 * 2 ** 30 + 512 + 1024);
		await handle.close();
		expect(await run("tar", "-tvf", archive)).toContain(` ${size} `);
		await using file = await openFile(archive);
		expect(await readTar(file)).toMatchObject([{ name: "disk.vmdk", size, at: 512 }]);
	});

	test("any name that fits comes back", async () => {
		await fc.assert(
			fc.asyncProperty(
				fc.string({ unit: "grapheme", minLength: 1, maxLength: 60 }).filter((name) => !name.includes("\0")),
				async (name) => {
					const [member] = await readTar(bytesSource(archiveOf(name, new Uint8Array(3))));
					expect(member).toMatchObject({ name: Buffer.from(name).toString(), size: 3, type: "file" });
				},
			),
		);
	});

	test("a name that does not fit is refused before anything is written", () => {
		expect(() => tarHeader("x".repeat(101), 1)).toThrow(expect.objectContaining({ kind: "usage" }));
		expect(() => tarHeader(`${"x".repeat(156)}/y`, 1)).toThrow(expect.objectContaining({ kind: "usage" }));
	});
});

describe("isTar", () => {
	test("is false for what is not one", () => {
		for (const bytes of [new Uint8Array(512), new Uint8Array(511).fill(0x20), new Uint8Array(600).fill(0xff)]) {
			expect(isTar(bytes)).toBe(false);
		}
		fc.assert(fc.property(fc.uint8Array({ minLength: 512, maxLength: 520 }), (bytes) => !isTar(bytes)));
	});
});

describe("safeMemberName", () => {
	test.each(["/etc/passwd", "../x", "a/../../x", "..", ".", "", "./", "C:\\x", "c:x", "a\\..\\x", "a\0b"])(
		"refuses %j",
		(name) => {
			expect(() => safeMemberName(name)).toThrow(expect.objectContaining({ kind: "refused" }));
		},
	);

	test.each([
		["./a.ovf", "a.ovf"],
		["a//b/./c", "a/b/c"],
		["Ref:12/00000000", "Ref:12/00000000"],
		["..a", "..a"],
	])("takes %j as %j", (name, expected) => {
		expect(safeMemberName(name)).toBe(expected);
	});
});
