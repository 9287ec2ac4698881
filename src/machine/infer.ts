import type { Firmware, Machine } from "./machine.js";
import { DEFAULT_CPUS, DEFAULT_MEMORY } from "./shape.js";

/** What is known of a disk that came without a descriptor. */
export interface BareDisk {
	/** The machine's name to be, for example the file's without its ending. */
	readonly name: string;
	/** Name of the disk's file. */
	readonly file?: string;
	/** Virtual size in bytes. */
	readonly capacity: number;
	/** Ways in which the guest on it can boot; empty where unknown. */
	readonly firmware?: readonly Firmware[];
	/** `x86_64`, `aarch64`, … */
	readonly arch?: string;
}

/**
 * A machine for a disk without a descriptor: the plainest one that boots it. A guest that boots both ways gets a BIOS,
 * which every hypervisor has.
 */
export function inferMachine({ name, file, capacity, firmware = [], arch = "x86_64" }: BareDisk): Machine {
	const uefi = arch !== "x86_64" || (firmware.includes("uefi") && !firmware.includes("bios"));
	return {
		name,
		arch,
		firmware: uefi ? "uefi" : "bios",
		secureBoot: false,
		cpus: DEFAULT_CPUS,
		memory: DEFAULT_MEMORY,
		controllers: [{ id: "sata0", model: "ahci", index: 0 }],
		disks: [
			{ id: "disk1", kind: "disk", ...(file === undefined ? {} : { file }), capacity, controller: "sata0", unit: 0 },
		],
		nics: [{ model: "e1000" }],
		origin: "inferred",
		lost: [],
	};
}
