import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { everyHypervisor } from "../../src/hypervisor/registry.js";
import { readMachine } from "../../src/machine/registry.js";
import { fileBase } from "../../src/target/file-name.js";
import { layoutNamed, layouts, layoutsFor } from "../../src/target/registry.js";
import { asLibvirtReads, vmwareStandIns } from "../machine/judges.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "./appliance.js";

const root = await temporaryFolder();
const disks = [
	await rawDisk(path.join(root, "a.img"), (5 << 20) + 1536),
	await rawDisk(path.join(root, "b.img"), 3 << 20, 2),
];
const BASE = "Web-server-No1";
const uefi = { ...machine, firmware: "uefi" as const };

async function compare(folder: string, format: string, first: string, second: string): Promise<void> {
	for (const [source, file] of [
		["a.img", first],
		["b.img", second],
	] as const) {
		const same = await run(
			"qemu-img",
			"compare",
			"-f",
			"raw",
			"-F",
			format,
			path.join(root, source),
			path.join(folder, file),
		);
		expect(same).toContain("Images are identical");
	}
}

describe.skipIf(missing("qemu-img"))(`a .vmx folder ${because("qemu-img")}`, () => {
	test("holds sparse VMDKs and a configuration that reads back", async () => {
		const { folder } = await written(root, "vmware", "vmx", { disks, machine: uefi });
		expect((await readdir(folder)).sort()).toEqual(["IMPORT.md", `${BASE}-disk2.vmdk`, `${BASE}.vmdk`, `${BASE}.vmx`]);
		await compare(folder, "vmdk", `${BASE}.vmdk`, `${BASE}-disk2.vmdk`);
		const bytes = await readFile(path.join(folder, `${BASE}.vmx`));
		const read = await readMachine({ name: "x.vmx", bytes });
		expect(read).toMatchObject({ name: machine.name, cpus: 2, memory: 2 ** 31, firmware: "uefi", lost: [] });
		expect(read.disks).toEqual([
			{ id: "disk1", kind: "disk", file: `${BASE}.vmdk`, controller: "scsi0", unit: 0 },
			{ id: "disk2", kind: "disk", file: `${BASE}-disk2.vmdk`, controller: "scsi0", unit: 1 },
		]);
		await expect(bytes.toString("utf8")).toMatchFileSnapshot("../golden/vmware.vmx");
	});

	test.skipIf(missing("virsh"))(`is read by libvirt as it is meant ${because("virsh")}`, async () => {
		const { folder } = await written(root, "vmware", "vmx", { disks });
		const theirs = await asLibvirtReads(path.join(folder, `${BASE}.vmx`), await vmwareStandIns(folder));
		expect(theirs).toMatchObject({ name: machine.name, cpus: 2, memory: 2 ** 31, firmware: "bios" });
		expect(theirs.controllers).toEqual([{ id: "scsi0", model: "pvscsi", index: 0 }]);
		expect(theirs.disks.map(({ file, unit }) => [file, unit])).toEqual([
			[`${BASE}.vmdk`, 0],
			[`${BASE}-disk2.vmdk`, 1],
		]);
		expect(theirs.nics).toMatchObject([{ model: "vmxnet3", mac: "00:15:5d:01:02:03" }, { model: "vmxnet3" }]);
	});
});

