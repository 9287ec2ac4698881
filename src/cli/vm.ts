import { openVm } from "../open.js";
import { type NamedOptions, openNamedOrigin } from "../open-disk.js";
import type { Vm } from "../pipeline.js";

/** A VM that closes its files. */
export type OpenVm = Vm & AsyncDisposable;

/** Opens the VM that a user named. */
export async function openNamed(name: string, options: NamedOptions): Promise<OpenVm> {
	const origin = await openNamedOrigin(name, options);
	try {
		const vm = await openVm(origin, options.format);
		return {
			...vm,
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
