import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ControllerModel } from "../../src/machine/machine.js";
import { refitted } from "../../src/machine/refit.js";
import { machineFormats } from "../../src/machine/registry.js";
import { busOf } from "../../src/machine/shape.js";
import { encode, machines } from "./samples.js";

const models: readonly ControllerModel[] = [
	"ide",
	"ahci",
	"nvme",
	"pvscsi",
	"virtio-blk",
	"virtio-scsi",
	"xen-vbd",
	"hyperv-scsi",
	"unknown",
];
const nics = ["e1000", "vmxnet3", "virtio-net", "netvsc", "xen-vif", "tulip"];

describe.each(machineFormats.filter(({ takes }) => takes !== undefined))("for $id", (format) => {
	test("any machine can be written, and has its disks and addresses when it is read", async () => {
		await fc.assert(
			fc.asyncProperty(machines(models, nics, busOf), async (machine) => {
				const fitted = refitted(machine, format);
				// Its values have no quotation: such names are refused.
				fc.pre(format.id !== "proxmox" || !fitted.disks.some(({ file = "" }) => /[,=:"]|^\s|\s$/.test(file)));
				const places = fitted.disks.map(({ controller, unit }) => `${controller}:${unit}`);
				expect(new Set(places).size).toBe(places.length);
				const name = (file: string | undefined) => file?.replace(/^.*\//, "");
				const again = await format.read({ name: "x", bytes: encode(format.write?.(fitted) ?? "") });
				expect(new Set(again.disks.map(({ file }) => name(file)))).toEqual(
					new Set(machine.disks.map(({ file }) => name(file))),
				);
				expect(again.disks).toHaveLength(machine.disks.length);
				expect(again.nics.map(({ mac }) => mac)).toEqual(machine.nics.map(({ mac }) => mac));
				expect(again.controllers.map(({ model }) => model)).not.toContain("unknown");
			}),
			{ numRuns: 60 },
		);
	});

	test("what it has stays as it was", async () => {
		const { controllers = [], nics = [] } = format.takes ?? {};
		await fc.assert(
			fc.asyncProperty(machines(controllers, nics, busOf), async (machine) => {
				expect(refitted(machine, format)).toEqual(machine);
			}),
			{ numRuns: 30 },
		);
	});
});
