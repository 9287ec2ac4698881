import { execFile } from "node:child_process";
import { open, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import type { ByteSource } from "../../src/bytes/source.js";
import { bytesSource } from "../../src/bytes/source.js";
import type { Finding } from "../../src/disk/disk.js";
import { checkQcow2 } from "../../src/disk/qcow2/check.js";
import { readHeader } from "../../src/disk/qcow2/header.js";
import { openFile } from "../../src/source/file.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const folder = await temporaryFolder();
const at = (name: string) => path.join(folder, name);

async function findings(source: ByteSource): Promise<Finding[]> {
	const all: Finding[] = [];
	for await (const finding of checkQcow2(source)) all.push(finding);
	return all;
}

async function checked(name: string): Promise<Finding[]> {
	await using source = await openFile(at(name));
	return await findings(source);
}

interface Verdict {
	readonly errors: number;
	readonly leaks: number;
}

const count = (all: readonly Finding[]): Verdict => ({
	errors: all.filter(({ severity }) => severity === "error").length,
	leaks: all.filter(({ severity }) => severity === "leak").length,
});

/** The judge's counts; undefined where it does not get so far. */
async function judged(name: string): Promise<(Verdict & { readonly said: string }) | undefined> {
	const args = ["check", "-f", "qcow2", "--output=json", at(name)];
	const { stdout, stderr } = await promisify(execFile)("qemu-img", args, { cwd: folder }).catch(
		(error: { stdout: string; stderr: string }) => error,
	);
	if (!stdout.startsWith("{")) return undefined;
	const result = JSON.parse(stdout) as { corruptions?: number; leaks?: number; "check-errors": number };
	if (result["check-errors"] > 0) return undefined;
	return { errors: result.corruptions ?? 0, leaks: result.leaks ?? 0, said: stderr };
}

async function expectAgreement(name: string): Promise<Verdict> {
	const own = await checked(name);
	const { said, ...judge } = (await judged(name)) ?? { said: "nothing" };
	expect(count(own), `${own.map(({ message }) => message).join("\n")}\nbut qemu-img:\n${said}`).toEqual(judge);
	return count(own);
}

async function create(name: string, options: string, ...commands: string[]): Promise<void> {
	await run("sh", "-c", `cd "$1" && qemu-img create -q -f qcow2 -o "$2" "$3" 16M`, "sh", folder, options, name);
	const each = commands.flatMap((command) => ["-c", command]);
	await run("sh", "-c", `cd "$1" && shift && qemu-io -f qcow2 -d unmap "$@"`, "sh", folder, ...each, name);
}

const WRITES = ["write -P 1 0 1M", "write -P 2 5M 70k", "write -z 6M 1M", "write -P 3 12M 3k", "discard 128k 64k"];

/** Images of every kind that qemu-img makes, which have nothing to find. */
const LAYOUTS = [
	...[1, 2, 4, 8, 16, 32, 64].map((bits) => `refcount_bits=${bits}`),
	"compat=0.10,cluster_size=512",
	"cluster_size=4k,preallocation=metadata",
	"cluster_size=2M",
	"extended_l2=on",
	"lazy_refcounts=on",
	"data_file=data.raw",
	"data_file=data.raw,data_file_raw=on",
];

/** Where the parts of an image lie. */
async function anatomy(original: Uint8Array) {
	const bytes = Buffer.from(original);
	const header = await readHeader(bytesSource(bytes));
	const u64 = (offset: number) => Number(bytes.readBigUInt64BE(offset) & 0x00ff_ffff_ffff_fe00n);
	const l2 = u64(header.l1.at);
	const block = u64(header.refcounts.at);
	return { bytes, header, l1: header.l1.at, l2, table: header.refcounts.at, block, u64, cluster: header.clusterSize };
}

type Anatomy = Awaited<ReturnType<typeof anatomy>>;

/** One thing that goes wrong with an image. */
const CORRUPTIONS: Readonly<Record<string, (image: Anatomy) => void>> = {
	"a refcount too low": ({ bytes, block }) => bytes.writeUInt16BE(0, block + 2 * 6),
	"a refcount too high": ({ bytes, block }) => bytes.writeUInt16BE(3, block + 2 * 7),
	"a leak": ({ bytes, block, cluster }) => bytes.writeUInt16BE(2, block + 2 * (Math.ceil(bytes.length / cluster) - 1)),
	"an L2 entry without its flag": ({ bytes, l2 }) => bytes.writeUInt8(0, l2),
	"an L1 entry without its flag": ({ bytes, l1 }) => bytes.writeUInt8(0, l1),
	"an L2 entry with reserved bits": ({ bytes, l2 }) => bytes.writeUInt8(0x90, l2),
	"an L1 entry with reserved bits": ({ bytes, l1 }) => bytes.writeUInt8(1, l1 + 7),
	"a refcount table entry with reserved bits": ({ bytes, table }) => bytes.writeUInt8(1, table + 7),
	"two clusters at one place": ({ bytes, l2, header }) => bytes.copyWithin(l2 + header.entrySize, l2, l2 + 8),
	"a cluster inside of another one": ({ bytes, l2 }) => bytes.writeUInt16BE(0x0200, l2 + 6),
	"a cluster beyond the end": ({ bytes, l2 }) => bytes.writeUInt8(1, l2 + 3),
	"a cluster in the header": ({ bytes, l2 }) => bytes.writeBigUInt64BE(1n << 63n, l2),
	"a cluster in the L2 table": ({ bytes, l2 }) => bytes.writeBigUInt64BE((1n << 63n) | BigInt(l2), l2),
	"a cluster in the refcount table": ({ bytes, l2, table }) =>
		bytes.writeBigUInt64BE((1n << 63n) | BigInt(table), l2 + 16),
	"a lost cluster": ({ bytes, l2 }) => bytes.fill(0, l2, l2 + 8),
	"a lost L2 table": ({ bytes, l1 }) => bytes.fill(0, l1, l1 + 8),
	"an L2 table beyond the end": ({ bytes, l1 }) => bytes.writeUInt8(1, l1 + 2),
	"a lost refcount block": ({ bytes, table }) => bytes.fill(0, table, table + 8),
	"a refcount block beyond the end": ({ bytes, table }) => bytes.writeUInt8(1, table + 2),
	"a refcount block that is an L2 table": ({ bytes, table, l2 }) => bytes.writeBigUInt64BE(BigInt(l2), table),
	"two refcount blocks at one place": ({ bytes, table }) => bytes.copyWithin(table + 8, table, table + 8),
	"a compressed cluster with a flag": ({ bytes, l2 }) => bytes.writeUInt8(0xc0, l2),
	"a compressed cluster beyond the end": ({ bytes, l2 }) => bytes.writeBigUInt64BE((1n << 62n) | (1n << 33n), l2),
};

/** What looks like harm, and is none. */
const HARMLESS: typeof CORRUPTIONS = {
	"a refcount behind the end": ({ bytes, block }) => bytes.writeUInt16BE(1, block + 2 * 2000),
	"a preallocated zero cluster": ({ bytes, l2, header }) => bytes.writeUInt8(header.extendedL2 ? 0 : 1, l2 + 7),
	"an image that was not closed": ({ bytes }) => bytes.writeUInt8((bytes[79] ?? 0) | 1, 79),
	"an image that is marked as corrupt": ({ bytes }) => bytes.writeUInt8((bytes[79] ?? 0) | 2, 79),
};

describe.skipIf(missing("qemu-img", "qemu-io"))(`checking qcow2 ${because("qemu-img", "qemu-io")}`, () => {
	for (const layout of LAYOUTS) {
		it(`finds nothing in a healthy image: ${layout}`, async () => {
			await create("healthy", layout, ...WRITES);
			await expect(checked("healthy")).resolves.toEqual([]);
			await expect(expectAgreement("healthy")).resolves.toEqual({ errors: 0, leaks: 0 });
		});
	}

	it("finds nothing in images with snapshots, bitmaps and compressed clusters", async () => {
		for (const options of ["cluster_size=4k", "extended_l2=on,compression_type=zstd"]) {
			await create("rich", options, ...WRITES, "write -c -P 7 8M 256k");
			for (const megabyte of [9, 10]) {
				await run("qemu-img", "snapshot", "-c", `before-${megabyte}`, at("rich"));
				const packed = `write -c -P ${megabyte} ${megabyte}M 64k`;
				await run("qemu-io", "-f", "qcow2", "-c", "write -P 8 100k 800k", "-c", packed, at("rich"));
			}
			await run("qemu-img", "bitmap", "--add", "-f", "qcow2", "-g", "512", at("rich"), "changes");
			await run("qemu-io", "-f", "qcow2", "-c", "write -P 8 10M 800k", at("rich"));
			await run("qemu-img", "bitmap", "--add", "-f", "qcow2", at("rich"), "more");
			await expect(expectAgreement("rich")).resolves.toEqual({ errors: 0, leaks: 0 });
			await expect(checked("rich")).resolves.toEqual([]);
		}
	});

	it("counts hundreds of compressed clusters in one", async () => {
		await run("sh", "-c", `yes "line of text" | head -c 50000000 >"$1"`, "sh", at("text"));
		await run("qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd", at("text"), at("packed"));
		await run("qemu-img", "snapshot", "-c", "one", at("packed"));
		const { bytes, block, header } = await anatomy(await readFile(at("packed")));
		const refcounts = Array.from({ length: bytes.length / header.clusterSize }, (_, i) =>
			bytes.readUInt16BE(block + i * 2),
		);
		expect(Math.max(...refcounts)).toBeGreaterThan(500);
		await expect(expectAgreement("packed")).resolves.toEqual({ errors: 0, leaks: 0 });
	});

	it("counts the header of an encrypted image, which need not be decrypted", async () => {
		const key = ["--object", "secret,id=key,data=x"];
		const options = "encrypt.format=luks,encrypt.key-secret=key,encrypt.iter-time=10";
		// Now and then, its measurement of how many rounds a key is worth fails.
		const create = `for i in 1 2 3 4 5 6; do qemu-img create -q -f qcow2 "$@" && exit; done; exit 1`;
		await run("sh", "-c", create, "sh", ...key, "-o", options, at("luks"), "16M");
		const opened = `driver=qcow2,file.filename=${at("luks")},encrypt.key-secret=key`;
		await run("qemu-io", ...key, "-c", "write -P 1 0 1M", "--image-opts", opened);
		await expect(run("qemu-img", "check", ...key, "--image-opts", opened)).resolves.toContain("No errors");
		await expect(checked("luks")).resolves.toEqual([]);
	});

	it("finds clusters that snapshots share too often for their refcount", async () => {
		await create("shared", "cluster_size=4k", ...WRITES, "write -c -P 7 8M 256k");
		await run("qemu-img", "snapshot", "-c", "one", at("shared"));
		const { bytes, block } = await anatomy(await readFile(at("shared")));
		for (let cluster = 0; cluster < 60; cluster++) bytes.writeUInt16BE(1, block + cluster * 2);
		await writeFile(at("shared"), bytes);
		expect((await expectAgreement("shared")).errors).toBeGreaterThan(10);
	});

	const sound = new Map<string, Uint8Array>();
	beforeAll(async () => {
		for (const options of ["cluster_size=64k", "cluster_size=4k", "extended_l2=on"]) {
			await create("sound", options, ...WRITES);
			sound.set(options, await readFile(at("sound")));
		}
	});

	for (const [harmful, cases] of [
		[true, CORRUPTIONS],
		[false, HARMLESS],
	] as const) {
		for (const [what, corrupt] of Object.entries(cases)) {
			it(`counts as qemu-img does: ${what}`, async () => {
				for (const [options, original] of sound) {
					const image = await anatomy(original);
					corrupt(image);
					await writeFile(at("corrupt"), image.bytes);
					const { errors, leaks } = await expectAgreement("corrupt");
					expect(errors + leaks > 0, options).toBe(harmful);
				}
			});
		}
	}

	it("counts as qemu-img does whatever bytes of the tables change", async () => {
		await create("sound", "cluster_size=4k", ...WRITES, "write -c -P 7 8M 64k");
		const { bytes: sound, ...image } = await anatomy(await readFile(at("sound")));
		// Wherever L2 tables lie, their entries may change; L1 entries lead to other tables, of which there are more views.
		const place = fc.constantFrom(image.l2, image.table, image.block).chain((from) => fc.nat(160).map((i) => from + i));
		const damage = fc.array(fc.record({ place, bit: fc.nat(7) }), { minLength: 1, maxLength: 3 });
		let harmed = 0;
		await fc.assert(
			fc.asyncProperty(damage, async (damage) => {
				const bytes = Uint8Array.from(sound);
				for (const { place, bit } of damage) bytes[place] = (bytes[place] ?? 0) ^ (1 << bit);
				await writeFile(at("corrupt"), bytes);
				const judge = await judged("corrupt");
				fc.pre(judge !== undefined);
				const { errors, leaks } = await expectAgreement("corrupt");
				harmed += Math.min(1, errors + leaks);
			}),
			{ numRuns: 40 },
		);
		expect(harmed).toBeGreaterThan(20);
	});

	it("counts what is wrong with subclusters", async () => {
		await create("sound", "extended_l2=on,cluster_size=16k", ...WRITES);
		const changes: ((image: Anatomy) => void)[] = [
			({ bytes, l2 }) => bytes.writeUInt32BE(1, l2 + 8),
			({ bytes, l2 }) => bytes.writeUInt32BE(1, l2 + 16 * 100 + 12),
			({ bytes, l2 }) => bytes.writeUInt8(0x40, l2),
		];
		for (const change of changes) {
			const image = await anatomy(await readFile(at("sound")));
			change(image);
			await writeFile(at("corrupt"), image.bytes);
			expect((await expectAgreement("corrupt")).errors).toBeGreaterThan(0);
		}
	});

	it("counts bitmaps of which a program without them has forgotten as leaks", async () => {
		await create("forgotten", "cluster_size=4k", ...WRITES);
		await run("qemu-img", "bitmap", "--add", "-f", "qcow2", "-g", "512", at("forgotten"), "changes");
		const file = await open(at("forgotten"), "r+");
		await file.write(new Uint8Array(8), 0, 8, 88);
		await file.close();
		expect((await expectAgreement("forgotten")).leaks).toBeGreaterThan(0);
	});

	it("says where, in which file, and what", async () => {
		await create("sound", "cluster_size=64k", ...WRITES);
		const image = await anatomy(await readFile(at("sound")));
		image.bytes.writeUInt16BE(0, image.block + 2 * 6);
		image.bytes.writeUInt8(1, 79);
		await writeFile(at("corrupt"), image.bytes);
		const all = await checked("corrupt");
		expect(all).toContainEqual({
			severity: "error",
			file: at("corrupt"),
			offset: 6 * 65_536,
			message: `${at("corrupt")}: cluster 6 has the refcount 0, but is used 1 times`,
		});
		expect(all[0]).toMatchObject({ severity: "warning", message: expect.stringContaining("not closed") });
	});

	it("survives any damage, also of snapshots", async () => {
		await create("sound", "cluster_size=4k", ...WRITES, "write -c -P 7 8M 64k");
		await run("qemu-img", "snapshot", "-c", "one", at("sound"));
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 8 100k 80k", at("sound"));
		const sound = await anatomy(await readFile(at("sound")));
		const place = fc
			.constantFrom(0, sound.l1, sound.l2, sound.table, sound.block, sound.header.snapshots.at)
			.chain((start) => fc.nat(200).map((offset) => start + offset));
		const damage = fc.array(fc.record({ place, value: fc.nat(255) }), { minLength: 1, maxLength: 4 });
		await fc.assert(
			fc.asyncProperty(damage, async (damage) => {
				const bytes = Uint8Array.from(sound.bytes);
				for (const { place, value } of damage) bytes[place] = value;
				const started = process.cpuUsage();
				const failure: unknown = await findings(bytesSource(bytes, "mutant")).catch((error: unknown) => error);
				const { user, system } = process.cpuUsage(started);
				expect((user + system) / 1000, "milliseconds").toBeLessThan(2000);
				expect(failure instanceof AnyvisorError || Array.isArray(failure)).toBe(true);
			}),
			{ numRuns: 100 },
		);
	});

	it("checks 64 TiB with little data in the time of the data", async () => {
		await run("qemu-img", "create", "-q", "-f", "qcow2", at("huge"), "64T");
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 1 63T 1M", at("huge"));
		const started = process.cpuUsage();
		await expect(checked("huge")).resolves.toEqual([]);
		const { user, system } = process.cpuUsage(started);
		expect((user + system) / 1000, "milliseconds").toBeLessThan(1500);
	});
});
