import { createHash } from "node:crypto";
import { mkdir, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { readMachine } from "../../src/machine/registry.js";
import { openVm, readDescribed } from "../../src/open.js";
import { openNamedDisk, openNamedOrigin } from "../../src/open-disk.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { encode, outcome } from "./samples.js";

const MIB = 2 ** 20;

const member = (name: string, value: string) => `<member><name>${name}</name><value>${value}</value></member>`;
const struct = (fields: Readonly<Record<string, string>>) =>
	`<struct>${Object.entries(fields)
		.map(([name, value]) => member(name, value))
		.join("")}</struct>`;
const list = (...values: string[]) =>
	`<array><data>${values.map((value) => `<value>${value}</value>`).join("")}</data></array>`;
const record = (type: string, id: string, fields: Readonly<Record<string, string>>) =>
	struct({ class: type, id, snapshot: struct(fields) });

/** As a host writes it, with a disk, a CD drive, and the snapshot of a while ago. */
const records = (size: number) =>
	`<?xml version="1.0"?><value>${struct({
		version: struct({ hostname: "host", export_vsn: "2" }),
		objects: list(
			record("VM", "Ref:0", {
				uuid: "7b10d7af-b932-4c66-b2c3-3996152ec465",
				name_label: "web",
				name_description: "Serves",
				is_a_snapshot: "<boolean>0</boolean>",
				VCPUs_max: "4",
				VCPUs_at_startup: "2",
				memory_static_max: "1073741824",
				HVM_boot_policy: "BIOS order",
				HVM_boot_params: struct({ order: "cd", firmware: "uefi" }),
				platform: struct({ secureboot: "true" }),
				VTPMs: list("OpaqueRef:1"),
			}),
			record("VM", "Ref:1", { name_label: "before", is_a_snapshot: "<boolean>1</boolean>" }),
			record("VBD", "Ref:3", { VM: "Ref:0", VDI: "OpaqueRef:NULL", userdevice: "3", type: "CD" }),
			record("VBD", "Ref:4", { VM: "Ref:0", VDI: "Ref:7", userdevice: "0", type: "Disk" }),
			record("VBD", "Ref:5", { VM: "Ref:1", VDI: "Ref:9", userdevice: "0", type: "Disk" }),
			record("VDI", "Ref:7", { virtual_size: String(size) }),
			record("network", "Ref:8", { name_label: "DMZ" }),
			record("VIF", "Ref:10", { VM: "Ref:0", device: "1", MAC: "", network: "OpaqueRef:NULL" }),
			record("VIF", "Ref:11", { VM: "Ref:0", device: "0", MAC: "AA:bb:cc:00:00:01", network: "Ref:8" }),
		),
	})}</value>`;

const MACHINE = {
	name: "web",
	description: "Serves",
	uuid: "7b10d7af-b932-4c66-b2c3-3996152ec465",
	arch: "x86_64",
	firmware: "uefi",
	secureBoot: true,
	cpus: 2,
	memory: 2 ** 30,
	controllers: [{ id: "xen0", model: "xen-vbd", index: 0 }],
	disks: [
		{ id: "disk1", kind: "disk", file: "Ref:7", capacity: 12 * MIB, controller: "xen0", unit: 0 },
		{ id: "cdrom1", kind: "cdrom", controller: "xen0", unit: 3 },
	],
	nics: [{ model: "xen-vif", mac: "aa:bb:cc:00:00:01", network: "DMZ" }, { model: "xen-vif" }],
	origin: "xva",
	tpm: "2.0",
	lost: ["The VM has 1 snapshots, which are not carried over."],
};

test("the records of a machine", async () => {
	const machine = await readMachine({ name: "ova.xml", bytes: encode(records(12 * MIB)) });
	expect(machine).toEqual(MACHINE);
});

test("damage to the records is a typed error or another machine", async () => {
	const whole = encode(records(12 * MIB));
	const change = fc.record({ at: fc.nat(whole.length - 1), byte: fc.integer({ min: 32, max: 126 }) });
	await fc.assert(
		fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
			const bytes = Uint8Array.from(whole);
			for (const { at, byte } of changes) bytes[at] = byte;
			const found = await outcome(readMachine({ name: "ova.xml", bytes }));
			expect(["read", "damaged", "unsupported", "refused"]).toContain(found);
		}),
		{ numRuns: 60 },
	);
});

const tools = ["tar", "xva-img", "qemu-img", "gzip"];

