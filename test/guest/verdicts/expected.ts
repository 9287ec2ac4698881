/**
 * What is expected of each guest that scripts/guest/replicas.mjs makes, written by hand from how it was made: never
 * copied from what came out.
 */
export interface ExpectedGuest {
	/** Why it should be so. */
	readonly why: string;
	readonly system: string;
	/** `the host's` where the guest has the kernel of the system that it was made on. */
	readonly kernel: string;
	/** Its file system, and what that lies on unless it is a partition. */
	readonly root: string;
	readonly generator: string;
	readonly loader: string;
	readonly firmware: string;
	/** `root=` of the entry that boots by default, its UUID left out where it is the root's own. */
	readonly parameter: string;
	/** Hypervisor to verdict, boot disk with the state of its driver, driver of the network card. */
	readonly verdicts: Readonly<Record<string, string>>;
}

type Verdicts = ExpectedGuest["verdicts"];

/** Each hypervisor's preferred devices, had from the initramfs: it was made for every machine. */
const everywhere = {
	vmware: "ready, pvscsi initramfs, vmxnet3",
	xenserver: "ready, vbd initramfs, xen_netfront",
	"hyperv-gen1": "ready, hyperv-ide initramfs, hv_netvsc",
	"hyperv-gen2": "ready, hyperv-scsi initramfs, hv_netvsc",
	kvm: "ready, virtio-blk initramfs, virtio_net",
	virtualbox: "ready, ahci initramfs, e1000",
	nxtop: "ready, vbd initramfs, xen_netfront",
	neocleus: "ready, vbd initramfs, xen_netfront",
} satisfies Verdicts;

/** The initramfs was made for a machine that is none of these; their drivers lie on the root. */
const nowhere = {
	vmware: "fixable, pvscsi installed, vmxnet3",
	xenserver: "fixable, vbd installed, xen_netfront",
	"hyperv-gen1": "fixable, hyperv-ide installed, hv_netvsc",
	"hyperv-gen2": "fixable, hyperv-scsi installed, hv_netvsc",
	kvm: "fixable, virtio-blk installed, virtio_net",
	virtualbox: "fixable, ahci installed, e1000",
	nxtop: "fixable, vbd installed, xen_netfront",
	neocleus: "fixable, vbd installed, xen_netfront",
} satisfies Verdicts;

const blocked = (verdict: string) => verdict.replace(/^\w+/, "blocked");

/** The disk boots by BIOS, which generation 2 has not. */
const bios = (verdicts: Verdicts): Verdicts => ({
	...verdicts,
	"hyperv-gen2": blocked(verdicts["hyperv-gen2"] ?? ""),
});

/** The disk boots by UEFI, which these have not. */
const uefi = (verdicts: Verdicts): Verdicts => ({
	...verdicts,
	"hyperv-gen1": blocked(verdicts["hyperv-gen1"] ?? ""),
	nxtop: blocked(verdicts["nxtop"] ?? ""),
	neocleus: blocked(verdicts["neocleus"] ?? ""),
});

/** Debian's grub-install puts nothing where a machine without UEFI variables looks: that is a change of its own. */
const withoutFallback = (verdicts: Verdicts): Verdicts =>
	Object.fromEntries(Object.entries(uefi(verdicts)).map(([id, verdict]) => [id, verdict.replace(/^ready/, "fixable")]));

/** Host-only, made on VMware with the paravirtual controller. */
const vmware = { ...nowhere, vmware: everywhere.vmware };

/** What makes an initramfs for which machines. */
const generators = {
	dep: {
		generator: "initramfs-tools",
		why: "MODULES=dep, made on VMware with the paravirtual controller: no other disk driver is in the initramfs",
		verdicts: vmware,
	},
	list: {
		generator: "initramfs-tools",
		why: "MODULES=list, whose list names vmw_pvscsi and no other disk driver",
		verdicts: vmware,
	},
	most: {
		generator: "initramfs-tools",
		why: "MODULES=most has the drivers of every disk controller, Xen's and Hyper-V's included",
		verdicts: everywhere,
	},
	hostonly: {
		generator: "dracut",
		why: "dracut's host-only mode with the driver of VMware's paravirtual controller and no other",
		verdicts: vmware,
	},
	generic: { generator: "dracut", why: "dracut for every machine has every disk driver", verdicts: everywhere },
};

const loaders = {
	"grub-bios": { loader: "grub2", firmware: "bios" },
	"grub-uefi": { loader: "grub2", firmware: "uefi" },
	"systemd-boot": { loader: "systemd-boot", firmware: "uefi" },
};
/** What each leaves of the verdicts. */
const startedBy = { "grub-bios": bios, "grub-uefi": withoutFallback, "systemd-boot": uefi };

const uuid = "root=UUID=";
const roots = {
	ext4: { root: "ext4", parameter: uuid },
	xfs: { root: "xfs", parameter: uuid },
	btrfs: { root: "btrfs", parameter: uuid },
	/** The hyphen of the volume group's name is doubled. */
	"lvm-ext4": { root: "ext4 on lvm2", parameter: "root=/dev/mapper/debian--vg-root" },
};

const named = <T extends object>(table: T) => Object.entries(table) as [keyof T & string, T[keyof T]][];

const debian = named(generators).flatMap(([modules, { verdicts, ...generator }]) =>
	named(loaders).flatMap(([loader, start]) =>
		named(roots).map(([name, root]): [string, ExpectedGuest] => [
			`debian-${modules}-${name}-${loader}`,
			{
				system: "Debian GNU/Linux 12 (bookworm)",
				kernel: "the host's",
				...generator,
				...start,
				...root,
				verdicts: startedBy[loader](verdicts),
			},
		]),
	),
);

