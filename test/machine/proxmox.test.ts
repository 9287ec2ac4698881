import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { machineFormatOf, readMachine } from "../../src/machine/registry.js";
import { corpus, corpusReason } from "../support/tools.js";
import { encode } from "./samples.js";

const read = (text: string) => readMachine({ name: "100.conf", bytes: encode(text) });

test("a configuration of Proxmox VE", async () => {
	const machine = await read(`#A web%3A server
bios: ovmf
boot: order=virtio1;scsi0;net0
cores: 3
efidisk0: local:100/vm-100-disk-0.raw,efitype=4m,pre-enrolled-keys=1,size=528K
hostpci0: 00:02.0
ide2: none,media=cdrom
memory: 768
name: web
net0: virtio=A2:C0:43:77:08:A0,bridge=vmbr0,firewall=1
net1: e1000=12:34:56:78:90:12,bridge=vmbr1
ostype: l26
scsi0: local:8006/vm-8006-disk-0.qcow2,discard=on,size=32G
scsi9: local-lvm:vm-8006-disk-2,size=512M
scsihw: virtio-scsi-single
smbios1: uuid=7B10d7af-b932-4c66-b2c3-3996152ec465
sockets: 2
virtio1: nfs:8006/vm-8006-disk-1.raw,size=104858K

[before]
cores: 1
memory: 1

[PENDING]
cores: 7
`);
	expect(machine).toEqual({
		name: "web",
		description: "A web: server",
		uuid: "7b10d7af-b932-4c66-b2c3-3996152ec465",
		arch: "x86_64",
		firmware: "uefi",
		secureBoot: true,
		cpus: 6,
		memory: 768 * 2 ** 20,
		controllers: [
			{ id: "scsi0", model: "virtio-scsi", index: 0 },
			{ id: "scsi9", model: "virtio-scsi", index: 9 },
			{ id: "virtio0", model: "virtio-blk", index: 0 },
			{ id: "ide1", model: "ide", index: 1 },
		],
		disks: [
			{
				id: "disk1",
				kind: "disk",
				file: "8006/vm-8006-disk-1.raw",
				capacity: 104_858 * 1024,
				controller: "virtio0",
				unit: 1,
			},
			{
				id: "disk2",
				kind: "disk",
				file: "8006/vm-8006-disk-0.qcow2",
				capacity: 32 * 2 ** 30,
				controller: "scsi0",
				unit: 0,
			},
			{ id: "disk3", kind: "disk", file: "vm-8006-disk-2", capacity: 512 * 2 ** 20, controller: "scsi9", unit: 0 },
			{ id: "cdrom1", kind: "cdrom", controller: "ide1", unit: 0 },
		],
		nics: [
			{ model: "virtio-net", mac: "a2:c0:43:77:08:a0", network: "vmbr0" },
			{ model: "e1000", mac: "12:34:56:78:90:12", network: "vmbr1" },
		],
		origin: "proxmox",
		lost: [
			"The passed-through PCI device hostpci0 (00:02.0) is not carried over.",
			"These snapshots are not carried over: before.",
			"Changes that wait for the next start are not carried over.",
		],
	});
});

test.each([
	["vcpus: 2\ncores: 8\nostype: l26", { cpus: 2, memory: 512 * 2 ** 20 }],
	["memory: current=4096\nostype: l26", { memory: 4 * 2 ** 30, cpus: 1 }],
	["scsi8: a:b\nscsihw: lsi\nostype: l26", { controllers: [{ id: "storage1", model: "unknown", index: 1 }] }],
	[
		"net0: model=virtio,macaddr=02:00:00:00:00:01\nostype: l26",
		{ nics: [{ model: "virtio-net", mac: "02:00:00:00:00:01" }] },
	],
	["amd-sev: type=snp\nostype: l26", { lost: ["The encryption of memory amd-sev (type=snp) is not carried over."] }],
	["allow-ksm: 0\nostype: l26", { lost: [] }],
	[
		"net1: virtio,bridge=vmbr0,tag=100,link_down=1\nostype: l26",
		{
			lost: [
				"The network card net1 is in the VLAN 100, which its bridge puts it in.",
				"The network card net1 is not connected.",
			],
		},
	],
	["net0: rtl8139,bridge=vmbr0\nostype: l26", { nics: [{ model: "rtl8139", network: "vmbr0" }] }],
	[
		"sata0: /mnt/file.raw\nostype: l26",
		{ disks: [{ id: "disk1", kind: "disk", file: "/mnt/file.raw", controller: "sata0", unit: 0 }] },
	],
])("%j", async (text, expected) => {
	expect(await read(text)).toMatchObject(expected);
});

