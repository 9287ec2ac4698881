import { InvalidArgumentError, Option } from "commander";
import { AnyvisorError } from "../bytes/errors.js";
import type { Hypervisor } from "../hypervisor/hypervisor.js";
import type { Firmware } from "../machine/machine.js";
import type { Overrides } from "../machine/override.js";
import { parseSize } from "./disk/size.js";

/** What {@link overrideOptions} give. */
export interface OverrideOptions {
	readonly newIdentity?: true;
	readonly memory?: number;
	readonly cpus?: number;
	readonly network: readonly (readonly [name: string, target: string])[];
	readonly firmware?: Firmware;
}

/** How a machine is made to differ from its description. */
export const overrideOptions = (): readonly Option[] => [
	new Option("--new-identity", "new MAC addresses and UUIDs, for a machine that will run beside the original"),
	new Option("--memory <size>", "memory, such as 4G").argParser(parseSize),
	new Option("--cpus <number>", "processors").argParser((text) => {
		if (/^\d{1,6}$/.test(text)) return Number(text);
		throw new InvalidArgumentError("It is a whole number.");
	}),
	new Option("--network <name=target>", "what the machine's network of this name is called at the target; repeatable")
		.default([], "none")
		.argParser((text, previous: OverrideOptions["network"]) => {
			// A name may have an equals sign in it, what it becomes rather not.
			const at = text.lastIndexOf("=");
			const [name, target] = [text.slice(0, at), text.slice(at + 1)];
			if (at < 1 || target === "") throw new InvalidArgumentError("It is a name, =, and a name.");
			return [...previous, [name, target] as const];
		}),
	new Option("--firmware <firmware>", "boot by it, if the guest can").choices(["bios", "uefi"]),
];

/** @throws `usage` for what no machine has */
export async function overridesOf(given: OverrideOptions): Promise<Overrides> {
	const { newIdentity, memory, cpus, network, firmware } = given;
	const [{ NewIdentity }, { MAX_CPUS, MAX_MEMORY, MIN_MEMORY }] = await Promise.all([
		import("../machine/new-identity.js"),
		import("../machine/shape.js"),
	]);
	if (memory !== undefined && (memory < MIN_MEMORY || memory > MAX_MEMORY)) {
		throw new AnyvisorError("usage", `No machine has ${memory} bytes of memory: they have from 1M to 1P`);
	}
	if (cpus !== undefined && (cpus < 1 || cpus > MAX_CPUS)) {
		throw new AnyvisorError("usage", `No machine has ${cpus} CPUs: they have from 1 to ${MAX_CPUS}`);
	}
	return {
		...(memory !== undefined && { memory }),
		...(cpus !== undefined && { cpus }),
		...(firmware !== undefined && { firmware }),
		...(network.length > 0 && { networks: new Map(network) }),
		...(newIdentity && { identity: new NewIdentity() }),
	};
}

export const generation = () =>
	new Option("--generation <number>", "of Hyper-V's machines, where both are meant").choices(["1", "2"]);

/**
 * Without the other generation of Hyper-V.
 *
 * @throws `usage` where nothing of Hyper-V is left
 */
export function ofGeneration(targets: readonly Hypervisor[], wanted: string | undefined): readonly Hypervisor[] {
	if (wanted === undefined) return targets;
	const left = targets.filter(({ family, id }) => family !== "hyperv" || id === `hyperv-gen${wanted}`);
	if (left.some(({ family }) => family === "hyperv")) return left;
	throw new AnyvisorError("usage", `Nothing is expanded for generation ${wanted} of Hyper-V`, {
		hint: `--for hyperv means both generations, and --for hyperv-gen${wanted} only this one.`,
	});
}
