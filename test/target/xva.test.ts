import { createHash } from "node:crypto";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { bytesSource } from "../../src/bytes/source.js";
import { openDisk } from "../../src/disk/registry.js";
import { parseXml, type XmlElement } from "../../src/machine/xml-read.js";
import { openVm } from "../../src/open.js";
import { openNamedOrigin } from "../../src/open-disk.js";
import type { LayoutOptions } from "../../src/target/target.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "./appliance.js";

const MIB = 1 << 20;
const root = await temporaryFolder();
const disks = [
	await rawDisk(path.join(root, "a.img"), 9 * MIB + 1536),
	await rawDisk(path.join(root, "b.img"), 3 * MIB, 2),
];
const NAME = "Web-server-No1.xva";

async function unpacked(changes: Parameters<typeof written>[3], options?: LayoutOptions) {
	const { folder } = await written(root, "xenserver", "xva", changes, options);
	const inside = path.join(folder, "unpacked");
	await run("mkdir", inside);
	await run("tar", "-xf", path.join(folder, NAME), "-C", inside);
	return { folder, inside, members: (await run("tar", "-tf", path.join(folder, NAME))).trim().split("\n") };
}

describe.skipIf(missing("tar", "qemu-img", "xva-img"))(`an XVA ${because("tar", "qemu-img", "xva-img")}`, () => {
	test("is unpacked by xva-img, checksums and all, into the disks that went in", async () => {
		const { inside } = await unpacked({ disks }, { checksum: "sha1" });
		for (const [reference, source] of [
			["Ref:010", "a.img"],
			["Ref:011", "b.img"],
		] as const) {
			const image = path.join(inside, `${reference}.raw`);
			await run("xva-img", "disk-export", path.join(inside, reference), image);
			const same = await run("qemu-img", "compare", "-f", "raw", "-F", "raw", path.join(root, source), image);
			expect(same).toContain("Images are identical");
			expect((await stat(image)).size).toBe(Math.ceil((disks[reference === "Ref:010" ? 0 : 1]?.size ?? 0) / MIB) * MIB);
		}
	});

	test("is refused by xva-img where a checksum does not fit", async () => {
		const { inside } = await unpacked({ disks }, { checksum: "sha1" });
		await run("sh", "-c", 'printf 0 | dd of="$1" conv=notrunc', "sh", path.join(inside, "Ref:010/00000004"));
		await expect(run("xva-img", "disk-export", path.join(inside, "Ref:010"), path.join(inside, "x"))).rejects.toThrow(
			"invalid checksum",
		);
	});

	test.skipIf(missing("xxhsum"))(
		`has the checksums that xxhsum makes, unless SHA-1 is asked for ${because("xxhsum")}`,
		async () => {
			const { inside, folder, members } = await unpacked({ disks });
			const sums = members.filter((name) => name.endsWith(".xxhash"));
			expect(sums).toHaveLength(6);
			for (const name of sums) {
				const [theirs = ""] = (await run("xxhsum", "-H64", path.join(inside, name.slice(0, -7)))).split(" ");
				expect(theirs).toMatch(/^[\da-f]{16}$/);
				expect(await readFile(path.join(inside, name), "utf8")).toBe(theirs.toUpperCase());
			}
			expect(await readFile(path.join(folder, "IMPORT.md"), "utf8")).toContain("--checksum sha1");
			const old = await unpacked({ disks }, { checksum: "sha1" });
			expect(await readFile(path.join(old.folder, "IMPORT.md"), "utf8")).not.toContain("--checksum");
		},
	);

	test.each(["sha1", "xxhash"] as const)("is read back by its %s sums, and not where one differs", async (checksum) => {
		const { folder } = await unpacked({ disks }, { checksum });
		const file = path.join(folder, NAME);
		const whole = async () => {
			await using origin = await openNamedOrigin(file);
			const { disks: read } = await openVm(origin);
			for (const [at, disk] of read.entries()) {
				const bytes = new Uint8Array(MIB);
				for (let from = 0; from < disk.size; from += MIB) await disk.read(from, bytes);
				expect(disk.size).toBe(Math.ceil((disks[at]?.size ?? 0) / MIB) * MIB);
			}
		};
		await whole();
		const bytes = await readFile(file);
		const member = bytes.indexOf(checksum === "sha1" ? "Ref:010/00000004.checksum" : "Ref:010/00000004.xxhash");
		bytes.write(bytes.toString("latin1", member + 512, member + 513) === "0" ? "1" : "0", member + 512, "latin1");
		await writeFile(file, bytes);
		await expect(whole()).rejects.toMatchObject({ kind: "damaged" });
	});

	test("begins with ova.xml, and has whole chunks, ascending, without those of zeros but for the first and last", async () => {
		const { inside, members } = await unpacked({ disks }, { checksum: "sha1" });
		const chunk = (reference: string, ...numbers: number[]) =>
			numbers.flatMap((number) => {
				const name = `${reference}/${String(number).padStart(8, "0")}`;
				return [name, `${name}.checksum`];
			});
		expect(members).toEqual(["ova.xml", ...chunk("Ref:010", 0, 4, 9), ...chunk("Ref:011", 0, 1, 2)]);
		const contents = await Promise.all(members.slice(1).map((member) => readFile(path.join(inside, member))));
		const [chunks, sums] = [0, 1].map((odd) => contents.filter((_, index) => index % 2 === odd));
		expect(new Set(chunks?.map(({ length }) => length))).toEqual(new Set([MIB]));
		expect(sums?.map(String)).toEqual(chunks?.map((content) => createHash("sha1").update(content).digest("hex")));
	});

	test.each([
		["smaller than a chunk", 512, [0]],
		["exactly one chunk", MIB, [0]],
		["two chunks and a sector", 2 * MIB + 512, [0, 2]],
		["long", 40 * MIB, [0, 39]],
	])("of an empty disk %s has its first and last chunk", async (_, size, expected) => {
		const empty = await openDisk(bytesSource(new Uint8Array(size), "empty"), { format: "raw" });
		const one = { ...machine, disks: machine.disks.slice(0, 1) };
		const { inside } = await unpacked({ machine: one, disks: [empty] });
		const numbers = (await readdir(path.join(inside, "Ref:010"))).filter((name) => !name.includes("."));
		expect(numbers.sort().map(Number)).toEqual(expected);
	});

	test("keeps disks in the order of their references however many there are", async () => {
		const many = await Promise.all(
			Array.from({ length: 12 }, (_, index) => rawDisk(path.join(root, `m${index}.img`), MIB, index)),
		);
		const list = many.map((_, index) => ({ id: `disk${index + 1}`, kind: "disk" as const }));
		const { members } = await unpacked({ machine: { ...machine, disks: list }, disks: many });
		const order = [...new Set(members.slice(1).flatMap((name) => name.split("/")[0] ?? []))];
		expect(order).toEqual(order.toSorted((a, b) => (a < b ? -1 : 1)));
		expect(order).toHaveLength(12);
	});
});

