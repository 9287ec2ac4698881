import { refused } from "../../bytes/errors.js";
import type { Machine } from "../../machine/machine.js";
import { type Overrides, overridden } from "../../machine/override.js";
import { checkIntegrity, findImages, openVm, readDescribed } from "../../open.js";
import { openNamedOrigin } from "../../open-disk.js";
import { look, machineOf } from "../../pipeline.js";
import { integrityCheck } from "../integrity.js";
import { readKeys } from "../keys.js";
import type { VmOptions } from "../vm.js";

/**
 * The machine that a descriptor describes, or that the guest on a bare disk calls for.
 *
 * @param opened gets the names of the files that are opened for it
 */
export async function readMachineOf(
	name: string,
	options: VmOptions,
	overrides: Overrides = {},
	opened: string[] = [],
): Promise<Machine> {
	await using origin = await openNamedOrigin(name, options);
	opened.push(...origin.opened);
	if (options.verify !== undefined) {
		const integrity = integrityCheck(options, false);
		await checkIntegrity(await findImages(origin, options), name, { integrity });
	}
	const described = await readDescribed(origin, options);
	if (described !== undefined) return overridden(described, overrides);
	const keys = await readKeys(options);
	const vm = await openVm(origin, options);
	try {
		const { guest } = await look({ ...vm, keys });
		const { firmware } = overrides;
		if (firmware !== undefined && guest.firmware.length > 0 && !guest.firmware.includes(firmware)) {
			throw refused(`${name} does not boot by ${firmware.toUpperCase()}`, {
				file: name,
				hint: `Its disk has what it takes to boot by ${guest.firmware.join(" or ").toUpperCase()}.`,
			});
		}
		return machineOf({ ...vm, overrides }, guest);
	} finally {
		for (const disk of vm.disks) await disk[Symbol.asyncDispose]?.();
	}
}
