import type { Controller, Extra, Machine, MachineDisk, MachineFormat, MachineNic } from "./machine.js";
import { Controllers, enumerate } from "./shape.js";

/** What nearly every hypervisor has, and every guest kernel of this century a driver for. */
const DISK = { model: "ahci", title: "AHCI", slots: 6 } as const;
/** Xen's own disks, which it emulates as well. */
const XEN_DISK = { model: "xen-vbd", title: "Xen's paravirtual disks", slots: 256 } as const;
const NIC = "e1000";

/**
 * The machine with devices that `format` has: what it does not is replaced by what is everywhere, and `lost` tells so.
 * Whether the guest has the driver is another question.
 */
export function refitted(machine: Machine, { id, takes, says }: MachineFormat): Machine {
	const lost = [...unsaid(machine, says), ...hardwareLeft(machine, says)];
	if (takes === undefined) return { ...machine, lost: [...machine.lost, ...lost] };
	const barred = machine.secureBoot ? (takes.withoutSecureBoot ?? []) : [];
	const common = takes.controllers.includes(DISK.model) ? DISK : XEN_DISK;
	const controllers = new Controllers();
	const kept = new Map<string, Controller>();
	for (const controller of machine.controllers) {
		if (takes.controllers.includes(controller.model) && !barred.includes(controller.model)) {
			kept.set(controller.id, controllers.add(controller.model, controller.index));
			continue;
		}
		const why = barred.includes(controller.model) ? " with Secure Boot" : "";
		lost.push(
			`${id} has no controller of model ${controller.model}${why}: what hangs on ${controller.id} is on ${common.title}.`,
		);
	}
	// Only what hung on another one needs a new place.
	const first =
		Math.max(-1, ...controllers.list().map(({ model, index }) => (model === common.model ? index : -1))) + 1;
	let moved = 0;
	const drives = machine.disks.filter(({ kind }) => kind !== "floppy" || says?.includes("floppy"));
	const disks = drives.map((disk): MachineDisk => {
		const place = kept.get(disk.controller ?? "");
		if (disk.kind === "floppy") return disk;
		if (place !== undefined) return Object.assign({}, disk, { controller: place.id });
		const controller = controllers.at(common.model, first + Math.floor(moved / common.slots));
		return Object.assign({}, disk, { controller: controller.id, unit: moved++ % common.slots });
	});
	const nics = machine.nics.map((nic, index): MachineNic => {
		if (takes.nics.includes(nic.model)) return nic;
		lost.push(`${id} has no network card of model ${nic.model}: number ${index + 1} is an ${NIC}.`);
		return { ...nic, model: NIC };
	});
	return { ...machine, controllers: controllers.list(), disks, nics, lost: [...machine.lost, ...lost] };
}

/** Hardware that only some descriptions have. */
function hardwareLeft({ secureBoot, disks }: Machine, says: readonly Extra[] = []): string[] {
	const floppies = disks.some(({ kind }) => kind === "floppy");
	return [
		...(secureBoot && !says.includes("secure-boot") ? ["Secure Boot is not carried over."] : []),
		...(floppies && !says.includes("floppy") ? ["The floppy drives are not carried over."] : []),
	];
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
