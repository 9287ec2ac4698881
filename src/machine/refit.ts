import type { Controller, Extra, Machine, MachineDisk, MachineFormat, MachineNic } from "./machine.js";
import { Controllers, enumerate } from "./shape.js";

/** What every hypervisor has, and every guest kernel of this century a driver for. */
const DISK = { model: "ahci", slots: 6 } as const;
const NIC = "e1000";

/**
 * The machine with devices that `format` has: what it does not is replaced by what is everywhere, and `lost` tells so.
 * Whether the guest has the driver is another question.
 */
export function refitted(machine: Machine, { id, takes, says }: MachineFormat): Machine {
	const lost = unsaid(machine, says);
	if (takes === undefined) return { ...machine, lost: [...machine.lost, ...lost] };
	const controllers = new Controllers();
	const kept = new Map<string, Controller>();
	for (const controller of machine.controllers) {
		if (takes.controllers.includes(controller.model)) {
			kept.set(controller.id, controllers.add(controller.model, controller.index));
		} else
			lost.push(`${id} has no controller of model ${controller.model}: what hangs on ${controller.id} is on AHCI.`);
	}
	// Only what hung on another one needs a new place.
	const first = Math.max(-1, ...controllers.list().map(({ model, index }) => (model === DISK.model ? index : -1))) + 1;
	let moved = 0;
	const disks = machine.disks.map((disk): MachineDisk => {
		const place = kept.get(disk.controller ?? "");
		if (disk.kind === "floppy") return disk;
		if (place !== undefined) return { ...disk, controller: place.id };
		const controller = controllers.at(DISK.model, first + Math.floor(moved / DISK.slots));
		return { ...disk, controller: controller.id, unit: moved++ % DISK.slots };
	});
	const nics = machine.nics.map((nic, index): MachineNic => {
		if (takes.nics.includes(nic.model)) return nic;
		lost.push(`${id} has no network card of model ${nic.model}: number ${index + 1} is an ${NIC}.`);
		return { ...nic, model: NIC };
	});
	return { ...machine, controllers: controllers.list(), disks, nics, lost: [...machine.lost, ...lost] };
}

/** What is said of the machine and has no place where only `says` has one: a sentence each. */
export function unsaid({ products = [], eulas = [], tpm }: Machine, says: readonly Extra[] = []): string[] {
	const hardware = tpm === undefined || says.includes("tpm") ? [] : [`The virtual TPM ${tpm} is not carried over.`];
	if (says.includes("product")) return hardware;
	const lost = products.map(({ product, properties }) => {
		const whose = product === undefined ? "" : ` of ${product}`;
		const keys = properties.map(({ key }) => key);
		const and = keys.length === 0 ? "" : `, with the properties ${enumerate(keys)}`;
		return `The product information${whose} is not carried over${and}.`;
	});
	lost.unshift(...hardware);
	return eulas.length === 0 ? lost : [...lost, "The licence agreement is not carried over."];
}
