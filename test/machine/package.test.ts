import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { notFound } from "../../src/bytes/errors.js";
import { bytesSource, readBytes } from "../../src/bytes/source.js";
import { ovf } from "../../src/machine/ovf/ovf.js";
import { type PackageMember, readOva, readOvfFolder } from "../../src/machine/ovf/package.js";
import { readTar } from "../../src/source/tar.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { encode, outcome, sample } from "./samples.js";

const descriptor = (files: readonly string[]) =>
	ovf.write?.({ ...sample, disks: sample.disks.map((disk, index) => ({ ...disk, file: files[index] ?? "x.vmdk" })) }) ??
	"";

const member = (name: string, text: string): PackageMember => ({ name, source: bytesSource(encode(text), name) });
const text = descriptor(["web-disk1.vmdk", "web-disk2.vmdk"]);
const digest = (content: string, algorithm = "sha256") => createHash(algorithm).update(content).digest("hex");
const lines = [
	`SHA256(web.ovf)= ${digest(text)}`,
	`SHA1 (web-disk1.vmdk) = ${digest("first", "sha1")}`,
	`SHA2-256(web-disk2.vmdk)= ${digest("second").toUpperCase()}`,
];
const members = [
	member("web.ovf", text),
	member("web.mf", lines.join("\r\n")),
	member("web-disk1.vmdk", "first"),
	member("web-disk2.vmdk", "second"),
];

/** Each disk's content as text, in the machine's order. */
async function contents(list: readonly PackageMember[]): Promise<string[]> {
	const { disks } = await readOva(list, "web.ova");
	return Promise.all(disks.map(async ({ source }) => String(Buffer.from(await readBytes(source, 0, source.size)))));
}

describe("an OVA", () => {
	test("is read whatever order its members stand in", async () => {
		expect(await contents(members)).toEqual(["first", "second"]);
		expect(await contents(members.toReversed())).toEqual(["first", "second"]);
		const nested = members.map(({ name, source }) => ({ name: `./appliance/${name}`, source }));
		expect(await contents(nested)).toEqual(["first", "second"]);
	});

	test("passes over folders and what nothing refers to; a link in place of a disk is refused by its name", async () => {
		const nothing = bytesSource(encode(""));
		const others = [
			{ name: "web.ovf/", type: "folder", source: nothing },
			{ name: "../../readme", type: "symlink", source: nothing },
		];
		expect(await contents([...others, ...members])).toEqual(["first", "second"]);
		const link: PackageMember = { name: "web-disk1.vmdk", type: "symlink", source: nothing };
		const linked = readOva([link, ...members.filter(({ name }) => name !== link.name)], "web.ova");
		await expect(linked).rejects.toMatchObject({ kind: "refused", message: /web-disk1\.vmdk as a symlink/ });
	});

	test("has a manifest that is checked on request, in every spelling", async () => {
		const manifest = await (await readOva(members, "web.ova")).manifest();
		let bytes = 0;
		await manifest?.verify({ onProgress: (more) => (bytes += more) });
		expect(bytes).toBe(text.length + "first".length + "second".length);
		expect(manifest?.entries.map(({ algorithm }) => algorithm)).toEqual(["SHA256", "SHA1", "SHA2-256"]);
	});

	test.each([
		["a changed disk", { "web-disk2.vmdk": "seconD" }, "damaged", "web-disk2.vmdk does not have the digest"],
		["a line that is none", { "web.mf": "hello" }, "damaged", "a line that is no digest"],
		["an unknown algorithm", { "web.mf": `MD5(web.ovf)= ${digest(text, "md5")}` }, "unsupported", "uses MD5"],
		[
			"a file that is not there",
			{ "web.mf": `SHA1(gone.vmdk)= ${digest("", "sha1")}` },
			"not-found",
			"no member gone.vmdk",
		],
		["a file outside", { "web.mf": `SHA1(../x)= ${digest("", "sha1")}` }, "refused", "outside of its package"],
	] as const)("with %s does not verify", async (_, changed, kind, message) => {
		const list = members.map((each) => {
			const other = (changed as Readonly<Record<string, string>>)[each.name];
			return other === undefined ? each : member(each.name, other);
		});
		const verifying = readOva(list, "web.ova").then(async ({ manifest }) => (await manifest())?.verify());
		await expect(verifying).rejects.toMatchObject({ kind, message: expect.stringContaining(message) as string });
	});

	test("may name its manifest otherwise", async () => {
		const list = members.map(({ name, source }) => ({ name: name === "web.mf" ? "other.MF" : name, source }));
		expect((await (await readOva(list, "web.ova")).manifest())?.entries).toHaveLength(3);
	});

	test("tells which of its files no digest protects, chunks too", async () => {
		const chunked = text.replace('ovf:href="web-disk1.vmdk"', 'ovf:href="web%20disk.vmdk" ovf:chunkSize="3"');
		const chunks = ["fir", "st"].map((part, index) => member(`web disk.vmdk.00000000${index}`, part));
		const listed = `SHA256(web disk.vmdk.000000000)= ${digest("fir")}`;
		const list = [member("web.ovf", chunked), member("web.mf", listed), ...chunks, member("web-disk2.vmdk", "second")];
		const manifest = await (await readOva(list, "web.ova")).manifest();
		expect(manifest?.unlisted).toEqual(["web.ovf", "web disk.vmdk.000000001", "web-disk2.vmdk"]);
		await manifest?.verify();
	});

	test("without a manifest is read", async () => {
		const { manifest } = await readOva(
			members.filter(({ name }) => name !== "web.mf"),
			"web.ova",
		);
		expect(await manifest()).toBeUndefined();
	});

	test.each([
		["no descriptor", members.slice(1), "not-found", "no .ovf in it"],
		["a disk missing", members.slice(0, 3), "not-found", "no member web-disk2.vmdk"],
		["two members of one name", [...members, member("./web.ovf", text)], "damaged", "two members named web.ovf"],
		["a descriptor of 5 MB", [member("web.ovf", " ".repeat(5_000_000))], "refused", "5000000 bytes"],
	])("with %s is a typed error that names it", async (_, list, kind, message) => {
		await expect(readOva(list, "web.ova")).rejects.toMatchObject({
			kind,
			message: expect.stringContaining(message) as string,
		});
	});

	test.each([
		"/etc/passwd",
		"../x.vmdk",
		"a/../../x",
		"%2e%2e/x",
		"..\\x",
		"file:///x",
		"http://192.0.2.1/x.vmdk",
		"C:x",
	])("that refers to %s is refused", async (href) => {
		const list = [member("web.ovf", descriptor([href])), member(href, "x"), member(decodeURIComponent(href), "x")];
		const distinct = [...new Map(list.map((each) => [each.name, each])).values()];
		expect(await outcome(readOva(distinct, "web.ova"))).toBe("refused");
	});

	test("may write names as URIs, or not", async () => {
		const spaced = [member("web.ovf", descriptor(["my%20disk.vmdk", "100%.vmdk"]))];
		const disks = [member("my disk.vmdk", "a"), member("100%.vmdk", "b")];
		expect(await contents([...spaced, ...disks])).toEqual(["a", "b"]);
	});
});