export const expected: Readonly<Record<string, ExpectedGuest>> = {
	...Object.fromEntries(debian),

	"rhel-7": {
		why: "host-only, made on VMware with the paravirtual controller; the entry that grubenv names, not the rescue image",
		system: "Red Hat Enterprise Linux 7.9",
		kernel: "3.10.0-1160.el7.x86_64",
		root: "xfs on lvm2",
		parameter: "root=/dev/mapper/rhel-root",
		generator: "dracut",
		...loaders["grub-bios"],
		verdicts: bios(vmware),
	},
	"rhel-8": {
		why: "host-only, made on KVM with a virtio block device; command line in grubenv's kernelopts",
		system: "Red Hat Enterprise Linux 8.10",
		kernel: "4.18.0-553.el8_10.x86_64",
		root: "xfs on lvm2",
		parameter: "root=/dev/mapper/rhel-root",
		generator: "dracut",
		...loaders["grub-bios"],
		verdicts: bios({ ...nowhere, kvm: everywhere.kvm }),
	},
	"rhel-9": {
		why: "host-only, made on Hyper-V generation 2; UEFI only, so that generation 1 cannot start it, whose disk it would drive",
		system: "Red Hat Enterprise Linux 9.4",
		kernel: "5.14.0-427.13.1.el9_4.x86_64",
		root: "xfs on lvm2",
		parameter: "root=/dev/mapper/rhel-root",
		generator: "dracut",
		...loaders["grub-uefi"],
		verdicts: uefi({
			...nowhere,
			"hyperv-gen1": everywhere["hyperv-gen1"],
			"hyperv-gen2": everywhere["hyperv-gen2"],
		}),
	},
	"rhel-10": {
		why: "host-only, made on VMware with the paravirtual controller; XFS with large extent counters",
		system: "Red Hat Enterprise Linux 10.0",
		kernel: "6.12.0-55.9.1.el10_0.x86_64",
		root: "xfs on lvm2",
		parameter: "root=/dev/mapper/rhel-root",
		generator: "dracut",
		...loaders["grub-uefi"],
		verdicts: uefi(vmware),
	},
	"fedora-41": {
		why: "an initramfs for every machine, beside a root on the Btrfs subvolume root",
		system: "Fedora Linux 41 (Server Edition)",
		kernel: "6.11.4-301.fc41.x86_64",
		root: "btrfs",
		parameter: uuid,
		generator: "dracut",
		...loaders["grub-uefi"],
		verdicts: uefi(everywhere),
	},
	"sles-15": {
		why: "host-only, made on Xen: of the hypervisors built on it, NxTop also starts it on Hyper-V and lacks that",
		system: "SUSE Linux Enterprise Server 15 SP6",
		kernel: "6.4.0-150600.21-default",
		root: "btrfs",
		parameter: uuid,
		generator: "dracut",
		...loaders["grub-bios"],
		verdicts: bios({
			...nowhere,
			xenserver: everywhere.xenserver,
			nxtop: "fixable, vbd initramfs, xen_netfront",
			neocleus: everywhere.neocleus,
		}),
	},
	"photon-5": {
		why: "the disk drivers of VMware, SATA and IDE are compiled in, virtio's are modules, Xen's and Hyper-V's do not exist: there it boots from emulated IDE, which such a kernel does not leave alone",
		system: "VMware Photon OS/Linux",
		kernel: "6.1.10-11.ph5-esx",
		root: "ext4",
		parameter: uuid,
		generator: "dracut",
		loader: "grub2",
		firmware: "bios and uefi",
		verdicts: {
			vmware: "ready, pvscsi builtin, vmxnet3",
			xenserver: "ready, ide builtin, 8139cp",
			"hyperv-gen1": "ready, ide builtin, tulip",
			"hyperv-gen2": "blocked, hyperv-scsi absent, none",
			kvm: "fixable, virtio-blk installed, virtio_net",
			virtualbox: "ready, ahci builtin, e1000",
			nxtop: "ready, ide builtin, 8139cp",
			neocleus: "ready, ide builtin, 8139cp",
		},
	},
	"arch-ext4": {
		why: "mkinitcpio's autodetect on KVM with a virtio block device; the fallback image is not what boots by default",
		system: "Arch Linux",
		kernel: "6.12.4-arch1-1",
		root: "ext4",
		parameter: uuid,
		generator: "mkinitcpio",
		...loaders["systemd-boot"],
		verdicts: uefi({ ...nowhere, kvm: everywhere.kvm }),
	},
	"arch-btrfs": {
		why: "mkinitcpio with systemd in it, its autodetect on VirtualBox's SATA controller, which VMware also offers",
		system: "Arch Linux",
		kernel: "6.12.4-arch1-1",
		root: "btrfs",
		parameter: uuid,
		generator: "mkinitcpio",
		...loaders["systemd-boot"],
		verdicts: uefi({ ...nowhere, vmware: "ready, ahci initramfs, vmxnet3", virtualbox: everywhere.virtualbox }),
	},
	"alpine-3.20": {
		why: "mkinitfs with the features of a usual installation: no Xen, and of Hyper-V what drivers/scsi brings along",
		system: "Alpine Linux v3.20",
		kernel: "6.6.31-0-lts",
		root: "ext4",
		parameter: uuid,
		generator: "mkinitfs",
		loader: "syslinux",
		firmware: "bios",
		verdicts: bios({
			...everywhere,
			xenserver: nowhere.xenserver,
			nxtop: nowhere.nxtop,
			neocleus: nowhere.neocleus,
		}),
	},
};
