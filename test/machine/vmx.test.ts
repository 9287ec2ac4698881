import { readdirSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import type { Machine } from "../../src/machine/machine.js";
import { machineFormats, readMachine } from "../../src/machine/registry.js";
import { vmx } from "../../src/machine/vmx.js";
import { because, missing, temporaryFolder } from "../support/tools.js";
import { asLibvirtReads, vmwareStandIns } from "./judges.js";
import { encode, outcome, sample } from "./samples.js";

const read = (text: string) => vmx.read({ name: "machine.vmx", bytes: encode(`config.version = "8"\n${text}`) });

describe("a .vmx file", () => {
	test("is read whatever the case of its keys, and with its escapes", async () => {
		const machine = await read(
			'DISPLAYNAME = "say |22hi|22"\nMemSize = "512"\nnumVCPUs = "4"\nscsi0.PRESENT = "true"\nscsi0.virtualdev = "PVSCSI"',
		);
		expect(machine).toMatchObject({ name: 'say "hi"', memory: 2 ** 29, cpus: 4 });
		expect(machine.controllers).toEqual([{ id: "scsi0", model: "pvscsi", index: 0 }]);
	});

	test("is read in the encoding it names", async () => {
		const bytes = Uint8Array.from([
			...encode('.encoding = "windows-1252"\nconfig.version = "8"\nmemsize = "4"\ndisplayName = "'),
			0xe9,
			...encode('"\n'),
		]);
		expect((await vmx.read({ name: "x.vmx", bytes })).name).toBe("é");
	});

	test("lists disks as VMware's BIOS does: the ones named first, then SCSI, SATA, NVMe and IDE by number", async () => {
		const slot = (name: string) => `${name}.present = "TRUE"\n${name}.fileName = "${name}.vmdk"\n`;
		const text = ["ide0:0", "nvme0:0", "sata0:0", "scsi0:10", "scsi0:2", "scsi1:0"].map(slot).join("");
		const buses = ["nvme0", "sata0", "scsi0", "scsi1"].map((bus) => `${bus}.present = "TRUE"\n`).join("");
		const order = (machine: Machine) => machine.disks.map(({ file }) => file?.replace(".vmdk", ""));
		const natural = ["scsi0:2", "scsi0:10", "scsi1:0", "sata0:0", "nvme0:0", "ide0:0"];
		expect(order(await read(text + buses))).toEqual(natural);
		const first = 'bios.hddOrder = "sata0:0,scsi1:0"\n';
		expect(order(await read(text + buses + first))).toEqual([
			"sata0:0",
			"scsi1:0",
			"scsi0:2",
			"scsi0:10",
			"nvme0:0",
			"ide0:0",
		]);
	});

	test("leaves out what is not present", async () => {
		const machine = await read(
			'memsize = "512"\nscsi0.present = "FALSE"\nscsi0:0.present = "TRUE"\nethernet0.present = "FALSE"\nfloppy0.present = "FALSE"\nide0:1.present = "FALSE"',
		);
		expect(machine).toMatchObject({ controllers: [], disks: [], nics: [] });
	});

	test("says what a machine cannot hold", async () => {
		const machine = await read(
			'memsize = "512"\nsound.present = "TRUE"\nusb.present = "FALSE"\nvtpm.present = "TRUE"\nfoo.bar = "1"',
		);
		expect(machine.lost).toEqual([
			"The sound card sound is not carried over.",
			"These settings are not carried over: foo.",
		]);
	});

	test.each([
		['encryption.data = "AAAA"', "refused"],
		['memsize = "-4"', "damaged"],
		['memsize = "lots"', "damaged"],
		['memsize = "512"\nnumvcpus = "0"', "damaged"],
		['memsize = "512"\nnumvcpus = "1e9"', "damaged"],
	])("with %j is %s", async (text, kind) => {
		expect(await outcome(read(text))).toBe(kind);
	});

	test("keeps a MAC address of any range from being refused", () => {
		const text = (mac: string) => vmx.write?.({ ...sample, nics: [{ model: "e1000", mac }] });
		expect(text("00:50:56:3f:ff:ff")).not.toContain("checkMACAddress");
		expect(text("00:50:56:40:00:00")).toContain('checkMACAddress = "FALSE"');
		expect(text("52:54:00:00:00:01")).toContain('checkMACAddress = "FALSE"');
	});

	test.each(["virtio-blk", "hyperv-scsi", "xen-vbd", "unknown"] as const)("cannot have a %s controller", (model) => {
		const controllers = [{ id: "sata0", model, index: 0 }];
		expect(() => vmx.write?.({ ...sample, controllers })).toThrow(`no controller of model ${model}`);
	});

	test.skipIf(missing("virsh"))(`that was written is read by libvirt as it was meant ${because("virsh")}`, async () => {
		const folder = await temporaryFolder();
		const standIns = await vmwareStandIns(folder);
		for (const [index, model] of (["pvscsi", "lsilogic", "lsisas1068", "ahci", "ide"] as const).entries()) {
			const controllers = [{ id: "sata0", model, index: 0 }];
			const name = `A "quoted" | näme ${model}`;
			const file = path.join(folder, `${index}.vmx`);
			const uuid = "7b10d7af-b932-4c66-b2c3-3996152ec465";
			await writeFile(file, vmx.write?.({ ...sample, name, uuid, controllers }) ?? "");
			const theirs = await asLibvirtReads(file, standIns);
			expect(theirs).toMatchObject({
				name,
				uuid,
				cpus: 2,
				memory: 2 ** 31,
				firmware: "uefi",
				description: sample.description,
			});
			expect(theirs.disks.map((disk) => [disk.file, disk.unit])).toEqual([
				["web-disk1.vmdk", 0],
				["web-disk2.vmdk", 1],
			]);
			expect(theirs.controllers.map((controller) => controller.model)).toEqual([model]);
			expect(theirs.nics).toMatchObject([{ model: "e1000", mac: sample.nics[0]?.mac }, { model: "vmxnet3" }]);
		}
	});
});

describe("the registry", () => {
	test("has every format of the folder", () => {
		// What is in the folder and no format: the shape of a machine, and what the formats share.
		const shared = [
			"machine",
			"new-identity",
			"override",
			"registry",
			"shape",
			"infer",
			"units",
			"xml-head",
			"xml-read",
			"xml-write",
			"refit",
			"vagrant",
			"xl-write",
			"hyperv-settings",
			"proxmox-write",
			"vbox-write",
			"vma",
			"xml-edit",
			"schema",
			"index",
		];
		const files = readdirSync("src/machine").map((file) => file.replace(/\.ts$/, ""));
		expect(files.filter((file) => !shared.includes(file)).sort()).toEqual(machineFormats.map(({ id }) => id).sort());
	});

	test("recognises by content, never by name, and only one format claims a file", () => {
		const readOnly: Readonly<Record<string, string>> = {
			vbox: '<VirtualBox xmlns="http://www.virtualbox.org/"><Machine/></VirtualBox>',
			xva: '<?xml version="1.0"?><value><struct><member><name>export_vsn</name></member></struct></value>',
			vmcx: "\x14 (\x01".padEnd(64, "\0"),
			"hyperv-xml": "<configuration><_1_><VDEVVersion type='integer'>256</VDEVVersion></_1_></configuration>",
			xl: "name = 'x'\ndisk = [ '/x,raw,xvda' ]\n",
		};
		for (const format of machineFormats) {
			const lsi = format.takes?.controllers.includes("lsilogic") ?? true;
			const model = lsi ? ("lsilogic" as const) : ("virtio-scsi" as const);
			const machine = { ...sample, controllers: [{ id: "sata0", model, index: 0 }] };
			const file = { name: "x.bin", bytes: encode(format.write?.(machine) ?? readOnly[format.id] ?? "") };
			expect(machineFormats.filter((other) => other.matches(file))).toEqual([format]);
		}
	});

	test.each(["", "\0\0\0\0", "KDMV", "<html/>", "just text"])("does not know %j", async (text) => {
		await expect(readMachine({ name: "x.ovf", bytes: encode(text) })).rejects.toMatchObject({
			kind: "unsupported",
			hint: "Known descriptions: ovf, vmx, vbox, libvirt, proxmox, xl, xva, vmcx, hyperv-xml.",
		});
	});
});