/** Chunks are made by xva-img, and packed by tar in the order that an export has. */
describe.skipIf(missing(...tools))(`an XVA whose chunks xva-img made ${because(...tools)}`, () => {
	let folder = "";
	const at = (...names: string[]) => path.join(folder, ...names);
	const pack = async (name: string, members: readonly string[]) => {
		await writeFile(at("members"), members.join("\n"));
		await run("tar", "--format=ustar", "-cf", at(name), "-C", folder, "-T", at("members"));
		return at(name);
	};
	let members: string[] = [];

	beforeAll(async () => {
		folder = await temporaryFolder();
		const bytes = Buffer.alloc(12 * MIB);
		bytes.fill(createHash("sha512").update("seed").digest(), 100, 3 * MIB + 5);
		bytes.fill("end", 11 * MIB + 7);
		await writeFile(at("disk.raw"), bytes);
		await mkdir(at("Ref:7"));
		await run("xva-img", "disk-import", at("Ref:7"), at("disk.raw"));
		await writeFile(at("ova.xml"), records(12 * MIB));
		members = ["ova.xml", ...(await readdir(at("Ref:7"))).toSorted().map((name) => `Ref:7/${name}`)];
		await pack("web.xva", members);
	});

	async function contents(name: string): Promise<Uint8Array> {
		await using opened = await openNamedDisk(name);
		const bytes = new Uint8Array(opened.disk.size);
		await opened.disk.read(0, bytes);
		return bytes;
	}

	test("holds the machine and the disk", async () => {
		await using origin = await openNamedOrigin(at("web.xva"));
		expect(await readDescribed(origin)).toEqual(MACHINE);
		const vm = await openVm(origin);
		expect(vm).toMatchObject({ kind: "xva", described: MACHINE });
		expect(vm.disks.map(({ size, format }) => [size, format])).toEqual([[12 * MIB, "raw"]]);
		const kinds: unknown[] = [];
		for await (const { at: start, length, kind } of vm.disks[0]?.extents() ?? [])
			kinds.push([start / MIB, length / MIB, kind]);
		expect(kinds).toEqual([
			[0, 4, "data"],
			[4, 7, "zero"],
			[11, 1, "data"],
		]);
		expect(Buffer.compare(await contents(at("web.xva")), await readFile(at("disk.raw")))).toBe(0);
	});

	test("is read when the host compressed it as a whole", async () => {
		await run("sh", "-c", 'gzip -c "$1" > "$2"', "sh", at("web.xva"), at("small.xva"));
		expect(Buffer.compare(await contents(at("small.xva")), await readFile(at("disk.raw")))).toBe(0);
	});

	test("is damaged where a chunk is not what its checksum says", async () => {
		const file = await open(at("web.xva"), "r+");
		const chunk = (await readFile(at("web.xva"))).indexOf("Ref:7/00000001\0") + 512;
		await file.write("x", chunk + 1000);
		await file.close();
		await expect(contents(at("web.xva"))).rejects.toMatchObject({
			kind: "damaged",
			message: expect.stringContaining("Ref:7/00000001 is not what it was written as") as unknown,
		});
		await pack("web.xva", members);
	});

	test("is damaged where its last chunks are missing, and says so of one without a disk", async () => {
		const short = await pack("short.xva", members.slice(0, -2));
		await expect(contents(short)).rejects.toMatchObject({ kind: "damaged" });
		const bare = await pack("bare.xva", members.slice(0, 1));
		await expect(contents(bare)).rejects.toMatchObject({ kind: "not-found" });
	});

	test.skipIf(missing("xxhsum"))(
		`has XXH64 in place of SHA-1 when a newer host wrote it ${because("xxhsum")}`,
		async () => {
			for (const name of await readdir(at("Ref:7"))) {
				if (name.endsWith(".checksum")) await rm(at("Ref:7", name));
				else {
					const [digest = ""] = (await run("xxhsum", "-H1", at("Ref:7", name))).split(" ");
					await writeFile(at("Ref:7", `${name}.xxhash`), digest.toUpperCase());
				}
			}
			const newer = ["ova.xml", ...(await readdir(at("Ref:7"))).toSorted().map((name) => `Ref:7/${name}`)];
			const file = await pack("newer.xva", newer);
			expect(Buffer.compare(await contents(file), await readFile(at("disk.raw")))).toBe(0);
			await writeFile(at("Ref:7/00000002.xxhash"), "0123456789ABCDEF");
			await expect(contents(await pack("newer.xva", newer))).rejects.toMatchObject({ kind: "damaged" });
		},
	);
});

test("a tar that begins otherwise is none", async () => {
	const tar = new Uint8Array(1024);
	tar.set(encode("ova.xml.old"));
	const neighbour = () => Promise.reject(new Error("none"));
	await expect(readDescribed({ source: bytesSource(tar, "x"), neighbour })).resolves.toBeUndefined();
});
