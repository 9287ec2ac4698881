import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { openVm, readDescribed } from "../../src/open.js";
import { openNamedDisk, openNamedOrigin } from "../../src/open-disk.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { encode, outcome } from "./samples.js";

const CLUSTER = 65_536;
const EXTENT = 512;

const CONFIGURATION = `# a comment
boot: order=scsi0
cores: 2
memory: 1024
name: web
net0: virtio=AA:BB:CC:00:00:01,bridge=vmbr0
ostype: l26
scsi0: local-lvm:vm-100-disk-0,size=3M
scsi1: mydir:100/vm-100-disk-1.qcow2,backup=0,size=1G
scsihw: virtio-scsi-pci
virtio3: local-lvm:vm-100-disk-2,size=1M
#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:
#qmdump#map:virtio3:drive-virtio3:local-lvm:raw:
`;

const neighbour = () => Promise.reject(new Error("none"));
const vmOf = (bytes: Uint8Array, name = "x.vma") => openVm({ source: bytesSource(bytes, name), neighbour });

/** The bytes with the checksums they should have, as a forger would leave them. */
function summedUp(bytes: Uint8Array): Uint8Array {
	const forged = Buffer.from(bytes);
	const sum = (from: number, to: number, at: number) => {
		forged.fill(0, from + at, from + at + 16);
		createHash("md5")
			.update(forged.subarray(from, to))
			.digest()
			.copy(forged, from + at);
	};
	const size = Math.min(forged.length, Math.max(12_288, forged.readUInt32BE(56)));
	sum(0, size, 32);
	for (let at = size; at + EXTENT <= forged.length; at += EXTENT + forged.readUInt16BE(at + 6) * 4096) {
		sum(at, at + EXTENT, 24);
	}
	return forged;
}

const tools = ["python3", "zstd", "gzip", "lzop"];

