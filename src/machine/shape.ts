import { damaged } from "../bytes/errors.js";
import type { Controller, ControllerModel, MachineDisk } from "./machine.js";

/** What a machine gets where its descriptor is silent: enough for any server guest to boot. */
export const DEFAULT_CPUS = 2;
export const DEFAULT_MEMORY = 2 * 2 ** 30;

/** More than any hypervisor offers; beyond, a number is damage or an attack. */
export const MAX_CPUS = 4096;
export const MAX_MEMORY = 2 ** 50;
export const MIN_MEMORY = 2 ** 20;

const BUSES: Readonly<Record<ControllerModel, string>> = {
	ide: "ide",
	"hyperv-ide": "ide",
	ahci: "sata",
	nvme: "nvme",
	"virtio-blk": "virtio",
	"xen-vbd": "xen",
	pvscsi: "scsi",
	lsilogic: "scsi",
	lsisas1068: "scsi",
	buslogic: "scsi",
	"virtio-scsi": "scsi",
	"hyperv-scsi": "scsi",
	unknown: "storage",
};

/** The word that names a controller's slots in most descriptors; controllers are numbered within it. */
export const busOf = (model: ControllerModel) => BUSES[model];

/** Collects controllers, numbers them per bus and names them `scsi0`, `sata1`, … */
export class Controllers {
	readonly #all: Controller[] = [];

	/** Adds one; its number is `wanted` where that is free on its bus, the next free one otherwise. */
	add(model: ControllerModel, wanted?: number): Controller {
		const bus = busOf(model);
		const taken = new Set(this.#all.filter((other) => busOf(other.model) === bus).map(({ index }) => index));
		let index = wanted ?? 0;
		while (taken.has(index)) index++;
		const controller = { id: `${bus}${index}`, model, index };
		this.#all.push(controller);
		return controller;
	}

	/** The controller of that model and number, added if there is none yet. */
	at(model: ControllerModel, index: number): Controller {
		return this.#all.find((other) => other.index === index && other.model === model) ?? this.add(model, index);
	}

	/** By bus and number. */
	find(bus: string, index: number): Controller | undefined {
		return this.#all.find((other) => other.id === `${bus}${index}`);
	}

	list(): readonly Controller[] {
		return this.#all;
	}
}

/** Gives each drive its id, `disk1`, `cdrom1`, `floppy1`, …, counted per kind. */
export function nameDisks(disks: readonly Omit<MachineDisk, "id">[]): MachineDisk[] {
	const counts = { disk: 0, cdrom: 0, floppy: 0 };
	return disks.map((disk) => ({ id: `${disk.kind}${++counts[disk.kind]}`, ...disk }));
}

/** Checks a descriptor's number of CPUs; undefined becomes the default, and `lost` says so. */
export function checkedCpus(cpus: number | undefined, file: string, lost: string[]): number {
	if (cpus === undefined) {
		lost.push(`The descriptor gives no number of CPUs; ${DEFAULT_CPUS} are assumed.`);
		return DEFAULT_CPUS;
	}
	if (!Number.isInteger(cpus) || cpus < 1 || cpus > MAX_CPUS) {
		throw damaged(`${file} asks for ${cpus} CPUs; machines have 1 to ${MAX_CPUS}`, { file });
	}
	return cpus;
}

/** Checks a descriptor's memory size in bytes; undefined becomes the default, and `lost` says so. */
export function checkedMemory(bytes: number | undefined, file: string, lost: string[]): number {
	if (bytes === undefined) {
		lost.push("The descriptor gives no memory size; 2 GiB are assumed.");
		return DEFAULT_MEMORY;
	}
	if (!Number.isSafeInteger(bytes) || bytes < MIN_MEMORY || bytes > MAX_MEMORY) {
		throw damaged(`${file} asks for ${bytes} bytes of memory; machines have 1 MiB to 1 PiB`, { file });
	}
	return bytes;
}

/** A network's name where a host may have a bridge of that name; "nat" is none of VirtualBox's. */
export const bridgeOf = (network: string | undefined): string | undefined =>
	network !== undefined && network !== "nat" && /^[a-z][\w.-]{0,14}$/i.test(network) ? network : undefined;

type Present<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
	[K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/** Leaves out the members that are undefined, so that what is absent is absent in JSON too. */
export const present = <T extends object>(record: T) =>
	Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as Present<T>;

/** A list for a sentence: the first few items, and how many more there are. */
export function enumerate(items: Iterable<string>, most = 12): string {
	const unique = [...new Set(items)];
	const more = unique.length - most;
	return more > 0 ? `${unique.slice(0, most).join(", ")} and ${more} more` : unique.join(", ");
}
