import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { libvirt } from "../../src/machine/libvirt.js";
import type { ControllerModel, Machine, MachineFormat } from "../../src/machine/machine.js";
import { ovf } from "../../src/machine/ovf/ovf.js";
import { busOf } from "../../src/machine/shape.js";
import { vmx } from "../../src/machine/vmx.js";
import { encode, machines, outcome } from "./samples.js";

interface Case {
	readonly format: MachineFormat;
	readonly models: readonly ControllerModel[];
	readonly nics: readonly string[];
	/** What of a machine the format keeps. */
	readonly kept: (machine: Machine) => unknown;
}

const withoutSizes = (machine: Machine) => ({
	...machine,
	disks: machine.disks.map(({ kind, file, controller, unit }) => ({ kind, file, controller, unit })),
	origin: "",
	lost: [],
});

const cases: readonly Case[] = [
	{
		format: ovf,
		models: ["lsilogic", "pvscsi", "ahci", "nvme", "ide"],
		nics: ["e1000", "e1000e", "vmxnet3", "pcnet32", "virtio-net"],
		// OVF has no place for the UUID.
		kept: (machine) => ({ ...machine, uuid: undefined, origin: "", lost: [] }),
	},
	{
		format: vmx,
		models: ["pvscsi", "lsilogic", "lsisas1068", "ahci", "nvme", "ide"],
		nics: ["e1000", "e1000e", "vmxnet3", "pcnet32"],
		kept: withoutSizes,
	},
	{
		format: libvirt,
		models: ["virtio-scsi", "ahci", "virtio-blk"],
		nics: ["virtio-net", "e1000", "rtl8139", "pcnet32"],
		kept: (machine) => ({
			...withoutSizes(machine),
			// Names lose what libvirt refuses in them; a network card is always on a network; files have full paths;
			// virtio disks have a controller each, and none without a disk.
			name: machine.name.replaceAll("/", "-"),
			controllers: machine.controllers.map(({ id }) => id).filter((id) => id !== "virtio0"),
			disks: machine.disks.map(({ file, controller, unit }) => ({
				file: file?.replace(/^.*\//, ""),
				controller,
				unit,
			})),
			nics: machine.nics.map((nic) => ({ network: "default", ...nic })),
		}),
	},
];

describe.each(cases)("$format.id", ({ format, models, nics, kept }) => {
	test("reads back what it wrote", async () => {
		await fc.assert(
			fc.asyncProperty(machines(models, nics, busOf), async (machine) => {
				const bytes = encode(format.write?.(machine) ?? "");
				const file = { name: "machine", bytes };
				expect(format.matches(file)).toBe(true);
				const once = await format.read(file);
				expect(kept(once)).toEqual(kept(machine));
				expect(once.lost).toEqual([]);
				const again = await format.read({ name: "machine", bytes: encode(format.write?.(once) ?? "") });
				expect(again).toEqual(once);
			}),
			{ numRuns: 60 },
		);
	});

	test("damage is a typed error or another machine, quickly", async () => {
		await fc.assert(
			fc.asyncProperty(
				machines(models, nics, busOf),
				fc.array(fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }) }), { minLength: 1, maxLength: 8 }),
				fc.option(fc.nat()),
				async (machine, changes, cut) => {
					const bytes = encode(format.write?.(machine) ?? "");
					for (const { at, byte } of changes) bytes[at % bytes.length] = byte;
					const damaged = cut === null ? bytes : bytes.subarray(0, cut % bytes.length);
					const started = performance.now();
					expect(["read", "damaged", "refused", "unsupported"]).toContain(
						await outcome(format.read({ name: "machine", bytes: damaged })),
					);
					expect(performance.now() - started).toBeLessThan(5000);
				},
			),
			{ numRuns: 100 },
		);
	});
});
