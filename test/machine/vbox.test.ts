import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { readMachine } from "../../src/machine/registry.js";
import { corpus, corpusReason } from "../support/tools.js";
import { encode } from "./samples.js";

const read = (text: string) => readMachine({ name: "web.vbox", bytes: encode(text) });

const settings = (machine: string) =>
	`<?xml version="1.0"?>\n<VirtualBox xmlns="http://www.virtualbox.org/" version="1.16-linux">${machine}</VirtualBox>`;

test("settings before version 1.19, whose controllers stand beside the hardware", async () => {
	const machine = await read(
		settings(`<Machine uuid="{A6277950-3d1b-45d3-b2fd-dc1f385027e1}" name="web" OSType="Debian_64">
  <Description>Serves</Description>
  <MediaRegistry>
    <HardDisks><HardDisk uuid="{11111111-1111-1111-1111-111111111111}" location="web.vdi" format="VDI"/></HardDisks>
    <DVDImages><Image uuid="{22222222-2222-2222-2222-222222222222}" location="/iso/debian.iso"/></DVDImages>
  </MediaRegistry>
  <Hardware>
    <CPU count="4"/><Memory RAMSize="2048"/><Firmware type="EFI"/>
    <BIOS><NVRAM path="web.nvram"><SecureBoot enabled="true"/></NVRAM></BIOS>
    <TrustedPlatformModule type="v2_0"/>
    <Network>
      <Adapter slot="1" enabled="true" MACAddress="080027000001" type="virtio"><BridgedInterface name="eth0"/></Adapter>
      <Adapter slot="0" enabled="true" MACAddress="080027000000"><NAT/></Adapter>
      <Adapter slot="2" enabled="false" MACAddress="080027000002"/>
    </Network>
    <SharedFolders><SharedFolder name="home" hostPath="/home"/></SharedFolders>
  </Hardware>
  <StorageControllers>
    <StorageController name="SATA" type="AHCI" PortCount="2">
      <AttachedDevice type="HardDisk" port="1" device="0"><Image uuid="{11111111-1111-1111-1111-111111111111}"/></AttachedDevice>
    </StorageController>
    <StorageController name="IDE" type="PIIX4" PortCount="2">
      <AttachedDevice type="DVD" port="1" device="1"><Image uuid="{22222222-2222-2222-2222-222222222222}"/></AttachedDevice>
      <AttachedDevice type="DVD" port="0" device="0"/>
    </StorageController>
    <StorageController name="Floppy" type="I82078" PortCount="1"><AttachedDevice type="Floppy" port="0" device="0"/></StorageController>
  </StorageControllers>
</Machine>`),
	);
	expect(machine).toEqual({
		name: "web",
		description: "Serves",
		uuid: "a6277950-3d1b-45d3-b2fd-dc1f385027e1",
		arch: "x86_64",
		firmware: "uefi",
		secureBoot: true,
		cpus: 4,
		memory: 2 ** 31,
		controllers: [
			{ id: "sata0", model: "ahci", index: 0 },
			{ id: "ide0", model: "ide", index: 0 },
			{ id: "ide1", model: "ide", index: 1 },
		],
		disks: [
			{ id: "disk1", kind: "disk", file: "web.vdi", controller: "sata0", unit: 1 },
			{ id: "cdrom1", kind: "cdrom", controller: "ide0", unit: 0 },
			{ id: "cdrom2", kind: "cdrom", file: "/iso/debian.iso", controller: "ide1", unit: 1 },
			{ id: "floppy1", kind: "floppy" },
		],
		nics: [
			{ model: "pcnet32", mac: "08:00:27:00:00:00", network: "nat" },
			{ model: "virtio-net", mac: "08:00:27:00:00:01", network: "eth0" },
		],
		origin: "vbox",
		tpm: "2.0",
		lost: ["These shared folders are not carried over: home."],
	});
});

test.each([
	[settings("<Global/>"), { kind: "damaged", message: /no virtual machine/ }],
	[settings("<MachineEncrypted uuid='{1}'/>"), { kind: "refused", message: /is encrypted/ }],
	[settings("<Machine><Hardware><CPU count='0'/></Hardware></Machine>"), { kind: "damaged", message: /0 CPUs/ }],
	[settings("<Machine><Hardware>"), { kind: "damaged", message: /not well-formed/ }],
])("refuses %j", async (text, { kind, message }) => {
	await expect(read(text)).rejects.toMatchObject({ kind, message: expect.stringMatching(message) as unknown });
});

const real = path.join(corpus ?? "", "fox-it+dissect.hypervisor/tests/_data/descriptor/vbox/GOAD-DC01.vbox");

describe.skipIf(corpus === undefined || !existsSync(real))(`settings that VirtualBox 7.2 wrote ${corpusReason}`, () => {
	test("have the disk of the current state, behind two snapshots", async () => {
		const machine = await readMachine({ name: "GOAD-DC01.vbox", bytes: readFileSync(real) });
		expect(machine).toMatchObject({
			name: "GOAD-DC01",
			firmware: "bios",
			cpus: 2,
			memory: 3000 * 2 ** 20,
			controllers: [{ id: "ide0", model: "ide", index: 0 }],
			disks: [
				{ id: "disk1", file: "Snapshots/{e6800503-8273-4f16-b584-c7ba2c1df698}.vmdk", controller: "ide0", unit: 0 },
			],
			nics: [
				{ model: "e1000", mac: "08:00:27:7a:a2:fc", network: "nat" },
				{ model: "e1000", mac: "08:00:27:8c:c8:21", network: "vboxnet0" },
			],
			lost: [
				"These snapshots are not carried over: push_1766163705_7292, push_1766170151_8843.",
				"These forwarded ports are not carried over: ssh, winrm, winrm-ssl.",
			],
		});
	});
});
