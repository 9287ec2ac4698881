import type { Machine } from "../machine/machine.js";
import { writeXl, xlDisks } from "../machine/xl-write.js";
import { fileBase } from "./file-name.js";

/** Creates the domain from any folder: to xl, a relative name is none. */
export const xlCommand = (machine: Machine, base: string): string =>
	`xl create ${base}.cfg "disk=[${xlDisks(paravirtual(machine), "$PWD/").join(",")}]"`;

/** The configuration of a machine whose disks are paravirtual, and emulated as well. */
export const xlConfig = (machine: Machine): string => writeXl(paravirtual(machine));

function paravirtual(machine: Machine): Machine {
	const { description: _description, ...said } = machine;
	return {
		...said,
		name: fileBase(machine.name),
		controllers: [{ id: "xen0", model: "xen-vbd", index: 0 }],
		disks: machine.disks.map((disk, unit) => ({ ...disk, controller: "xen0", unit })),
		nics: machine.nics.map(({ network: _network, ...nic }) => ({ ...nic, model: "e1000" })),
	};
}