describe.skipIf(missing("qemu-img"))(`a libvirt folder ${because("qemu-img")}`, () => {
	const cases = [
		{ name: "virtio-blk", attach: { disk: "virtio-blk", network: "virtio-net" }, machine: uefi, chipset: "q35" },
		{ name: "virtio-scsi", attach: { disk: "virtio-scsi", network: "e1000e" }, machine, chipset: "q35" },
		{ name: "ahci", attach: { disk: "ahci", network: "e1000" }, machine, chipset: "q35" },
		{ name: "ide", attach: { disk: "ide", network: "rtl8139" }, machine, chipset: "pc" },
		{
			name: "secure",
			attach: { disk: "virtio-blk", network: "virtio-net" },
			machine: { ...uefi, secureBoot: true },
			chipset: "q35",
		},
	];
	describe.each(cases)("with $name", ({ name, attach, machine, chipset }) => {
		test("holds qcow2 disks and a domain", async () => {
			const { folder } = await written(root, "kvm", "libvirt", { disks, attach, machine });
			await compare(folder, "qcow2", `${BASE}.qcow2`, `${BASE}-disk2.qcow2`);
			const xml = await readFile(path.join(folder, `${BASE}.xml`), "utf8");
			expect(xml).toContain(`machine="${chipset}"`);
			expect(xml.includes('<os firmware="efi">')).toBe(machine.firmware === "uefi");
			await expect(xml).toMatchFileSnapshot(`../golden/libvirt-${name}.xml`);
		});

		test.skipIf(missing("virt-xml-validate"))(
			`is valid by libvirt's schema ${because("virt-xml-validate")}`,
			async () => {
				const { folder } = await written(root, "kvm", "libvirt", { disks, attach, machine });
				const file = path.join(folder, `${BASE}.xml`);
				await run("virt-xml-validate", file, "domain");
				const broken = path.join(folder, "broken.xml");
				await writeFile(broken, (await readFile(file, "utf8")).replace("<vcpu>", "<vcpu>x"));
				await expect(run("virt-xml-validate", broken, "domain")).rejects.toThrow("fails to validate");
			},
		);
	});
});

describe.skipIf(missing("qemu-img"))(`a folder of VHDs ${because("qemu-img")}`, () => {
	test.each(["nxtop", "neocleus"])("for %s holds dynamic disks, and says what is not verified", async (hypervisor) => {
		const { folder } = await written(root, hypervisor, "vhd", { disks });
		await compare(folder, "vpc", `${BASE}.vhd`, `${BASE}-disk2.vhd`);
		const bytes = await readFile(path.join(folder, `${BASE}.cfg`));
		expect(await readMachine({ name: "x.cfg", bytes })).toMatchObject({
			origin: "xl",
			cpus: 2,
			memory: 2 ** 31,
			disks: [{ file: `${BASE}.vhd` }, { file: `${BASE}-disk2.vhd` }],
		});
		const note = await readFile(path.join(folder, "IMPORT.md"), "utf8");
		expect(note).toContain("The import itself was not");
		for (const fact of everyHypervisor.find(({ id }) => id === hypervisor)?.notes ?? []) expect(note).toContain(fact);
	});
});

describe.skipIf(missing("qemu-img"))(`a folder for xl ${because("qemu-img")}`, () => {
	test("holds raw disks, and a domain that reads back", async () => {
		const { folder } = await written(root, "xenserver", "xl", { disks, machine: uefi });
		expect((await readdir(folder)).sort()).toEqual(["IMPORT.md", `${BASE}-disk2.img`, `${BASE}.cfg`, `${BASE}.img`]);
		await compare(folder, "raw", `${BASE}.img`, `${BASE}-disk2.img`);
		const bytes = await readFile(path.join(folder, `${BASE}.cfg`));
		const read = await readMachine({ name: "x.cfg", bytes });
		expect(read).toMatchObject({ name: BASE, cpus: 2, memory: 2 ** 31, firmware: "uefi", origin: "xl" });
		expect(read.disks.map(({ file, unit }) => [file, unit])).toEqual([
			[`${BASE}.img`, 0],
			[`${BASE}-disk2.img`, 1],
		]);
		expect(read.nics).toMatchObject([{ mac: "00:15:5d:01:02:03", network: "xenbr0" }, { network: "xenbr0" }]);
	});
});

