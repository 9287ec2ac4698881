import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, test } from "vitest";
import { readBytes } from "../../src/bytes/source.js";
import { diskLikeness } from "../../src/disk/likeness.js";
import { type LocationOptions, openLocation, tarHeader } from "../../src/source/index.js";
import { temporaryFolder } from "../support/tools.js";

const folder = await temporaryFolder();
const at = (...parts: string[]) => path.join(folder, ...parts);
await mkdir(at("spool"));

const raw = Buffer.alloc(2 << 20);
randomBytes(100_000).copy(raw, 1000);
const note = Buffer.from("note");

const padded = (content: Uint8Array) => Buffer.concat([content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
const tar = Buffer.concat([
	tarHeader("vm/disk.raw", raw.length),
	padded(raw),
	tarHeader("vm/a b.txt", note.length),
	padded(note),
	Buffer.alloc(1024),
]);
const files = {
	"disk.raw": raw,
	"note.txt": note,
	"app.tar": tar,
	"app.tgz": gzipSync(tar),
	"odd:na#me.raw": raw,
	"odd:na#me.tar": tar,
};
for (const [name, content] of Object.entries(files)) await writeFile(at(name), content);

const server = createServer(({ url = "", headers: { range = "" } }, response) => {
	const body = Object.entries(files).find(([name]) => url === `/${name}`)?.[1];
	if (body === undefined) return void response.writeHead(404).end();
	const [from = 0, to = 0] = [...range.matchAll(/\d+/g)].map(Number);
	const end = Math.min(to + 1, body.length);
	response.writeHead(206, { "content-range": `bytes ${from}-${end - 1}/${body.length}` }).end(body.subarray(from, end));
});
server.listen(0, "127.0.0.1");
await once(server, "listening");
const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
afterAll(() => {
	server.closeAllConnections();
	server.close();
});

const options: LocationOptions = { likeness: diskLikeness, spool: { folder: at("spool") } };

const contentOf = async (named: string, more: LocationOptions = {}) => {
	await using location = await openLocation(named, { ...options, ...more });
	return Buffer.from(await readBytes(location.source, 0, location.source.size));
};

describe("openLocation", () => {
	test.each([
		["a file", at("disk.raw"), raw],
		["a file with a colon and a hash in its name", at("odd:na#me.raw"), raw],
		["the disk in an archive", at("app.tar"), raw],
		["a member", `${at("app.tar")}:vm/a b.txt`, note],
		["a member after a hash", `${at("app.tgz")}#vm/a b.txt`, note],
		["a member of an archive with an odd name", `${at("odd:na#me.tar")}:vm/disk.raw`, raw],
		["a URL", `${base}/disk.raw`, raw],
		["the disk in an archive on a web server", `${base}/app.tgz`, raw],
		["a member of an archive on a web server", `${base}/app.tar#vm/a%20b.txt`, note],
	])("opens %s", async (_, named, content) => {
		expect(content.equals(await contentOf(named))).toBe(true);
	});

	test("opens what comes through a pipe, archives as well", async () => {
		const stdin = () => Readable.from([files["app.tgz"].subarray(0, 1000), files["app.tgz"].subarray(1000)]);
		expect(raw.equals(await contentOf("-", { stdin: stdin() }))).toBe(true);
		await expect(contentOf("-")).rejects.toMatchObject({ kind: "usage" });
		await using location = await openLocation("-", { ...options, stdin: stdin() });
		await expect(location.neighbour("../../etc/passwd")).rejects.toMatchObject({ kind: "refused" });
		await expect(location.neighbour("a b.txt")).resolves.toMatchObject({ size: note.length });
		await using plain = await openLocation("-", { ...options, stdin: Readable.from([raw]) });
		await expect(plain.neighbour("base.raw")).rejects.toMatchObject({ kind: "refused" });
		await using trusted = await openLocation("-", { ...options, stdin: Readable.from([raw]), allow: [at("note.txt")] });
		expect((await trusted.neighbour(at("note.txt"))).size).toBe(note.length);
	});

	test("looks into no archive unless it is told what for", async () => {
		expect(tar.equals(await contentOf(at("app.tar"), { likeness: undefined }))).toBe(true);
		await expect(contentOf(`${at("app.tar")}:x`, { likeness: undefined })).rejects.toMatchObject({ kind: "usage" });
	});

	test("finds neighbours beside what was named, and those that are allowed elsewhere", async () => {
		await mkdir(at("in"), { recursive: true });
		await writeFile(at("in", "top.raw"), raw);
		await writeFile(at("in", "top.raw.gz"), gzipSync(raw));
		await writeFile(at("in", "base.raw"), note);
		for (const name of ["top.raw", "top.raw.gz"]) {
			await using location = await openLocation(at("in", name), { ...options, allow: ["../note.txt"] });
			expect((await location.neighbour("base.raw")).size).toBe(note.length);
			expect((await location.neighbour("../note.txt")).size).toBe(note.length);
			await expect(location.neighbour("../disk.raw")).rejects.toMatchObject({ kind: "refused" });
		}
		await using remote = await openLocation(`${base}/disk.raw`, options);
		expect((await remote.neighbour("note.txt")).size).toBe(note.length);
		await expect(remote.neighbour(at("note.txt"))).rejects.toMatchObject({ kind: "not-found" });
		await using member = await openLocation(at("app.tar"), options);
		expect((await member.neighbour("a b.txt")).size).toBe(note.length);
		// It lies beside the archive, but is no part of it.
		await expect(member.neighbour(at("note.txt"))).rejects.toMatchObject({ kind: "refused" });
		await using allowed = await openLocation(at("app.tar"), { ...options, allow: [at("note.txt")] });
		expect((await allowed.neighbour(at("note.txt"))).size).toBe(note.length);
	});

	test("says what is missing, and what is no archive", async () => {
		await expect(contentOf(at("absent.raw"))).rejects.toMatchObject({ kind: "not-found" });
		await expect(contentOf(`${at("absent.tar")}:disk.raw`)).rejects.toMatchObject({ kind: "not-found" });
		await expect(contentOf(`${at("disk.raw")}:x`)).rejects.toMatchObject({ kind: "usage" });
		await expect(contentOf(`${base}/absent`)).rejects.toMatchObject({ kind: "not-found" });
	});

	test("one limit is for all that is spooled on the way, and nothing stays", async () => {
		const limited = { spool: { folder: at("spool"), limit: tar.length + 100 } };
		expect(raw.equals(await contentOf(`${base}/app.tgz`, limited))).toBe(true);
		await expect(contentOf("-", { ...limited, stdin: Readable.from([files["app.tgz"]]) })).rejects.toMatchObject({
			kind: "refused",
		});
		expect(await readdir(at("spool"))).toEqual([]);
	});
});