describe.skipIf(missing(...tools))(`a VMA made by its specification ${because(...tools)}`, () => {
	let folder = "";
	const at = (...names: string[]) => path.join(folder, ...names);
	let whole: Uint8Array;
	let first: Uint8Array;
	let second: Uint8Array;

	beforeAll(async () => {
		folder = await temporaryFolder();
		const disk = Buffer.alloc(70 * CLUSTER + 1536);
		disk.fill(createHash("sha512").update("seed").digest(), 100, 9 * CLUSTER + 5000);
		for (let cluster = 20; cluster < 40; cluster += 3)
			disk.fill("mask", cluster * CLUSTER + 8192 + cluster, cluster * CLUSTER + 20_000);
		disk.fill("end", disk.length - 7);
		first = disk;
		second = Buffer.alloc(1 << 20, "two");
		await writeFile(at("a.raw"), first);
		await writeFile(at("b.raw"), second);
		await writeFile(at("100.conf"), CONFIGURATION);
		await run(
			"python3",
			"test/support/make-vma.py",
			at("web.vma"),
			at("100.conf"),
			`drive-virtio3=${at("b.raw")}`,
			`drive-scsi0=${at("a.raw")}`,
		);
		await run("python3", "test/support/make-vma.py", at("one.vma"), at("100.conf"), `drive-scsi0=${at("a.raw")}`);
		whole = await readFile(at("web.vma"));
	});

	async function contents(name: string): Promise<Uint8Array> {
		await using opened = await openNamedDisk(name);
		const bytes = new Uint8Array(opened.disk.size);
		await opened.disk.read(0, bytes);
		return bytes;
	}

	test("holds the machine and its disks, but for those that were left out", async () => {
		const vm = await vmOf(whole);
		expect(vm.kind).toBe("vma");
		expect(vm.described).toMatchObject({
			name: "web",
			description: "a comment",
			cpus: 2,
			memory: 2 ** 30,
			nics: [{ model: "virtio-net", mac: "aa:bb:cc:00:00:01", network: "vmbr0" }],
			lost: ["The disk 100/vm-100-disk-1.qcow2 is not in the backup."],
		});
		expect(vm.described?.disks.map(({ file, capacity }) => [file, capacity])).toEqual([
			["vm-100-disk-0", first.length],
			["vm-100-disk-2", second.length],
		]);
		for (const [index, expected] of [first, second].entries()) {
			const disk = vm.disks[index];
			const bytes = new Uint8Array(disk?.size ?? 0);
			await disk?.read(0, bytes);
			expect(Buffer.compare(bytes, expected)).toBe(0);
			let end = 0;
			const wrong: number[] = [];
			for await (const { at, length, kind } of disk?.extents() ?? []) {
				expect(at).toBe(end);
				end += length;
				if (kind === "zero" && expected.subarray(at, end).some((byte) => byte !== 0)) wrong.push(at);
			}
			expect(wrong).toEqual([]);
			expect(end).toBe(expected.length);
		}
	});

	test("is read at any place", async () => {
		const [disk] = (await vmOf(whole)).disks;
		const place = fc.tuple(fc.nat(first.length), fc.nat(3 * CLUSTER));
		await fc.assert(
			fc.asyncProperty(place, async ([from, length]) => {
				const bytes = new Uint8Array(Math.min(length, first.length - from));
				await disk?.read(from, bytes);
				expect(Buffer.compare(bytes, first.subarray(from, from + bytes.length))).toBe(0);
			}),
			{ numRuns: 60 },
		);
	});

	test("is read as vzdump compresses it", async () => {
		await run("sh", "-c", 'cd "$1" && zstd -q one.vma && gzip -k one.vma && lzop one.vma', "sh", folder);
		for (const name of ["one.vma", "one.vma.zst", "one.vma.gz", "one.vma.lzo"]) {
			expect(Buffer.compare(await contents(at(name)), first), name).toBe(0);
		}
		await using origin = await openNamedOrigin(at("one.vma.zst"));
		expect(await readDescribed(origin)).toMatchObject({ name: "web", origin: "proxmox" });
	});

	test("is damaged where it is cut off, anywhere", async () => {
		for (const length of [12_287, 12_900, 13_900, whole.length - 1, whole.length - 4096]) {
			await expect(vmOf(whole.subarray(0, length)), String(length)).rejects.toMatchObject({ kind: "damaged" });
		}
	});

	test("misses the clusters of an extent that is missing", async () => {
		const size = new DataView(whole.buffer, whole.byteOffset).getUint32(56);
		const blocks = new DataView(whole.buffer, whole.byteOffset).getUint16(size + 6);
		const next = size + EXTENT + blocks * 4096;
		const { disks } = await vmOf(Buffer.concat([whole.subarray(0, size), whole.subarray(next)]));
		for (const disk of disks) {
			await expect(disk.read(0, new Uint8Array(disk.size))).rejects.toMatchObject({
				kind: "damaged",
				message: expect.stringContaining("the backup is incomplete") as unknown,
			});
		}
		const forged = summedUp(Buffer.concat([whole, whole.subarray(size, next)]));
		await expect(vmOf(forged)).rejects.toMatchObject({ message: expect.stringContaining("twice") as unknown });
	});

	test("without a configuration is none", async () => {
		const bytes = Buffer.from(whole);
		bytes.write("x", bytes.indexOf("qemu-server.conf"));
		await expect(vmOf(summedUp(bytes))).rejects.toMatchObject({ kind: "not-found" });
		await expect(vmOf(bytes)).rejects.toMatchObject({ message: expect.stringContaining("checksum") as unknown });
	});

	test("damaged and forged anywhere ends in a typed error, or another machine", async () => {
		const size = new DataView(whole.buffer, whole.byteOffset).getUint32(56);
		const places = fc.oneof(
			fc.nat(64),
			fc.integer({ min: 2044, max: 2052 }),
			fc.integer({ min: 3068, max: 3076 }),
			fc.integer({ min: 4096, max: 4096 + 96 }),
			fc.integer({ min: 12_288, max: size + EXTENT }),
		);
		const change = fc.record({ at: places, byte: fc.nat(255) });
		await fc.assert(
			fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), fc.boolean(), async (changes, forged) => {
				const bytes = Uint8Array.from(whole);
				for (const { at, byte } of changes) bytes[at] = byte;
				const read = async () => {
					const { disks } = await vmOf(forged ? summedUp(bytes) : bytes);
					for (const disk of disks) await disk.read(0, new Uint8Array(Math.min(disk.size, 4 << 20)));
				};
				const kinds = ["read", "damaged", "unsupported", "refused", "not-found"];
				expect(kinds).toContain(await outcome(read()));
			}),
			{ numRuns: 60 },
		);
	});
});

describe.skipIf(corpus === undefined)(`the beginning of a real VMA ${corpusReason}`, () => {
	test("has the machine and the content that its own project expects, and is known to be incomplete", async () => {
		const file = path.join(corpus ?? "", "fox-it+dissect.hypervisor/tests/data/test.vma.gz");
		await using origin = await openNamedOrigin(file);
		const { described, disks } = await openVm(origin);
		expect(described).toMatchObject({
			name: "Test",
			uuid: "6e51303b-e166-46c9-a269-63ed8b57f811",
			cpus: 1,
			memory: 2 ** 31,
			controllers: [{ model: "virtio-scsi" }, { model: "ide" }],
			nics: [{ model: "virtio-net", mac: "9e:19:c3:d0:e2:f7", network: "vmbr0" }],
			lost: [],
		});
		expect(described?.disks).toMatchObject([{ file: "vm-100-disk-0", capacity: 10 * 2 ** 30 }, { kind: "cdrom" }]);
		const begin = new Uint8Array(CLUSTER);
		await disks[0]?.read(0, begin);
		expect(createHash("sha256").update(begin).digest("hex")).toBe(
			"cf4adcf1933a8c9a0a3ff5588e1400e6beea8a32212b3a35ba08c7b08e4e6b1f",
		);
		await expect(disks[0]?.read(2 ** 30, begin)).rejects.toMatchObject({ kind: "damaged" });
	});
});

test("a file that begins otherwise is none", async () => {
	await expect(readDescribed({ source: bytesSource(encode("VMA x"), "x"), neighbour })).resolves.toBeUndefined();
});
