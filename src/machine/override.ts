import { AnyvisorError } from "../bytes/errors.js";
import type { Firmware, Machine, MachineNic } from "./machine.js";
import type { NewIdentity } from "./new-identity.js";
import { enumerate } from "./shape.js";

/** What a user wants otherwise than the descriptor has it. */
export interface Overrides {
	/** Bytes. */
	readonly memory?: number;
	readonly cpus?: number;
	readonly firmware?: Firmware;
	/** Names of networks where the machine goes, by those that it has. */
	readonly networks?: ReadonlyMap<string, string>;
	/** Absent: MACs and UUID stay. */
	readonly identity?: NewIdentity;
}

/**
 * The machine with what does not depend on where it goes.
 *
 * @throws `usage` for a network that it does not have
 */
export function overridden(machine: Machine, { memory, cpus, firmware, networks }: Overrides): Machine {
	checkNetworks(machine, networks ?? new Map());
	return {
		...machine,
		memory: memory ?? machine.memory,
		cpus: cpus ?? machine.cpus,
		firmware: firmware ?? machine.firmware,
		secureBoot: machine.secureBoot && firmware !== "bios",
	};
}

function checkNetworks({ name, nics }: Machine, networks: ReadonlyMap<string, string>): void {
	const known = nics.flatMap(({ network }) => network ?? []);
	for (const wanted of networks.keys()) {
		if (known.includes(wanted)) continue;
		throw new AnyvisorError("usage", `${name} has no network "${wanted}"`, {
			hint:
				known.length === 0
					? "Its network cards name none: connect them where the machine is created."
					: `There ${new Set(known).size === 1 ? "is" : "are"} ${enumerate(known)}.`,
		});
	}
}

/** The machine with the networks' new names; what is not renamed stays. */
export function reconnected(machine: Machine, networks: Overrides["networks"]): Machine {
	const nics = machine.nics.map((nic): MachineNic => {
		const network = networks?.get(nic.network ?? "");
		return network === undefined ? nic : { ...nic, network };
	});
	return { ...machine, nics };
}
