import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import type { Disk } from "../../src/disk/disk.js";
import { proxmox } from "../../src/machine/proxmox.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "./appliance.js";

const root = await temporaryFolder();
const disks = [
	await rawDisk(path.join(root, "a.img"), (5 << 20) + 1536),
	await rawDisk(path.join(root, "b.img"), 3 << 20, 2),
];
const BASE = "Web-server-No1";
const full = { ...machine, uuid: "11111111-2222-3333-4444-555555555555" };
const uefi = { ...full, firmware: "uefi" as const, secureBoot: true };

const linesOf = (text: string) => text.split("\n").filter((line) => line !== "");

describe.skipIf(missing("qemu-img"))(`a folder for Proxmox VE ${because("qemu-img")}`, () => {
	test("holds qcow2 disks, a configuration, and the command with the same settings", async () => {
		const { folder } = await written(root, "kvm", "proxmox", { disks, machine: uefi });
		const files = [`${BASE}-disk2.qcow2`, `${BASE}.conf`, `${BASE}.qcow2`];
		expect((await readdir(folder)).sort()).toEqual(["IMPORT.md", ...files]);
		for (const [source, file] of [
			["a.img", files[2]],
			["b.img", files[0]],
		] as const) {
			const images = [path.join(root, source), path.join(folder, file ?? "")];
			const same = await run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", ...images);
			expect(same).toContain("Images are identical");
		}
		const conf = await readFile(path.join(folder, `${BASE}.conf`), "utf8");
		await expect(conf).toMatchFileSnapshot("../golden/proxmox.conf");
		const note = await readFile(path.join(folder, "IMPORT.md"), "utf8");
		await expect(note).toMatchFileSnapshot("../golden/proxmox.md");
		const read = await proxmox.read({ name: `${BASE}.conf`, bytes: Buffer.from(conf) });
		expect(read).toMatchObject({ name: BASE, description: machine.description, firmware: "uefi", uuid: full.uuid });
		expect(read).toMatchObject({ cpus: 2, memory: 2 ** 31, lost: [] });
		expect(read.disks.map(({ file, capacity }) => [path.basename(file ?? ""), capacity])).toEqual([
			[`${BASE}.qcow2`, disks[0]?.size],
			[`${BASE}-disk2.qcow2`, disks[1]?.size],
		]);
		expect(read.nics.map(({ model, mac }) => [model, mac])).toEqual([
			["virtio-net", "00:15:5d:01:02:03"],
			["virtio-net", undefined],
		]);
	});

	test("passes the shell what it means, whatever the machine is called", async () => {
		const hostile = { ...full, name: "a'; touch x; '$(id)`id`", description: 'it\'s $(id) `id` "$PWD"\n# x' };
		const { folder } = await written(root, "kvm", "proxmox", { disks, machine: hostile });
		const note = await readFile(path.join(folder, "IMPORT.md"), "utf8");
		const command = note.split("```")[1]?.replace(/^sh\n/, "") ?? "";
		const said = await run("sh", "-c", `pvesh() { echo 101; }; qm() { printf '%s\\n' "$@"; }; cd /; ${command}`);
		const words = said.split("\n");
		expect(words.slice(0, 2)).toEqual(["create", "101"]);
		expect(words[words.indexOf("--name") + 1]).toMatch(/^[a-z0-9-]+$/i);
		expect(words[words.indexOf("--description") + 1]).toBe('it\'s $(id) `id` "$PWD" # x');
		expect(words[words.indexOf("--virtio0") + 1]).toMatch(/^local-lvm:0,import-from=\/\/[\w-]+\.qcow2$/);
		expect(words.filter((word) => word.startsWith("--"))).toHaveLength((words.length - 3) / 2);
	});

	test.each([
		["virtio-blk", "virtio0,virtio1", "q35"],
		["virtio-scsi", "scsi0,scsi1", "q35"],
		["ahci", "sata0,sata1", "q35"],
		["ide", "ide0,ide1", undefined],
	])("attaches disks to %s", async (disk, slots, chipset) => {
		const { folder } = await written(root, "kvm", "proxmox", { disks, attach: { disk, network: "e1000" } });
		const lines = linesOf(await readFile(path.join(folder, `${BASE}.conf`), "utf8"));
		const drives = lines.filter((line) => /^(?:virtio|scsi|sata|ide)\d/.test(line)).map((line) => line.split(":")[0]);
		expect(drives.join()).toBe(slots);
		expect(lines.find((line) => line.startsWith("machine"))).toBe(chipset && `machine: ${chipset}`);
		expect(lines.includes("scsihw: virtio-scsi-pci")).toBe(disk === "virtio-scsi");
	});
});

test("a file whose name could be taken for options is refused", () => {
	for (const file of ["a,size=1G.raw", "a\nargs: -x", "a:b", ' "x"']) {
		const disk = { id: "disk1", kind: "disk", file, controller: "sata0" } as const;
		const one = {
			...machine,
			controllers: [{ id: "sata0", model: "ahci", index: 0 } as const],
			disks: [disk],
			nics: [],
		};
		expect(() => proxmox.write?.(one)).toThrow("cannot have a disk in a file named");
	}
});

