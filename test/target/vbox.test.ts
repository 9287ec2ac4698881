import { open, readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { vbox as format } from "../../src/machine/vbox.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "./appliance.js";

const root = await temporaryFolder();
const disks = [
	await rawDisk(path.join(root, "a.img"), (5 << 20) + 1536),
	await rawDisk(path.join(root, "b.img"), 3 << 20, 2),
];
const BASE = "Web-server-No1";
const uuid = "11111111-2222-3333-4444-555555555555";

async function settings(changes: Partial<Parameters<typeof written>[3]> = {}) {
	const { folder } = await written(root, "virtualbox", "vbox", { disks, ...changes });
	const bytes = await readFile(path.join(folder, `${BASE}.vbox`));
	return { folder, text: bytes.toString("utf8"), read: await format.read({ name: `${BASE}.vbox`, bytes }) };
}

/** `uuidCreate` of VDICore.h's VDIHEADER1, which lies at 0x188 of the file with its first three parts little-endian. */
async function uuidInHeader(file: string): Promise<string> {
	await using handle = await open(file);
	const { buffer: b } = await handle.read(Buffer.alloc(16), 0, 16, 0x188);
	const hex = [...[3, 2, 1, 0, 5, 4, 7, 6].map((at) => b[at] ?? 0), ...b.subarray(8)]
		.map((byte) => byte.toString(16).padStart(2, "0"))
		.join("");
	return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

describe.skipIf(missing("qemu-img", "xmllint"))(`a .vbox folder ${because("qemu-img", "xmllint")}`, () => {
	test("holds VDIs, each registered by the UUID of its own header", async () => {
		const { folder, text } = await settings();
		expect((await readdir(folder)).sort()).toEqual(["IMPORT.md", `${BASE}-disk2.vdi`, `${BASE}.vbox`, `${BASE}.vdi`]);
		await run("xmllint", "--noout", path.join(folder, `${BASE}.vbox`));
		const seen = new Set<string>();
		for (const [source, file] of [
			["a.img", `${BASE}.vdi`],
			["b.img", `${BASE}-disk2.vdi`],
		] as const) {
			const image = path.join(folder, file);
			const same = await run("qemu-img", "compare", "-f", "raw", "-F", "vdi", path.join(root, source), image);
			expect(same).toContain("Images are identical");
			const own = await uuidInHeader(image);
			seen.add(own);
			expect(text).toContain(`<HardDisk uuid="{${own}}" location="${file}" format="VDI" type="Normal"/>`);
			expect(text).toContain(`<Image uuid="{${own}}"/>`);
		}
		expect(seen.size).toBe(2);
	});

	test("says what the machine is", async () => {
		const { read, text, folder } = await settings({ machine: { ...machine, uuid } });
		expect(read).toMatchObject({ name: machine.name, description: machine.description, uuid, cpus: 2, lost: [] });
		expect(read).toMatchObject({ memory: 2 ** 31, firmware: "bios", controllers: [{ model: "ahci", index: 0 }] });
		expect(read.disks.map(({ file, unit }) => [file, unit])).toEqual([
			[`${BASE}.vdi`, 0],
			[`${BASE}-disk2.vdi`, 1],
		]);
		expect(read.nics).toEqual([
			{ model: "e1000", mac: "00:15:5d:01:02:03", network: "nat" },
			{ model: "e1000", network: "nat" },
		]);
		await expect(text).toMatchFileSnapshot("../golden/virtualbox.vbox");
		const note = await readFile(path.join(folder, "IMPORT.md"), "utf8");
		expect(note).toContain(`VBoxManage registervm "$PWD/${BASE}.vbox"`);
	});

	test("of a machine with UEFI has EFI, and tells that Secure Boot is off", async () => {
		const { read, folder } = await settings({ machine: { ...machine, firmware: "uefi", secureBoot: true } });
		expect(read).toMatchObject({ firmware: "uefi", secureBoot: false });
		expect(await readFile(path.join(folder, "IMPORT.md"), "utf8")).toContain("- Secure Boot, which is off");
	});

	test.each([
		[
			"ide",
			"ide",
			[
				["ide0", 0],
				["ide0", 1],
			],
		],
		[
			"lsilogic",
			"lsilogic",
			[
				["scsi0", 0],
				["scsi0", 1],
			],
		],
		[
			"lsisas1068",
			"lsisas1068",
			[
				["scsi0", 0],
				["scsi0", 1],
			],
		],
		[
			"nvme",
			"nvme",
			[
				["nvme0", 0],
				["nvme0", 1],
			],
		],
		[
			"virtio-scsi",
			"virtio-scsi",
			[
				["scsi0", 0],
				["scsi0", 1],
			],
		],
	])("attaches disks to %s", async (disk, model, places) => {
		const { read } = await settings({ attach: { disk, network: "virtio-net" } });
		expect(read.controllers.map(({ model }) => model)).toEqual([model]);
		expect(read.disks.map(({ controller, unit }) => [controller, unit])).toEqual(places);
		expect(read.nics.map(({ model }) => model)).toEqual(["virtio-net", "virtio-net"]);
	});

	test("puts three disks on IDE's two channels, and more than AHCI has ports nowhere", async () => {
		const many = await Promise.all(
			Array.from({ length: 31 }, (_, i) => rawDisk(path.join(root, `m${i}.img`), 4096, i)),
		);
		const with_ = (count: number) => ({
			disks: many.slice(0, count),
			machine: {
				...machine,
				disks: many.slice(0, count).map((_, i) => ({ id: `disk${i + 1}`, kind: "disk" as const })),
			},
		});
		const { read } = await settings({ ...with_(3), attach: { disk: "ide", network: "e1000" } });
		expect(read.disks.map(({ controller, unit }) => [controller, unit])).toEqual([
			["ide0", 0],
			["ide0", 1],
			["ide1", 0],
		]);
		const { read: full } = await settings(with_(24));
		expect(full.controllers).toHaveLength(1);
		expect(full.disks.at(-1)).toMatchObject({ controller: "sata0", unit: 23 });
		await expect(settings(with_(31))).rejects.toMatchObject({ kind: "unsupported" });
		await expect(settings({ attach: { disk: "pvscsi", network: "e1000" } })).rejects.toMatchObject({
			kind: "unsupported",
		});
	});

	test("leaves out a MAC address that VirtualBox refuses, and escapes names", async () => {
		const { read } = await settings({
			machine: {
				...machine,
				name: "Web server №1",
				description: `"]]>&<x>`,
				nics: [{ model: "e1000", mac: "01:00:5e:00:00:01" }],
			},
		});
		expect(read.nics).toEqual([{ model: "e1000", network: "nat" }]);
		expect(read.description).toBe(`"]]>&<x>`);
	});
});