describe("IMPORT.md", () => {
	test.each([
		["vmware", "ova", `govc import.ova ${BASE}.ova`],
		["vmware", "vmx", `vmrun start ${BASE}.vmx`],
		["virtualbox", "ova", `VBoxManage import ${BASE}.ova`],
		["xenserver", "xva", `xe vm-import filename=${BASE}.xva`],
		["hyperv-gen1", "hyperv", "powershell -ExecutionPolicy Bypass -File .\\import.ps1"],
		["kvm", "libvirt", `virsh define ${BASE}.xml`],
		["xenserver", "xl", `xl create ${BASE}.cfg "disk=['format=raw,vdev=xvda,access=rw,target=$PWD/${BASE}.img'`],
	])("for %s as %s has the one command to type, and what was left behind", async (hypervisor, layout, command) => {
		const { folder } = await written(root, hypervisor, layout, { disks });
		const note = await readFile(path.join(folder, "IMPORT.md"), "utf8");
		expect(note.match(/```/g)).toHaveLength(2);
		expect(note.split("```")[1]).toContain(command);
		expect(note).toContain("- The device <sound> is not carried over.");
		expect(note).toContain("- CD and floppy drives are left out");
	});
});

/** With those that are asked for by their own name. */
const allFor = (hypervisor: string) => [
	...layoutsFor(hypervisor),
	...layouts.filter(({ onRequest, hypervisors }) => onRequest && hypervisors[0] === hypervisor),
];

describe("layouts", () => {
	test("every hypervisor has one, each in a folder of its own", () => {
		const folders = everyHypervisor.flatMap(({ id }) => {
			const placed = layoutsFor(id);
			expect(placed).not.toHaveLength(0);
			return placed.map(({ folder }) => folder);
		});
		expect(new Set(folders).size).toBe(folders.length);
		expect(layoutsFor("vmware").map(({ folder }) => folder)).toEqual(["vmware-ova", "vmware-vmx"]);
		expect(layoutsFor("nobody")).toEqual([]);
		const own = layouts.filter(({ onRequest }) => onRequest).map(({ id }) => id);
		expect(own.map((id) => layoutNamed(id)?.folder)).toEqual(own);
		expect(own.filter((id) => folders.includes(id) || everyHypervisor.some((other) => other.id === id))).toEqual([]);
		expect(layoutNamed("ova")).toBeUndefined();
	});

	test("serve only hypervisors that there are, and attach every model that these prefer", async () => {
		const known = everyHypervisor.map(({ id }) => id);
		for (const { hypervisors: served } of layouts) for (const id of served) expect(known).toContain(id);
		const one = { ...machine, disks: machine.disks.slice(0, 1) };
		const tiny = [await rawDisk(path.join(root, "tiny.img"), 1024)];
		for (const { id, boot, firmware } of everyHypervisor) {
			for (const disk of boot.disk) {
				for (const { id: layout } of allFor(id)) {
					const attach = { disk, network: boot.network[0] ?? "" };
					const fits = { ...one, firmware: firmware[0] ?? "bios" };
					await written(root, id, layout, { machine: fits, disks: tiny, attach });
				}
			}
		}
	});

	test("stop on request and leave nothing", async () => {
		const before = await readdir(root);
		for (const { id, firmware } of everyHypervisor) {
			for (const { id: layout } of allFor(id)) {
				const fits = { ...machine, firmware: firmware[0] ?? "bios" };
				const writing = written(root, id, layout, { machine: fits, disks }, { signal: AbortSignal.abort() });
				await expect(writing).rejects.toMatchObject({ kind: "interrupted" });
			}
		}
		expect(await readdir(root)).toEqual(before);
	});

	test("report as much progress as there is on the disks, whatever they hold", async () => {
		const total = disks.reduce((sum, { size }) => sum + size, 0);
		for (const { id, firmware } of everyHypervisor) {
			for (const { id: layout } of allFor(id)) {
				let bytes = 0;
				const fits = { ...machine, firmware: firmware[0] ?? "bios" };
				await written(root, id, layout, { machine: fits, disks }, { onProgress: (more) => (bytes += more) });
				expect(bytes).toBe(total);
			}
		}
	});

	test.each([
		["Debian 12 (web)", "Debian-12-web"],
		["../../etc/passwd", "etc-passwd"],
		["Éléonore", "Eleonore"],
		["", "machine"],
		["日本", "machine"],
		["con", "vm-con"],
		["COM1.local", "vm-COM1.local"],
		["-rf", "rf"],
		["x".repeat(300), "x".repeat(60)],
	])("a machine named %j has files named %s", (name, expected) => {
		expect(fileBase(name)).toBe(expected);
	});
});
