import { existsSync, readFileSync } from "node:fs";
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readMachine } from "../../src/machine/registry.js";
import { openVm } from "../../src/open.js";
import { openNamedOrigin } from "../../src/open-disk.js";
import { corpus, corpusReason, temporaryFolder } from "../support/tools.js";
import { encode, outcome } from "./samples.js";

const text = (name: string, value: string | number) => `<${name} type="string">${value}</${name}>`;
const device = (number: number, id: string, instance: string, name: string) =>
	`<vdev00${number}>${text("device", id)}${text("instance", instance)}${text("name", name)}</vdev00${number}>`;
const drive = (number: number, type: string, file: string) =>
	`<drive${number}>${text("type", type)}${text("pathname", file)}</drive${number}>`;

const SCSI = "d422512d-2bf2-4752-809d-7b82b5fcb1b4";
const configuration = `<?xml version="1.0" encoding="UTF-16" standalone="yes"?><configuration>
<_83f8638b-8dca-4152-9eda-2ca8b33039b4_><VDEVVersion type="integer">256</VDEVVersion>
<controller0>${drive(0, "VHD", "C:\\VMs\\system.vhd")}${drive(1, "NONE", "")}</controller0>
<controller1>${drive(0, "ISO", "")}</controller1></_83f8638b-8dca-4152-9eda-2ca8b33039b4_>
<_11111111-0000-0000-0000-000000000001_><controller0>${drive(0, "VHD", "data1.vhdx")}${drive(3, "VHD", "data2.vhdx")}</controller0></_11111111-0000-0000-0000-000000000001_>
<_11111111-0000-0000-0000-000000000002_><controller0>${drive(1, "PHY", "disk 2")}</controller0></_11111111-0000-0000-0000-000000000002_>
<_22222222-0000-0000-0000-000000000001_>${text("MacAddress", "00-15-5D-00-00-01")}<Connection>${text("AltSwitchName", "LAN")}</Connection></_22222222-0000-0000-0000-000000000001_>
<_ac6b8dc1-3257-4a70-b1b2-a9c9215659ad_>${text("bios_guid", "{7B10D7AF-B932-4C66-B2C3-3996152EC465}")}</_ac6b8dc1-3257-4a70-b1b2-a9c9215659ad_>
<global_settings><snapshots><list>${text("size", 2)}</list></snapshots></global_settings>
<manifest>
${device(1, "83f8638b-8dca-4152-9eda-2ca8b33039b4", "83F8638B-8DCA-4152-9EDA-2CA8B33039B4", "Microsoft Emulated IDE Controller")}
${device(2, SCSI, "11111111-0000-0000-0000-000000000001", "Synthetic SCSI Controller")}
${device(3, SCSI, "11111111-0000-0000-0000-000000000002", "Synthetic SCSI Controller")}
${device(4, "2fc216b0-d2e2-4967-9b6d-b8a5c9ca2778", "22222222-0000-0000-0000-000000000001", "Synthetic Ethernet Port")}
${device(5, "00000000-0000-0000-0000-000000000000", "33333333-0000-0000-0000-000000000001", "Emulated Ethernet Port")}
${device(6, "00000000-0000-0000-0000-000000000001", "44444444-0000-0000-0000-000000000001", "Microsoft Virtual TPM Device")}
</manifest>
<properties>${text("name", "web")}${text("notes", "Serves")}<subtype type="integer">0</subtype></properties>
<settings><memory><bank><size type="integer">2048</size></bank></memory><processors><count type="integer">4</count></processors></settings>
</configuration>`;

const utf16 = (content: string) => Uint8Array.from(Buffer.from(`\ufeff${content}`, "utf16le"));

test("a configuration in XML, as it is written in UTF-16", async () => {
	expect(await readMachine({ name: "A.xml", bytes: utf16(configuration) })).toEqual({
		name: "web",
		description: "Serves",
		uuid: "7b10d7af-b932-4c66-b2c3-3996152ec465",
		arch: "x86_64",
		firmware: "bios",
		secureBoot: false,
		tpm: "2.0",
		cpus: 4,
		memory: 2 ** 31,
		controllers: [
			{ id: "ide0", model: "hyperv-ide", index: 0 },
			{ id: "ide1", model: "hyperv-ide", index: 1 },
			{ id: "scsi0", model: "hyperv-scsi", index: 0 },
			{ id: "scsi1", model: "hyperv-scsi", index: 1 },
		],
		disks: [
			{ id: "disk1", kind: "disk", file: "C:\\VMs\\system.vhd", controller: "ide0", unit: 0 },
			{ id: "cdrom1", kind: "cdrom", controller: "ide1", unit: 0 },
			{ id: "disk2", kind: "disk", file: "data1.vhdx", controller: "scsi0", unit: 0 },
			{ id: "disk3", kind: "disk", file: "data2.vhdx", controller: "scsi0", unit: 3 },
		],
		nics: [{ model: "netvsc", mac: "00:15:5d:00:00:01", network: "LAN" }, { model: "tulip" }],
		origin: "hyperv-xml",
		lost: [
			"A drive is of the type PHY, a device of its host: it is not carried over.",
			"The checkpoints of the machine are not carried over.",
		],
	});
});