/** What an XML-RPC value says, as its specification reads. */
function decoded(value: XmlElement): unknown {
	const [typed] = value.children;
	if (typed === undefined) return value.text;
	if (typed.name === "boolean") return typed.text === "1";
	if (typed.name === "double") return Number(typed.text);
	if (typed.name === "dateTime.iso8601") return typed.text;
	if (typed.name === "array") return typed.children[0]?.children.map(decoded);
	const members = typed.children.map(({ children: [name, member] }) => [name?.text, member && decoded(member)]);
	return Object.fromEntries(members) as Record<string, unknown>;
}

interface Records {
	readonly version: Record<string, string>;
	readonly objects: readonly { class: string; id: string; snapshot: Record<string, unknown> }[];
}

async function records(changes: Partial<Parameters<typeof written>[3]> = {}): Promise<{ xml: string; value: Records }> {
	const { inside } = await unpacked({ disks, ...changes });
	const xml = await readFile(path.join(inside, "ova.xml"), "utf8");
	const root = await parseXml({ name: "ova.xml", bytes: new TextEncoder().encode(xml) });
	return { xml, value: decoded(root) as Records };
}

describe.skipIf(missing("tar"))(`ova.xml ${because("tar")}`, () => {
	test("is of export version 2 and describes the machine", async () => {
		const { value } = await records();
		expect(value.version["export_vsn"]).toBe("2");
		const vm = value.objects.find((object) => object.class === "VM")?.snapshot;
		expect(vm).toMatchObject({
			name_label: machine.name,
			name_description: machine.description,
			memory_static_max: String(2 ** 31),
			memory_dynamic_min: String(2 ** 31),
			VCPUs_max: "2",
			VCPUs_at_startup: "2",
			HVM_boot_policy: "BIOS order",
			HVM_boot_params: { order: "cd", firmware: "bios" },
			platform: { "device-model": "qemu-upstream-compat", secureboot: "false" },
			power_state: "Halted",
		});
	});

	test("says UEFI in both places", async () => {
		const { value } = await records({ machine: { ...machine, firmware: "uefi", secureBoot: true } });
		expect(value.objects[0]?.snapshot).toMatchObject({
			HVM_boot_params: { firmware: "uefi" },
			platform: { "device-model": "qemu-upstream-uefi", secureboot: "true" },
		});
	});

	test("refers to nothing that it does not describe, and back", async () => {
		const { value } = await records();
		const of = (type: string) => value.objects.filter((object) => object.class === type);
		const ids = value.objects.map(({ id }) => id);
		expect(new Set(ids).size).toBe(ids.length);
		for (const { snapshot } of value.objects) {
			const references = Object.values(snapshot)
				.flat()
				.filter((entry): entry is string => typeof entry === "string" && entry.startsWith("Ref:"));
			for (const reference of references) expect(ids).toContain(reference);
		}
		const [vm] = of("VM");
		expect(of("VDI").map(({ snapshot }) => snapshot["virtual_size"])).toEqual([String(10 * MIB), String(3 * MIB)]);
		expect(of("VBD").map(({ id }) => id)).toEqual(vm?.snapshot["VBDs"]);
		expect(of("VBD").map(({ snapshot }) => [snapshot["userdevice"], snapshot["bootable"], snapshot["type"]])).toEqual([
			["0", true, "Disk"],
			["1", false, "Disk"],
		]);
		expect(of("VIF").map(({ id }) => id)).toEqual(vm?.snapshot["VIFs"]);
		expect(of("VIF").map(({ snapshot }) => [snapshot["MAC"], snapshot["MAC_autogenerated"]])).toEqual([
			["00:15:5d:01:02:03", false],
			["", true],
		]);
		expect(of("SR")[0]?.snapshot["content_type"]).toBe("user");
		const uuids = value.objects.map(({ snapshot }) => snapshot["uuid"]);
		expect(new Set(uuids).size).toBe(uuids.length);
		for (const uuid of uuids) expect(uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
	});

	test("says what it always said", async () => {
		const { xml } = await records();
		await expect(xml.replaceAll("><", ">\n<")).toMatchFileSnapshot("../golden/xenserver.ova.xml");
	});
});

test("a machine that XenServer cannot take is refused by name", async () => {
	const nics = Array.from({ length: 8 }, () => ({ model: "e1000" }));
	const writing = written(root, "xenserver", "xva", { machine: { ...machine, nics }, disks });
	await expect(writing).rejects.toThrow(/at most 7 network cards; this machine has 8/);
	await expect(writing).rejects.toBeInstanceOf(AnyvisorError);
});
