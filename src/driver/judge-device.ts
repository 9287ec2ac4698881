import type { LinuxGuest, LinuxKernel } from "../guest/guest.js";
import { isAddOn, nextAddOn } from "../guest/linux/uki/add-ons.js";
import type { DeviceModel } from "../hypervisor/hypervisor.js";
import { type Driver, type KernelDrivers, worse } from "./kernel-drivers.js";
import { trapOf } from "./traps.js";
import type { DeviceVerdict, DriverState } from "./verdict.js";

/** A driver that a device needs. */
export interface NeededDriver extends Driver {
	/** Binds the device itself, a bus below it, stacks on it, or mounts the root from it. */
	readonly for: "device" | "bus" | "stack" | "root";
}

/** What a device comes down to, with what its sentences are made of. */
export interface JudgedDevice {
	readonly model: DeviceModel;
	readonly verdict: Omit<DeviceVerdict, "chosen">;
	/** Every driver it needs, the device's own first. */
	readonly drivers: readonly NeededDriver[];
	/** The kernel turns away from it, whatever drivers it has. */
	readonly trapped: boolean;
	/** Adding {@link DeviceVerdict.missing} to the initramfs makes it work. */
	readonly fixable: boolean;
}

/** Judges a device model in one kernel of the guest. `root` is {@link rootFilesystemOf} the guest. */
export function judgeDevice(
	model: DeviceModel,
	kernel: LinuxKernel,
	lookup: KernelDrivers,
	root: string | undefined,
): JudgedDevice {
	const drivers = neededDrivers(model, lookup, root);
	const state = drivers.reduce<DriverState>((worst, driver) => worse(worst, driver.state), "builtin");
	const binds = drivers.find((driver) => driver.for === "device")?.module ?? null;
	const trap = trapOf(model, binds, kernel);
	const disk = model.role === "disk";
	const unindexed = disk ? drivers.find((driver) => driver.unindexed) : undefined;
	const note =
		trap ??
		(unindexed && `${unindexed.module} is in the initramfs of ${kernel.version}, but nothing in there would load it.`);

	const reachable = disk ? state === "builtin" || state === "initramfs" : state !== "absent";
	const works = reachable && trap === undefined;
	const addable = disk && state === "installed" && trap === undefined;
	return {
		model,
		drivers,
		trapped: trap !== undefined,
		fixable: addable && canBeAddedTo(kernel),
		verdict: {
			role: model.role,
			device: model.id,
			driver: binds,
			state,
			works,
			missing: addable ? lookup.lacking(drivers) : [],
			verified: model.verified,
			...(note === undefined ? {} : { note }),
		},
	};
}

function neededDrivers(model: DeviceModel, lookup: KernelDrivers, root: string | undefined): NeededDriver[] {
	const needed = (driver: Driver, purpose: NeededDriver["for"]): NeededDriver => ({ ...driver, for: purpose });
	const [device, ...buses] = model.addresses.map((address) => lookup.at(address)).reverse();
	return [
		...(device === undefined ? [] : [needed(device, "device")]),
		...buses.map((driver) => needed(driver, "bus")),
		...(model.needs ?? []).map((module) => needed(lookup.module(module), "stack")),
		...(model.role === "disk" && root !== undefined ? [needed(lookup.filesystem(root), "root")] : []),
	];
}

/** Is its initramfs inside an EFI program, to which nothing can be appended? */
export const isSealed = ({ initramfs, image }: LinuxKernel): boolean =>
	initramfs !== undefined && (initramfs.path === image || isAddOn(initramfs.path));

/** By one more archive, at the end of the initramfs or in an add-on beside it. */
export const canBeAddedTo = (kernel: LinuxKernel): boolean =>
	kernel.initramfs !== undefined && (!isSealed(kernel) || nextAddOn(kernel) !== undefined);

/** Type of the root file system as /etc/fstab has it; undefined where that does not name one. */
export function rootFilesystemOf({ fstab }: LinuxGuest): string | undefined {
	const type = fstab.find(({ mount }) => mount === "/")?.type;
	return type === "auto" ? undefined : type;
}