describe("an OVF folder", () => {
	test("opens its neighbours by name, the manifest if there is one", async () => {
		const files = new Map(members.map(({ name, source }) => [name, source]));
		const opened: string[] = [];
		const { disks, manifest } = await readOvfFolder({ name: "web.ovf", bytes: encode(text) }, (name) => {
			opened.push(name);
			const source = files.get(name);
			return source === undefined ? Promise.reject(notFound(`${name} is missing`)) : Promise.resolve(source);
		});
		expect(opened).toEqual(["web-disk1.vmdk", "web-disk2.vmdk"]);
		expect(disks).toHaveLength(2);
		await (await manifest())?.verify();
		expect(opened[2]).toBe("web.mf");
	});
});

describe.skipIf(missing("tar"))(`an archive made by tar ${because("tar")}`, () => {
	test("is read and verified", async () => {
		const folder = await temporaryFolder();
		for (const { name, source } of members)
			await writeFile(path.join(folder, name), await readBytes(source, 0, source.size));
		await run(
			"tar",
			"-C",
			folder,
			"-cf",
			path.join(folder, "web.ova"),
			...members.map(({ name }) => name).toReversed(),
		);
		const archive = bytesSource(Uint8Array.from(readFileSync(path.join(folder, "web.ova"))), "web.ova");
		const { machine, manifest } = await readOva(await readTar(archive), "web.ova");
		expect(machine.name).toBe(sample.name);
		await (await manifest())?.verify();
	});
});

describe.skipIf(corpus === undefined)(`appliances of other projects ${corpusReason}`, () => {
	test.each([
		["google+osv-scalibr/extractor/filesystem/embeddedfs/ova/testdata/valid.ova", "damaged"],
		["kubevirt+containerized-data-importer/tests/images/fake.ova", "read"],
	])("%s is what it is", async (file, expected) => {
		const bytes = Uint8Array.from(readFileSync(path.join(corpus ?? "", file)));
		const reading = readTar(bytesSource(bytes, file)).then((list) => readOva(list, file));
		expect(await outcome(reading)).toBe(expected);
	});
});
