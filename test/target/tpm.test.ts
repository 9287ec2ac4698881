import { readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { parsePowerShell } from "../support/powershell.js";
import { temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "./appliance.js";

const root = await temporaryFolder();
const disks = [await rawDisk(path.join(root, "a.img"), 1 << 20)];
const uefi = { ...machine, firmware: "uefi" as const, disks: machine.disks.slice(0, 1) };

/** Of a package, the file that would say it, and whether it tells that the TPM is left behind. */
async function packed(hypervisor: string, layout: string, tpm: "1.2" | "2.0", file: string) {
	const firmware = hypervisor === "hyperv-gen1" ? "bios" : "uefi";
	const { folder } = await written(root, hypervisor, layout, { disks, machine: { ...uefi, firmware, tpm } });
	const text = await readFile(path.join(folder, file), "utf8");
	const note = await readFile(path.join(folder, "IMPORT.md"), "utf8");
	return { text, told: note.includes(`The virtual TPM ${tpm} is not carried over.`) };
}

describe("a virtual TPM", () => {
	test("is one for generation 2 of Hyper-V, of version 2.0", async () => {
		const { text, told } = await packed("hyperv-gen2", "hyperv", "2.0", "import.ps1");
		const { errors, commands } = parsePowerShell(text);
		expect(errors).toEqual([]);
		expect(commands.slice(commands.indexOf("Set-VMFirmware"))).toEqual(
			expect.arrayContaining(["Set-VMKeyProtector", "Enable-VMTPM"]),
		);
		expect(told).toBe(false);
	});

	test.each([
		["hyperv-gen2", "1.2"],
		["hyperv-gen1", "2.0"],
	] as const)("is left out of %s, version %s, and that is told", async (hypervisor, tpm) => {
		const { text, told } = await packed(hypervisor, "hyperv", tpm, "import.ps1");
		expect(parsePowerShell(text).commands).not.toContain("Enable-VMTPM");
		expect(told).toBe(true);
	});

	test.each([
		["kubevirt", "kubevirt", "2.0", "vm.yaml", /^ +tpm: \{\}$/m],
		["kvm", "proxmox", "2.0", "IMPORT.md", / --tpmstate0 local-lvm:0,version=v2\.0/],
		["kvm", "proxmox", "1.2", "IMPORT.md", / --tpmstate0 local-lvm:0,version=v1\.2/],
		["utm", "utm", "2.0", "Web-server-No1.utm/config.plist", /<key>TPMDevice<\/key>\s*<true\/>/],
	] as const)("is there for %s, %s, version %s", async (hypervisor, layout, tpm, file, expected) => {
		const { text, told } = await packed(hypervisor, layout, tpm, file);
		expect(text).toMatch(expected);
		expect(told).toBe(false);
	});

	test.each(["kubevirt", "harvester"])("that forgets is told to be one by %s", async (hypervisor) => {
		const { folder } = await written(root, hypervisor, hypervisor, { disks, machine: { ...uefi, tpm: "2.0" } });
		expect(await readFile(path.join(folder, "IMPORT.md"), "utf8")).toContain("Its TPM forgets at each stop");
	});

	test.each([
		["virtualbox", "vbox", "Web-server-No1.vbox"],
		["kubevirt", "kubevirt", "vm.yaml"],
	])("of version 1.2 is told to be left behind by %s", async (hypervisor, layout, file) => {
		const { text, told } = await packed(hypervisor, layout, "1.2", file);
		expect(text).not.toMatch(/tpm/i);
		expect(told).toBe(true);
	});
});