describe.skipIf(corpus === undefined)(`a configuration ${corpusReason}`, () => {
	test("has no key and no option that those of Proxmox VE's own tests do not have", async () => {
		const folder = path.join(corpus ?? "", "proxmox+qemu-server/src/test");
		const names = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".conf"));
		const known = new Set<string>();
		const words = (text: string) =>
			linesOf(text).flatMap((line) => {
				const [key = "", value = ""] = /^([a-z]+)\d*: (.*)$/.exec(line)?.slice(1) ?? [];
				return value.split(",").map((part) => `${key} ${/^([a-z]+)=/.exec(part)?.[1] ?? ""}`);
			});
		for (const name of names)
			for (const word of words(await readFile(path.join(folder, name), "utf8"))) known.add(word);
		for (const disk of ["virtio-blk", "virtio-scsi", "ahci", "ide"]) {
			const attach = { disk, network: "virtio-net" };
			const { folder: output } = await written(root, "kvm", "proxmox", { disks, machine: uefi, attach });
			const ours = words(await readFile(path.join(output, `${BASE}.conf`), "utf8"));
			expect(ours.filter((word) => !known.has(word))).toEqual([]);
		}
	});
});

describe.skipIf(missing("python3", "zstd", "qemu-img"))(`a VMA ${because("python3", "zstd", "qemu-img")}`, () => {
	const NAME = "vzdump-qemu-100-2025_01_01-00_00_00.vma";

	async function unpacked(changes: Parameters<typeof written>[3]) {
		const { folder } = await written(root, "kvm", "vma", changes);
		expect((await readdir(folder)).sort()).toEqual(["IMPORT.md", `${NAME}.zst`]);
		const file = path.join(folder, NAME);
		await run("zstd", "-q", "-d", `${file}.zst`, "-o", file);
		const judged = JSON.parse(await run("python3", "test/support/vma.py", file, folder)) as {
			extents: number;
			devices: readonly { name: string; size: number; clusters: number }[];
		};
		return { folder, file, judged };
	}

	test("holds the disks and their configuration, by its specification", async () => {
		const { folder, judged } = await unpacked({ disks, machine: full });
		expect(judged).toMatchObject({ ctime: 1_735_689_600, extents: 3 });
		expect(judged.devices.map(({ name, size }) => [name, size])).toEqual([
			["drive-virtio0", disks[0]?.size],
			["drive-virtio1", disks[1]?.size],
		]);
		for (const [source, device] of [
			["a.img", "drive-virtio0"],
			["b.img", "drive-virtio1"],
		] as const) {
			const images = [path.join(root, source), path.join(folder, `${device}.raw`)];
			expect(await run("qemu-img", "compare", "-f", "raw", "-F", "raw", ...images)).toContain("Images are identical");
		}
		const conf = await readFile(path.join(folder, "qemu-server.conf"), "utf8");
		await expect(conf).toMatchFileSnapshot("../golden/vma.conf");
		expect(linesOf(conf).slice(-2)).toEqual([
			"#qmdump#map:virtio0:drive-virtio0::raw:",
			"#qmdump#map:virtio1:drive-virtio1::raw:",
		]);
		const note = await readFile(path.join(folder, "IMPORT.md"), "utf8");
		expect(note.split("```")[1]).toContain(`qmrestore ${NAME}.zst`);
	});

	test.each([
		["smaller than a block", 512, 1],
		["an extent and a sector", 59 * 65_536 + 512, 60],
		["large", 3 * 2 ** 30, 49_152],
	])("of an empty disk %s lists every cluster", async (_, size, clusters) => {
		const empty = emptyDisk(size);
		const { judged } = await unpacked({ machine: { ...machine, disks: machine.disks.slice(0, 1) }, disks: [empty] });
		expect(judged.devices).toEqual([{ name: "drive-virtio0", size, clusters }]);
		expect(judged.extents).toBe(Math.ceil(clusters / 59));
	});

	test("is the same when it is made again", async () => {
		const folders = [await written(root, "kvm", "vma", { disks }), await written(root, "kvm", "vma", { disks })];
		await run("cmp", ...folders.map(({ folder }) => path.join(folder, `${NAME}.zst`)));
	});

	test("cannot carry a description beyond its blobs", async () => {
		const long = { ...machine, description: "x".repeat(70_000) };
		await expect(written(root, "kvm", "vma", { disks, machine: long })).rejects.toMatchObject({ kind: "unsupported" });
	});
});

function emptyDisk(size: number): Disk {
	return {
		name: "empty",
		size,
		format: "raw",
		sectorSize: 512,
		extents: async function* () {
			yield { at: 0, length: size, kind: "zero" as const };
		},
		read: (_, into) => {
			into.fill(0);
			return Promise.resolve();
		},
	};
}
