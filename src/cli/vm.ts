import { openVm } from "../open.js";
import { type NamedOptions, openNamedOrigin } from "../open-disk.js";
import type { Vm } from "../pipeline.js";
import { type KeyOptions, readKeys } from "./keys.js";

/** A VM that closes its files. */
export type OpenVm = Vm & AsyncDisposable;

/** What the options of `vmOptions` give. */
export interface VmOptions extends NamedOptions, KeyOptions {}

/** Opens the VM that a user named, with the keys for its encrypted volumes. */
export async function openNamed(name: string, options: VmOptions): Promise<OpenVm> {
	const keys = await readKeys(options);
	const origin = await openNamedOrigin(name, options);
	try {
		const vm = await openVm(origin, options);
		return {
			...vm,
			keys,
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
