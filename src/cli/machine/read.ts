import type { Machine } from "../../machine/machine.js";
import { checkIntegrity, findImages, openVm, readDescribed } from "../../open.js";
import { openNamedOrigin } from "../../open-disk.js";
import { look, machineOf } from "../../pipeline.js";
import { integrityCheck } from "../integrity.js";
import { readKeys } from "../keys.js";
import type { VmOptions } from "../vm.js";

/** The machine that a descriptor describes, or that the guest on a bare disk calls for. */
export async function readMachineOf(name: string, options: VmOptions): Promise<Machine> {
	await using origin = await openNamedOrigin(name, options);
	if (options.verify !== undefined) {
		const integrity = integrityCheck(options, false);
		await checkIntegrity(await findImages(origin, options), name, { integrity });
	}
	const described = await readDescribed(origin, options);
	if (described !== undefined) return described;
	const keys = await readKeys(options);
	const vm = await openVm(origin, options);
	try {
		const { guest } = await look({ ...vm, keys });
		return machineOf(vm, guest);
	} finally {
		for (const disk of vm.disks) await disk[Symbol.asyncDispose]?.();
	}
}
