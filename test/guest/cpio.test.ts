import { execFileSync } from "node:child_process";
import { link as hardLink, mkdir, readFile, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { type CpioEntry, cpioTrailer, readCpio } from "../../src/guest/initramfs/cpio.js";
import { type ForwardReader, sourceReader, streamReader } from "../../src/guest/initramfs/reader.js";
import { because, corpus, corpusReason, missing, temporaryFolder } from "../support/tools.js";
import { archive, concat, folder, link } from "./support/cpio.js";
import { survivesMutation } from "./support/mutation.js";

async function entriesOf(reader: ForwardReader, wants = true): Promise<CpioEntry[]> {
	const entries: CpioEntry[] = [];
	for await (const entry of readCpio(reader, { file: "test", offset: 0, wants: () => wants })) entries.push(entry);
	return entries;
}

const fromMemory = (bytes: Uint8Array) => entriesOf(sourceReader(bytesSource(bytes), 0));

async function* chunks(bytes: Uint8Array, size: number) {
	for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Names and contents, the trailer left out. */
const plain = (entries: readonly CpioEntry[]) =>
	entries
		.filter(({ name }) => name !== cpioTrailer)
		.map(({ name, contents }) => [name, contents && new TextDecoder().decode(contents)]);

const cpio = (cwd: string, args: readonly string[], input: string | Uint8Array) =>
	new Uint8Array(execFileSync("cpio", ["--quiet", ...args], { cwd, input, maxBuffer: 1 << 26 }));

describe.skipIf(missing("cpio"))(`cpio archives of cpio(1) ${because("cpio")}`, () => {
	it.each(["newc", "crc"])("reads files, links and folders of the %s format", async (format) => {
		const root = await temporaryFolder();
		await mkdir(path.join(root, "d/e"), { recursive: true });
		await writeFile(path.join(root, "d/empty"), "");
		await writeFile(path.join(root, "d/e/odd"), "three".repeat(333));
		await symlink("../over/there", path.join(root, "d/link"));
		await writeFile(path.join(root, "one"), "shared");
		await hardLink(path.join(root, "one"), path.join(root, "two"));
		const bytes = cpio(root, ["-o", "-H", format], "d\nd/e\nd/empty\nd/e/odd\nd/link\none\ntwo\n");
		const entries = await fromMemory(bytes);
		const found = new Map(entries.map((entry) => [entry.name, entry]));
		expect([...found.keys()]).toEqual(
			cpio(root, ["-t"], bytes)
				.reduce((text, byte) => text + String.fromCharCode(byte), "")
				.trim()
				.split("\n")
				.concat(cpioTrailer),
		);
		const text = (name: string) => new TextDecoder().decode(found.get(name)?.contents);
		expect(text("d/e/odd")).toBe("three".repeat(333));
		expect(text("d/link")).toBe("../over/there");
		expect((found.get("d")?.mode ?? 0) & 0o170000).toBe(0o040000);
		expect(found.get("one")).toMatchObject({ nlink: 2, inode: found.get("two")?.inode });
		expect(`${text("one")}${text("two")}`).toBe("shared");
	});

	it("writes headers that cpio(1) reads: what the tests below are built with", async () => {
		const root = await temporaryFolder();
		const names = ["a", "a/b", "a/link"];
		const bytes = archive([folder("a"), { name: "a/b", contents: "hello" }, link("a/link", "b")]);
		expect(
			new TextDecoder()
				.decode(cpio(root, ["-t"], bytes))
				.trim()
				.split("\n"),
		).toEqual(names);
		cpio(root, ["-i"], bytes);
		expect(await readFile(path.join(root, "a/link"), "utf8")).toBe("hello");
	});
});

describe.skipIf(corpus === undefined)(`cpio archives of the corpus ${corpusReason}`, () => {
	const read = async (name: string) =>
		new Uint8Array(await readFile(path.join(corpus ?? "", "log2timeline+dfvfs/test_data", name)));

	it("reads a newc archive", async () => {
		const [entry] = await fromMemory(await read("syslog.newc.cpio"));
		expect(entry).toMatchObject({ name: "syslog", size: 1247 });
	});

	it("refuses the older odc format, as the kernel does", async () => {
		await expect(fromMemory(await read("syslog.odc.cpio"))).rejects.toMatchObject({ kind: "damaged", offset: 0 });
	});
});

describe("cpio reader", () => {
	const names = fc.array(fc.stringMatching(/^[a-z][a-z/]{0,30}$/), { maxLength: 8 });

	it("reads what was written, whole or in chunks of any size", () =>
		fc.assert(
			fc.asyncProperty(
				names.chain((list) =>
					fc.tuple(
						fc.constant(list),
						fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: list.length, maxLength: list.length }),
					),
				),
				fc.integer({ min: 1, max: 300 }),
				async ([list, contents], size) => {
					const bytes = archive(list.map((name, i) => ({ name, contents: contents[i] ?? "" })));
					const expected = await fromMemory(bytes);
					expect(expected.map(({ name }) => name)).toEqual([...list, cpioTrailer]);
					expect(expected.map((entry) => entry.contents ?? new Uint8Array()).slice(0, -1)).toEqual(contents);
					expect(await entriesOf(streamReader(chunks(bytes, size)))).toEqual(expected);
				},
			),
		));

	it("skips contents that nobody wants, and never fetches them", async () => {
		const bytes = archive([
			{ name: "big", contents: new Uint8Array(4 << 20).fill(1) },
			{ name: "next", contents: "x" },
		]);
		let fetched = 0;
		const inner = bytesSource(bytes);
		const counting = {
			...inner,
			read: (at: number, into: Uint8Array) => ((fetched += into.length), inner.read(at, into)),
		};
		const entries = await entriesOf(sourceReader(counting, 0), false);
		expect(plain(entries)).toEqual([
			["big", undefined],
			["next", undefined],
		]);
		expect(fetched).toBeLessThan(1 << 20);
	});

	it("goes on after a trailer and after zero bytes, and stops before anything else", async () => {
		const bytes = concat([archive([{ name: "a" }]), new Uint8Array(1024), archive([{ name: "b" }]), Uint8Array.of(7)]);
		const reader = sourceReader(bytesSource(bytes), 0);
		expect((await entriesOf(reader)).map(({ name }) => name)).toEqual(["a", cpioTrailer, "b", cpioTrailer]);
		expect(reader.at).toBe(bytes.length - 1);
	});

	it("verifies the sums of the crc format", async () => {
		const entry = { name: "a", contents: "ab", magic: "070702" };
		expect(plain(await fromMemory(archive([{ ...entry, check: 0x61 + 0x62 }])))).toEqual([["a", "ab"]]);
		await expect(fromMemory(archive([{ ...entry, check: 1 }]))).rejects.toMatchObject({
			kind: "damaged",
			file: "test",
		});
	});

	it("names file and offset of what is broken", async () => {
		const whole = archive([
			{ name: "first", contents: "1234" },
			{ name: "second", contents: "5678" },
		]);
		const second = 110 + 6 + 4;
		const broken = (at: number, text: string) => {
			const bytes = whole.slice();
			bytes.set(new TextEncoder().encode(text), at);
			return fromMemory(bytes);
		};
		const damaged = { kind: "damaged", file: "test", offset: second };
		await expect(broken(second, "070703")).rejects.toMatchObject(damaged);
		await expect(broken(second + 6, "nothex")).rejects.toMatchObject(damaged);
		await expect(broken(second + 94, "FFFFFFFF")).rejects.toMatchObject(damaged);
		await expect(broken(second + 94, "00000000")).rejects.toMatchObject(damaged);
		await expect(broken(second + 94, "00000003")).rejects.toMatchObject(damaged);
		await expect(broken(second + 54, "FFFFFFFF")).rejects.toMatchObject(damaged);
		await expect(fromMemory(whole.slice(0, second + 50))).rejects.toMatchObject(damaged);
	});

	it("survives any damage", async () => {
		const bytes = archive([folder("a"), { name: "a/b", contents: "hello" }, link("a/l", "b")]);
		expect(await survivesMutation(bytes, fromMemory)).toBeGreaterThan(0);
	});
});
