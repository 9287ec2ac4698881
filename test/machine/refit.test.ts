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
				// Their values have no quotation: such names are refused.
				const unquotable = { proxmox: /[,=:"]|^\s|\s$/, xl: /["'\\]|^\s|[,\s]$/ }[format.id];
				fc.pre(!fitted.disks.some(({ file = "" }) => unquotable?.test(file)));
				fc.pre(format.id !== "xl" || fitted.disks.filter(({ controller }) => controller === "ide0").length <= 4);
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
				const lost = machine.secureBoot && !format.says?.includes("secure-boot");
				expect(refitted(machine, format)).toEqual({
					...machine,
					lost: lost ? ["Secure Boot is not carried over."] : [],
				});
			}),
			{ numRuns: 30 },
		);
	});
});
