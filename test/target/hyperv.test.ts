import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import type { Machine } from "../../src/machine/machine.js";
import { parsePowerShell } from "../support/powershell.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "./appliance.js";

const root = await temporaryFolder();
const disks = [
	await rawDisk(path.join(root, "a.img"), (5 << 20) + 1536),
	await rawDisk(path.join(root, "b.img"), 3 << 20, 2),
];
const tiny = [await rawDisk(path.join(root, "tiny.img"), 1024)];
const BASE = "Web-server-No1";
const uefi = { ...machine, firmware: "uefi" as const };

const scriptOf = async (hypervisor: string, changes: Partial<Parameters<typeof written>[3]>) => {
	const { folder } = await written(root, hypervisor, "hyperv", { disks, ...changes });
	return { folder, script: await readFile(path.join(folder, "import.ps1"), "utf8") };
};

describe.skipIf(missing("qemu-img"))(`a folder for Hyper-V ${because("qemu-img")}`, () => {
	test.each(["hyperv-gen1", "hyperv-gen2"])("of %s has its disks as VHDX", async (hypervisor) => {
		const { folder } = await scriptOf(hypervisor, { machine: hypervisor === "hyperv-gen2" ? uefi : machine });
		expect((await readdir(folder)).sort()).toEqual(["IMPORT.md", `${BASE}-disk2.vhdx`, `${BASE}.vhdx`, "import.ps1"]);
		for (const [source, file] of [
			["a.img", `${BASE}.vhdx`],
			["b.img", `${BASE}-disk2.vhdx`],
		] as const) {
			const same = await run(
				"qemu-img",
				"compare",
				"-f",
				"raw",
				"-F",
				"vhdx",
				path.join(root, source),
				path.join(folder, file),
			);
			expect(same).toContain("Images are identical");
		}
	});
});

describe("import.ps1", () => {
	test.each([
		["hyperv-gen1", "bios", false],
		["hyperv-gen2", "uefi", false],
		["hyperv-gen2-secure", "uefi", true],
	] as const)("of %s says what it always said", async (name, firmware, secureBoot) => {
		const { script } = await scriptOf(name.replace("-secure", ""), { machine: { ...machine, firmware, secureBoot } });
		await expect(script).toMatchFileSnapshot(`../golden/${name}.ps1`);
	});

	test("begins with a byte order mark, without which Windows PowerShell 5.1 misreads names", async () => {
		const { folder } = await scriptOf("hyperv-gen1", {});
		expect([...(await readFile(path.join(folder, "import.ps1"))).subarray(0, 3)]).toEqual([0xef, 0xbb, 0xbf]);
	});

	test("boots from IDE 0:0 on generation 1, leaving its DVD drive alone, and from SCSI 0:0 on generation 2", async () => {
		const five = Array.from({ length: 4 }, () => tiny[0]).flatMap((disk) => disk ?? []);
		const list = five.map((_, index) => ({ id: `disk${index + 1}`, kind: "disk" as const }));
		const slots = (script: string) =>
			[...script.matchAll(/ControllerType = '(\w+)'; ControllerNumber = (\d+); ControllerLocation = (\d+)/g)].map(
				(found) => found.slice(1).join(" "),
			);
		let told: Machine | undefined;
		const gen1 = await scriptOf("hyperv-gen1", {
			machine: { ...machine, disks: list },
			disks: five,
			onAttached: (packed) => {
				told = packed;
			},
		});
		const places = told?.disks.map(({ controller, unit }) => `${controller}:${unit}`);
		expect(places).toEqual(["ide0:0", "ide0:1", "ide1:1", "scsi0:0"]);
		expect(slots(gen1.script)).toEqual(["IDE 0 0", "IDE 0 1", "IDE 1 1", "SCSI 0 0"]);
		const gen2 = await scriptOf("hyperv-gen2", { machine: { ...uefi, disks: list }, disks: five });
		expect(slots(gen2.script)).toEqual(["SCSI 0 0", "SCSI 0 1", "SCSI 0 2", "SCSI 0 3"]);
	});

	test("takes memory in steps of 2 MiB, and legacy network cards where the guest needs them", async () => {
		const attach = { disk: "ide", network: "tulip" };
		const { script } = await scriptOf("hyperv-gen1", { attach, machine: { ...machine, memory: 1001 << 20 } });
		expect(script).toContain(`-MemoryStartupBytes ${1002 << 20} `);
		expect(script).toContain("-IsLegacy $true");
	});

	test("quotes any name so that PowerShell reads just that name", async () => {
		const one = { disks: machine.disks.slice(0, 1) };
		const harmless = await scriptOf("hyperv-gen1", { machine: { ...machine, ...one }, disks: tiny });
		const usual = parsePowerShell(harmless.script).commands;
		await fc.assert(
			fc.asyncProperty(
				fc.string({
					unit: fc.constantFrom(
						"'",
						"\u2018",
						"\u2019",
						"\u201a",
						"\u201b",
						'"',
						"$",
						"`",
						"(",
						")",
						";",
						"\n",
						"\0",
						"a",
						" ",
					),
				}),
				async (name) => {
					const { script } = await scriptOf("hyperv-gen1", {
						machine: { ...machine, ...one, name },
						disks: tiny,
					});
					const { errors, verbatim, commands } = parsePowerShell(script);
					expect(errors).toEqual([]);
					expect(commands).toEqual(usual);
					expect(verbatim[0]).toBe(name.replaceAll(/[\n\0]/g, " "));
				},
			),
			{ numRuns: 40 },
		);
	});

	test("generation 2 without UEFI is refused", async () => {
		await expect(scriptOf("hyperv-gen2", {})).rejects.toThrow(/does not boot machines by BIOS/);
		await expect(scriptOf("hyperv-gen2", {})).rejects.toBeInstanceOf(AnyvisorError);
	});
});
