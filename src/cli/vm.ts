import { openVm } from "../open.js";
import { type NamedOptions, openNamedOrigin } from "../open-disk.js";
import type { Vm } from "../pipeline.js";
import { type IntegrityOptions, integrityCheck } from "./integrity.js";
import { type KeyOptions, readKeys } from "./keys.js";

/** A VM that closes its files. */
export type OpenVm = Vm & AsyncDisposable & { readonly opened: readonly string[] };

/** What the options of `vmOptions` give. */
export interface VmOptions extends Omit<NamedOptions, "integrity">, KeyOptions, IntegrityOptions {}

/**
 * Opens the VM that a user named, with the keys for its encrypted volumes.
 *
 * @param readsAll whether all of its disks will be read: then so much time goes into checking its manifest, too
 */
export async function openNamed(name: string, options: VmOptions, readsAll = false): Promise<OpenVm> {
	const keys = await readKeys(options);
	const origin = await openNamedOrigin(name, options);
	try {
		const vm = await openVm(origin, { ...options, integrity: integrityCheck(options, readsAll) });
		return {
			...vm,
			keys,
			opened: origin.opened,
			async [Symbol.asyncDispose]() {
				for (const disk of vm.disks) await disk[Symbol.asyncDispose]?.();
				await origin[Symbol.asyncDispose]();
			},
		};
	} catch (error) {
		await origin[Symbol.asyncDispose]();
		throw error;
	}
}
