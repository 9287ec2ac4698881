import { existsSync, readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Address } from "../../src/device/device.js";
import { modaliasOf } from "../../src/device/modalias.js";

/** Written by hand from the format strings in each bus's uevent function. */
const seen: readonly (readonly [string, Address, string])[] = [
	[
		"VMware's pvscsi",
		{ bus: "pci", vendor: "15ad", device: "07c0", subvendor: "15ad", subdevice: "07c0", class: "010700" },
		"pci:v000015ADd000007C0sv000015ADsd000007C0bc01sc07i00",
	],
	[
		"a function without subsystem",
		{ bus: "pci", vendor: "1022", device: "2000", class: "020000" },
		"pci:v00001022d00002000sv00000000sd00000000bc02sc00i00",
	],
	["a virtio disk", { bus: "virtio", type: 2 }, "virtio:d00000002v00001AF4"],
	["a virtio socket", { bus: "virtio", type: 19 }, "virtio:d00000013v00001AF4"],
	[
		"Hyper-V's SCSI controller",
		{ bus: "vmbus", guid: "ba6163d9-04a1-4d29-b605-72e2ffb1dc7f" },
		"vmbus:d96361baa104294db60572e2ffb1dc7f",
	],
	["a Xen disk", { bus: "xen", type: "vbd" }, "xen:vbd"],
	["the VMBus", { bus: "acpi", ids: ["MSFT1000", "VMBus"] }, "acpi:MSFT1000:VMBus:"],
	[
		"a machine of VMware's",
		{ bus: "dmi", vendor: "VMware, Inc.", product: "VMware Virtual Platform" },
		"dmi:bvn:bvr:bd:svnVMware,Inc.:pnVMwareVirtualPlatform:pvr:",
	],
];

test.each(seen)("%s", (_, address, modalias) => {
	expect(modaliasOf(address)).toBe(modalias);
});

const pci = "/sys/bus/pci/devices";
const functions = existsSync(pci) ? readdirSync(pci) : [];

describe.skipIf(functions.length === 0)(
	`says what this machine's kernel says${functions.length === 0 ? " (skipped: no PCI here)" : ""}`,
	() => {
		test.each(functions)("%s", (name) => {
			const read = (file: string) => readFileSync(`${pci}/${name}/${file}`, "latin1").trim();
			const id = (file: string) => read(file).replace("0x", "");
			const address: Address = {
				bus: "pci",
				vendor: id("vendor"),
				device: id("device"),
				subvendor: id("subsystem_vendor"),
				subdevice: id("subsystem_device"),
				class: id("class"),
			};
			expect(modaliasOf(address)).toBe(read("modalias"));
		});
	},
);