test("an exported folder has its disks in another one", async () => {
	const folder = await temporaryFolder();
	const at = (...names: string[]) => path.join(folder, ...names);
	await mkdir(at("Virtual Machines"));
	await mkdir(at("Virtual Hard Disks"));
	const one = configuration.replace("data1.vhdx", "C:\\VMs\\data1.raw").replace(drive(3, "VHD", "data2.vhdx"), "");
	await writeFile(at("Virtual Machines", "A.xml"), utf16(one.replace("system.vhd", "system.raw")));
	await writeFile(at("Virtual Hard Disks", "system.raw"), new Uint8Array(1024));
	await writeFile(at("Virtual Hard Disks", "data1.raw"), new Uint8Array(2048));
	await using origin = await openNamedOrigin(folder);
	const vm = await openVm(origin);
	expect([vm.kind, ...vm.disks.map(({ size }) => size)]).toEqual(["hyperv-xml", 1024, 2048]);
});

const folder = path.join(corpus ?? "", "fox-it+dissect.hypervisor/tests/_data/descriptor/hyperv");
const others = path.join(corpus ?? "", "fox-it+dissect.target/tests/_data/loaders/hyperv");

describe.skipIf(corpus === undefined || !existsSync(folder))(`what Hyper-V wrote ${corpusReason}`, () => {
	const read = (file: string) => readMachine({ name: path.basename(file), bytes: readFileSync(file) });

	test("since 2016", async () => {
		expect(await read(path.join(folder, "test.vmcx"))).toMatchObject({
			name: "Other Location",
			firmware: "bios",
			cpus: 1,
			memory: 2 ** 30,
			uuid: "967df1ba-2c00-4998-9f1b-d60bcc0c4b90",
			disks: [
				{
					kind: "disk",
					file: "C:\\Users\\Public\\Documents\\Hyper-V\\Virtual Hard Disks\\Other Location.vhdx",
					controller: "ide0",
					unit: 0,
				},
				{ kind: "cdrom", controller: "ide1", unit: 0 },
				{ kind: "floppy" },
			],
			nics: [{ model: "netvsc" }],
			origin: "vmcx",
			lost: [],
		});
		expect(await read(path.join(others, "EC04F346-DB96-4700-AF5B-77B3C56C38BD.vmcx"))).toMatchObject({
			name: "Default Generation 1",
			firmware: "bios",
		});
	});

	test("and before", async () => {
		expect(await read(path.join(others, "D351C151-DAC7-4042-B434-B72D522C1E4A.xml"))).toMatchObject({
			name: "Default Generation 2",
			firmware: "uefi",
			secureBoot: true,
			cpus: 1,
			memory: 512 * 2 ** 20,
			disks: [{ file: "C:\\Disks\\Default Generation 2.vhdx", controller: "scsi0", unit: 0 }],
		});
	});

	test("the state of a machine that ran describes none", async () => {
		await expect(read(path.join(folder, "test.VMRS"))).rejects.toMatchObject({ kind: "damaged" });
		const exported = await temporaryFolder();
		await mkdir(path.join(exported, "Virtual Machines"));
		for (const name of ["test.vmcx", "test.VMRS"]) {
			await copyFile(path.join(folder, name), path.join(exported, "Virtual Machines", name));
		}
		await using origin = await openNamedOrigin(exported);
		expect(origin.source.name).toBe(path.join(exported, "Virtual Machines", "test.vmcx"));
	});

	test("damage is a typed error or another machine, at once", async () => {
		const whole = readFileSync(path.join(folder, "test.vmcx"));
		const change = fc.record({
			at: fc.oneof(fc.nat(0x30), fc.integer({ min: 0x2000, max: 0x2100 }), fc.nat(whole.length - 1)),
			byte: fc.nat(255),
		});
		await fc.assert(
			fc.asyncProperty(
				fc.array(change, { minLength: 1, maxLength: 6 }),
				fc.option(fc.nat(whole.length)),
				async (changes, cut) => {
					const bytes = Uint8Array.from(whole.subarray(0, cut ?? whole.length));
					for (const { at, byte } of changes) if (at < bytes.length) bytes[at] = byte;
					const started = performance.now();
					const found = await outcome(readMachine({ name: "x", bytes }));
					expect(["read", "damaged", "unsupported", "refused"]).toContain(found);
					expect(performance.now() - started).toBeLessThan(2000);
				},
			),
			{ numRuns: 150 },
		);
	});
});

test("a text is none", async () => {
	await expect(readMachine({ name: "x", bytes: encode("<configuration><a/></configuration>") })).rejects.toMatchObject({
		kind: "unsupported",
	});
});
