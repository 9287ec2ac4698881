import type { LinuxKernel } from "../guest/guest.js";
import type { DeviceModel, Trap } from "../hypervisor/hypervisor.js";

/** Why the kernel turns away from a device that it has a driver for, in one sentence; undefined when it does not. */
export function trapOf(model: DeviceModel, driver: string | null, kernel: LinuxKernel): string | undefined {
	for (const trap of model.traps ?? []) {
		const caught = springs[trap](model, driver, kernel);
		if (caught !== undefined) return caught;
	}
	return pvDevicesOff(model, kernel);
}

const springs: Record<Trap, typeof trapOf> = {
	/** `piix_ignore_devices_quirk` in drivers/ata/ata_piix.c: compiled in with CONFIG_HYPERV_STORAGE, =y or =m. */
	"ata-piix-yields-to-storvsc"(_model, driver, kernel) {
		if (driver !== "ata_piix" || !configured("hv_storvsc", kernel)) return undefined;
		if (/^(0|n|off?)/i.test(parameter("ata_piix.prefer_ms_hyperv", kernel) ?? "")) return undefined;
		return "On Hyper-V ata_piix leaves the disk to hv_storvsc, which this kernel was built with.";
	},

	/** `xen_unplug_emulated_devices` in arch/x86/xen/platform-pci-unplug.c. */
	"xen-unplug"(model, _driver, kernel) {
		const disk = model.role === "disk";
		const frontend = disk ? "xen_blkfront" : "xen_netfront";
		const wish = parameter("xen_emul_unplug", kernel)?.split(",") ?? [];
		if (wish.includes("never") || wish.includes("unnecessary")) return undefined;
		if (wish.length > 0) {
			if (!wish.includes("all") && !wish.includes(disk ? "ide-disks" : "nics")) return undefined;
			return `The kernel command line has it unplug the emulated ${disk ? "disks" : "NICs"} at boot (xen_emul_unplug).`;
		}
		if (!configured(frontend, kernel)) return undefined;
		return `On Xen this kernel unplugs the emulated ${disk ? "disks" : "NICs"} at boot, because it was built with ${frontend}.`;
	},
};

/** `xen_has_pv_devices`, in the same file: who is told never to unplug does not use the PV devices either. */
function pvDevicesOff(model: DeviceModel, kernel: LinuxKernel): string | undefined {
	if (!model.addresses.some(({ bus }) => bus === "xen")) return undefined;
	if (!parameter("xen_emul_unplug", kernel)?.split(",").includes("never")) return undefined;
	return "The kernel command line says xen_emul_unplug=never, which turns the PV devices off.";
}

/** The kernel was built with the module, whether or not it can be loaded in time. */
function configured(module: string, { modules }: LinuxKernel): boolean {
	return modules.builtin.has(module) || modules.paths.has(module);
}

/** The last value of a parameter on the command line; the kernel takes `-` for `_` in its name. */
function parameter(name: string, { cmdline }: LinuxKernel): string | undefined {
	let value: string | undefined;
	for (const word of cmdline.split(/\s+/)) {
		const equals = word.indexOf("=");
		if (equals > 0 && word.slice(0, equals).replaceAll("-", "_") === name) value = word.slice(equals + 1);
	}
	return value;
}
