import { requirements } from "../../src/driver/closure.js";
import type { Initramfs, LinuxGuest, LinuxKernel, ModuleIndex } from "../../src/guest/guest.js";

/** Module, what it depends on, its aliases: a kernel small enough to read. */
const modules: readonly (readonly [name: string, needs: string, ...aliases: string[]])[] = [
	["scsi_mod", ""],
	["sd_mod", "scsi_mod", "scsi:t-0x00*"],
	["libata", "scsi_mod"],
	["ata_piix", "libata", "pci:v00008086d00007111sv*sd*bc*sc*i*", "pci:v00008086d00007010sv*sd*bc*sc*i*"],
	["ata_generic", "libata", "pci:v*d*sv*sd*bc01sc01i*"],
	[
		"ahci",
		"libata",
		"pci:v00008086d00002922sv*sd*bc*sc*i*",
		"pci:v00008086d00002829sv*sd*bc*sc*i*",
		"pci:v*d*sv*sd*bc01sc06i01*",
	],
	["nvme_core", ""],
	["nvme", "nvme_core", "pci:v*d*sv*sd*bc01sc08i02*"],
	["vmw_pvscsi", "scsi_mod", "pci:v000015ADd000007C0sv*sd*bc*sc*i*"],
	["mptbase", ""],
	["mptspi", "mptbase scsi_mod", "pci:v00001000d00000030sv*sd*bc*sc*i*"],
	["mptsas", "mptbase scsi_mod", "pci:v00001000d00000054sv*sd*bc*sc*i*"],
	["virtio", ""],
	["virtio_ring", "virtio"],
	["virtio_pci", "virtio_ring virtio", "pci:v00001AF4d*sv*sd*bc*sc*i*"],
	["virtio_blk", "virtio_ring virtio", "virtio:d00000002v*"],
	["virtio_scsi", "virtio_ring virtio scsi_mod", "virtio:d00000008v*"],
	["virtio_net", "virtio_ring virtio", "virtio:d00000001v*"],
	["hv_vmbus", "", "acpi*:VMBUS:*", "acpi*:VMBus:*"],
	[
		"hv_storvsc",
		"hv_vmbus scsi_mod",
		"vmbus:32264132cb86a2449b5c50d1417354f5",
		"vmbus:d96361baa104294db60572e2ffb1dc7f",
	],
	["hv_netvsc", "hv_vmbus", "vmbus:635161f83edfc546913ff2d2f965ed0e"],
	["hyperv_keyboard", "hv_vmbus", "vmbus:6dad12f9172bea48bd65f927a61c7684"],
	["xen_blkfront", "", "xen:vbd"],
	["xen_netfront", "", "xen:vif"],
	["vmxnet3", "", "pci:v000015ADd000007B0sv*sd*bc*sc*i*"],
	["e1000", "", "pci:v00008086d0000100Esv*sd*bc*sc*i*", "pci:v00008086d0000100Fsv*sd*bc*sc*i*"],
	["e1000e", "", "pci:v00008086d000010D3sv*sd*bc*sc*i*"],
	["8139cp", "", "pci:v000010ECd00008139sv*sd*bc*sc*i*"],
	["tulip", "", "pci:v00001011d00000009sv*sd*bc*sc*i*"],
	["crc16", ""],
	["ext4", "crc16", "fs-ext4", "fs-ext3", "fs-ext2"],
];

const names = modules.map(([name]) => name);

export interface Plan {
	/** Modules compiled into the kernel; `all` for a monolithic one. Their device aliases are recorded nowhere. */
	readonly builtin?: readonly string[] | "all";
	/** Modules that this kernel was built without. */
	readonly without?: readonly string[];
	/** Modules put into the initramfs, with what they depend on; absent: there is no initramfs. */
	readonly initramfs?: readonly string[] | "all";
	readonly aliases?: Initramfs["aliases"];
	readonly forced?: readonly string[];
	readonly cmdline?: string;
	readonly guest?: Partial<LinuxGuest>;
}

/** A guest with one kernel, 6.1-test, that boots by BIOS and UEFI from ext4. */
export function guest(plan: Plan): LinuxGuest & { readonly kernels: readonly [LinuxKernel] } {
	const builtin = new Set(plan.builtin === "all" ? names : (plan.builtin ?? []));
	if (!plan.without?.includes("xenbus_probe_frontend")) builtin.add("xenbus_probe_frontend");
	const files = modules.filter(([name]) => !builtin.has(name) && !plan.without?.includes(name));
	const index: ModuleIndex = {
		builtin,
		paths: new Map(files.map(([name]) => [name, `kernel/${name}.ko`])),
		dependencies: new Map(files.map(([name, needs]) => [name, needs.split(" ").filter((need) => need !== "")])),
		aliases: files.flatMap(([name, , ...aliases]) => aliases.map((alias) => [alias, name] as const)),
		softdeps: new Map(),
	};
	const kernel: LinuxKernel = {
		version: "6.1-test",
		image: "/boot/vmlinuz-6.1-test",
		modulesDirectory: "/lib/modules/6.1-test",
		cmdline: plan.cmdline ?? "",
		modules: index,
		problems: [],
		...(plan.initramfs === undefined ? {} : { initramfs: initramfs(plan, index) }),
	};
	return {
		system: "linux",
		id: "debian",
		version: "12",
		name: "Debian GNU/Linux 12",
		arch: "x86_64",
		firmware: ["bios", "uefi"],
		defaultKernel: "6.1-test",
		boot: { kind: "grub2", config: "/boot/grub/grub.cfg", entries: [], default: -1 },
		fstab: [{ spec: "UUID=1", mount: "/", type: "ext4", options: "defaults", line: 1 }],
		network: [],
		naming: { udev: 252, scheme: "v252", by: "links", links: [], rules: [], generator: false, biosdevname: false },
		generators: [],
		problems: [],
		...plan.guest,
		kernels: [kernel],
	};
}

function initramfs(plan: Plan, index: ModuleIndex): Initramfs {
	const wanted = plan.initramfs === "all" ? [...index.paths.keys()] : (plan.initramfs ?? []);
	return {
		path: "/boot/initrd.img-6.1-test",
		size: 1,
		before: [],
		generator: "initramfs-tools",
		udev: false,
		systemd: false,
		segments: [],
		modules: new Map(requirements(wanted, index).order.map((name) => [name, `kernel/${name}.ko`])),
		dependencies: index.dependencies,
		aliases: "aliases" in plan ? plan.aliases : index.aliases,
		forced: new Set(plan.forced),
		modulesDirectory: "usr/lib/modules/6.1-test",
	};
}