test.each([["cores: many\nostype: l26"], ["memory: 0\nostype: l26"], ["sockets: 99999\nostype: l26"]])(
	"refuses what no machine has: %j",
	async (text) => {
		await expect(read(text)).rejects.toMatchObject({ kind: "damaged" });
	},
);

test.each([
	["apiVersion: kubevirt.io/v1\nmemory: 4\n"],
	["name: value\n"],
	["# only\n"],
	["net0: x\nno colon here\nmore\n"],
])("does not take other texts for one: %j", (text) => {
	expect(machineFormatOf({ name: "x", bytes: encode(text) })).toBeUndefined();
});

const folder = path.join(corpus ?? "", "proxmox+qemu-server/src/test");

describe.skipIf(corpus === undefined || !existsSync(folder))(`configurations of other people ${corpusReason}`, () => {
	const files = corpus === undefined ? [] : readdirSync(folder, { recursive: true, encoding: "utf8" });
	const configurations = files
		.filter((file) => file.endsWith(".conf"))
		.map((file) => ({ name: file, bytes: readFileSync(path.join(folder, file)) }));

	test("are recognised and read", async () => {
		const told: string[] = [];
		let machines = 0;
		for (const file of configurations) {
			if (machineFormatOf(file)?.id !== "proxmox") {
				told.push(`${file.name}: not recognised`);
				continue;
			}
			try {
				await readMachine(file);
				machines++;
			} catch (error) {
				if (!(error instanceof AnyvisorError)) throw error;
				told.push(`${file.name}: ${error.message}`);
			}
		}
		expect(told).toEqual([]);
		expect(machines).toBeGreaterThan(40);
	});

	/** What Proxmox VE itself makes of them: the arguments of QEMU beside them. */
	test("have the processors, memory, addresses and disks that their host gives QEMU", async () => {
		let compared = 0;
		for (const file of configurations) {
			const command = path.join(folder, `${file.name}.cmd`);
			if (!existsSync(command)) continue;
			// A template is started without processors, memory and networks, to copy it.
			if (/^template: 1/m.test(new TextDecoder().decode(file.bytes))) continue;
			const text = readFileSync(command, "utf8");
			const machine = await readMachine(file);
			const [, cpus] = /-smp '(\d+)/.exec(text) ?? [];
			const [, memory] = /-m (?:size=)?(\d+)/.exec(text) ?? [];
			const macs = [...text.matchAll(/-device '[^']*mac=([0-9A-Fa-f:]{17})/g)].map(([, mac]) => mac?.toLowerCase());
			expect.soft(machine.cpus, file.name).toBe(Number(cpus));
			// With hotplug it begins with less than it has.
			const begins = text.includes("maxmem") ? machine.memory : Number(memory) * 2 ** 20;
			expect.soft(machine.memory, file.name).toBe(begins);
			expect
				.soft(
					machine.nics.map(({ mac }) => mac),
					file.name,
				)
				.toEqual(macs);
			expect.soft(machine.firmware === "uefi", file.name).toBe(/pflash|OVMF|AAVMF/.test(text));
			const uuid = /-smbios 'type=1,uuid=([0-9a-f-]{36})/.exec(text)?.[1];
			expect.soft(machine.uuid, file.name).toBe(uuid);
			for (const { file: disk = "" } of machine.disks.filter(({ kind }) => kind === "disk")) {
				expect.soft(text, file.name).toContain(path.basename(disk));
			}
			compared++;
		}
		expect(compared).toBeGreaterThan(15);
	});
});
