import { mkdir, open, readFile, symlink, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { AnyvisorError } from "../../src/bytes/errors.js";
import { bytesSource, readBytes } from "../../src/bytes/source.js";
import { isTar, openFile, readTar, safeMemberName, tarHeader } from "../../src/source/index.js";
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

	test.each([["--format=gnu"], ["--format=posix"]])(
		"sparse members are unsupported, not misread: %s",
		async (format) => {
			await writeFile(path.join(folder, "in", "sparse"), "end");
			await truncate(path.join(folder, "in", "sparse"), 9_000_000);
			const archive = await make(format, "-S", "sparse");
			await expect(readTar(bytesSource(await readFile(archive)))).rejects.toMatchObject({ kind: "unsupported" });
		},
	);

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
		const bytes = new Uint8Array(await readFile(await make("--format=posix", "a.ovf", longer, "link")));
		const flips = fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 5 });
		await fc.assert(
			fc.asyncProperty(flips, async (all) => {
				const broken = bytes.slice();
				for (const [at, value] of all) broken[at] = value;
				// With its checksum repaired, a bad header gets further.
				for (let at = 0; at + 512 <= broken.length; at += 512)
					if (broken[at] !== 0) repair(broken.subarray(at, at + 512));
				const outcome = await readTar(bytesSource(broken)).catch((error: AnyvisorError) => error.kind);
				expect(typeof outcome === "string" ? ["damaged", "unsupported", "refused"] : [outcome]).toContain(outcome);
				for (const { at, size } of typeof outcome === "string" ? [] : outcome) {
					if (at + size > broken.length) throw new Error("a member that leaves the archive");
				}
			}),
			{ numRuns: 300 },
		);
	});
});

const padded = (size: number) => Math.ceil(size / 512) * 512;

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
