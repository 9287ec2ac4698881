import { describe, expect, test } from "vitest";
import { judge, judgeAll, modulesToAdd, type Verdict } from "../../src/driver/index.js";
import type { Hypervisor } from "../../src/hypervisor/hypervisor.js";
import { hypervisor, hypervisors } from "../../src/hypervisor/registry.js";
import { guest, type Plan } from "./guests.js";

/** A line for each hypervisor: the verdict, what is attached, and the decisive reason. */
function table(plan: Plan): string {
	const verdicts = judgeAll(guest(plan), hypervisors);
	return verdicts.map((one) => `${one.hypervisor}: ${one.verdict}, ${attached(one)}. ${one.reasons[0]}`).join("\n");
}

function attached({ devices }: Verdict): string {
	return devices.flatMap(({ chosen, device, state }) => (chosen ? [`${device} (${state})`] : [])).join(" + ");
}

function on(id: string, plan: Plan): Verdict {
	return judge(guest(plan), named(id));
}

function named(id: string): Hypervisor {
	const found = hypervisor(id);
	if (found === undefined) throw new Error(`no hypervisor ${id}`);
	return found;
}

const device = ({ devices }: Verdict, id: string) => devices.find((one) => one.device === id);

describe("a guest whose initramfs is inside the kernel's own file", () => {
	const path = "/efi/EFI/Linux/debian.efi";
	const sealed = (initramfs: readonly string[]) => {
		const made = guest({ initramfs });
		const [kernel] = made.kernels;
		if (!kernel.initramfs) throw new Error("no initramfs");
		return { ...made, kernels: [{ ...kernel, image: path, initramfs: { ...kernel.initramfs, path } }] };
	};

	test("is blocked for want of a driver in there, and told what to do", () => {
		const verdict = judge(sealed(["ata_piix", "sd_mod", "ext4"]), named("hyperv-gen2"));
		expect(verdict.verdict).toBe("blocked");
		expect(verdict.reasons[0]).toMatch(
			/^The disk driver hv_storvsc is a module, and .*\/efi\/EFI\/Linux\/debian\.efi.*Rebuild/,
		);
	});

	test("is as ready as any other with the driver in there", () => {
		expect(judge(sealed(["virtio_pci", "virtio_blk", "ext4"]), named("kvm")).verdict).toBe("ready");
	});
});

describe("a guest whose initramfs was made", () => {
	test("for the IDE disk it was installed on", () => {
		expect(table({ initramfs: ["ata_piix", "sd_mod", "ext4"] })).toMatchInlineSnapshot(`
			"vmware: fixable, pvscsi (installed) + vmxnet3 (installed). The disk driver vmw_pvscsi is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk.
			xenserver: fixable, vbd (installed) + vif (installed). The disk driver xen_blkfront is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk.
			hyperv-gen1: fixable, hyperv-ide (installed) + netvsc (installed). The disk driver hv_storvsc is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk.
			hyperv-gen2: fixable, hyperv-scsi (installed) + netvsc (installed). The disk driver hv_storvsc is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk.
			kvm: fixable, virtio-blk (installed) + virtio-net (installed). The disk driver virtio_blk is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk.
			virtualbox: fixable, ahci (installed) + e1000 (installed). The disk driver ahci is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk.
			nxtop: fixable, vbd (installed) + vif (installed) + center-hyperv-ide (installed) + center-netvsc (installed). The disk driver xen_blkfront is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk.
			neocleus: fixable, vbd (installed) + vif (installed). The disk driver xen_blkfront is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk."
		`);
	});

	test("for the virtio disk it was installed on", () => {
		expect(table({ initramfs: ["virtio_pci", "virtio_blk", "ext4"] })).toMatchInlineSnapshot(`
			"vmware: fixable, pvscsi (installed) + vmxnet3 (installed). The disk driver vmw_pvscsi is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk.
			xenserver: fixable, vbd (installed) + vif (installed). The disk driver xen_blkfront is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk.
			hyperv-gen1: fixable, hyperv-ide (installed) + netvsc (installed). The disk driver hv_storvsc is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk.
			hyperv-gen2: fixable, hyperv-scsi (installed) + netvsc (installed). The disk driver hv_storvsc is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk.
			kvm: ready, virtio-blk (initramfs) + virtio-net (installed). Boots from virtio block device: its driver virtio_blk is in the initramfs of 6.1-test.
			virtualbox: fixable, ahci (installed) + e1000 (installed). The disk driver ahci is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk.
			nxtop: fixable, vbd (installed) + vif (installed) + center-hyperv-ide (installed) + center-netvsc (installed). The disk driver xen_blkfront is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk.
			neocleus: fixable, vbd (installed) + vif (installed). The disk driver xen_blkfront is installed but not in the initramfs of 6.1-test: the kernel would not find its root disk."
		`);
	});

	test("with most drivers", () => {
		expect(table({ initramfs: "all" })).toMatchInlineSnapshot(`
			"vmware: ready, pvscsi (initramfs) + vmxnet3 (initramfs). Boots from VMware Paravirtual SCSI: its driver vmw_pvscsi is in the initramfs of 6.1-test.
			xenserver: ready, vbd (initramfs) + vif (initramfs). Boots from Xen virtual block device: its driver xen_blkfront is in the initramfs of 6.1-test.
			hyperv-gen1: ready, hyperv-ide (initramfs) + netvsc (initramfs). Boots from Hyper-V IDE disk, accelerated: its driver hv_storvsc is in the initramfs of 6.1-test.
			hyperv-gen2: ready, hyperv-scsi (initramfs) + netvsc (initramfs). Boots from Hyper-V SCSI controller: its driver hv_storvsc is in the initramfs of 6.1-test.
			kvm: ready, virtio-blk (initramfs) + virtio-net (initramfs). Boots from virtio block device: its driver virtio_blk is in the initramfs of 6.1-test.
			virtualbox: ready, ahci (initramfs) + e1000 (initramfs). Boots from Intel ICH8M SATA AHCI: its driver ahci is in the initramfs of 6.1-test.
			nxtop: ready, vbd (initramfs) + vif (initramfs) + center-hyperv-ide (initramfs) + center-netvsc (initramfs). Boots from Xen virtual block device: its driver xen_blkfront is in the initramfs of 6.1-test.
			neocleus: ready, vbd (initramfs) + vif (initramfs). Boots from Xen virtual block device: its driver xen_blkfront is in the initramfs of 6.1-test."
		`);
	});

	test("not at all, the kernel being monolithic", () => {
		expect(table({ builtin: "all" })).toMatchInlineSnapshot(`
			"vmware: ready, pvscsi (builtin) + vmxnet3 (builtin). Boots from VMware Paravirtual SCSI: its driver vmw_pvscsi is built into 6.1-test.
			xenserver: ready, vbd (builtin) + vif (builtin). Boots from Xen virtual block device: its driver xen_blkfront is built into 6.1-test.
			hyperv-gen1: ready, hyperv-ide (builtin) + netvsc (builtin). Boots from Hyper-V IDE disk, accelerated: its driver hv_storvsc is built into 6.1-test.
			hyperv-gen2: ready, hyperv-scsi (builtin) + netvsc (builtin). Boots from Hyper-V SCSI controller: its driver hv_storvsc is built into 6.1-test.
			kvm: ready, virtio-blk (builtin) + virtio-net (builtin). Boots from virtio block device: its driver virtio_blk is built into 6.1-test.
			virtualbox: ready, ahci (builtin) + e1000 (builtin). Boots from Intel ICH8M SATA AHCI: its driver ahci is built into 6.1-test.
			nxtop: ready, vbd (builtin) + vif (builtin) + center-hyperv-ide (builtin) + center-netvsc (builtin). Boots from Xen virtual block device: its driver xen_blkfront is built into 6.1-test.
			neocleus: ready, vbd (builtin) + vif (builtin). Boots from Xen virtual block device: its driver xen_blkfront is built into 6.1-test."
		`);
	});

	test("not at all, the drivers being modules", () => {
		expect(table({})).toMatchInlineSnapshot(`
			"vmware: blocked, vmxnet3 (installed). The disk driver vmw_pvscsi is a module, and 6.1-test has no initramfs that it could be loaded from.
			xenserver: blocked, vif (installed). The disk driver xen_blkfront is a module, and 6.1-test has no initramfs that it could be loaded from.
			hyperv-gen1: blocked, netvsc (installed). The disk driver hv_storvsc is a module, and 6.1-test has no initramfs that it could be loaded from.
			hyperv-gen2: blocked, netvsc (installed). The disk driver hv_storvsc is a module, and 6.1-test has no initramfs that it could be loaded from.
			kvm: blocked, virtio-net (installed). The disk driver virtio_blk is a module, and 6.1-test has no initramfs that it could be loaded from.
			virtualbox: blocked, e1000 (installed). The disk driver ahci is a module, and 6.1-test has no initramfs that it could be loaded from.
			nxtop: blocked, vif (installed) + center-netvsc (installed). The disk driver xen_blkfront is a module, and 6.1-test has no initramfs that it could be loaded from.
			neocleus: blocked, vif (installed). The disk driver xen_blkfront is a module, and 6.1-test has no initramfs that it could be loaded from."
		`);
	});
});

describe("Hyper-V's trap", () => {
	const ide = ["ata_piix", "sd_mod", "ext4"];

	test("ata_piix leaves its disks to hv_storvsc, wherever that is", () => {
		for (const builtin of [[], ["hv_storvsc", "hv_vmbus"]]) {
			const verdict = device(on("hyperv-gen1", { initramfs: ide, builtin }), "ide");
			expect(verdict).toMatchObject({ driver: "ata_piix", state: "initramfs", works: false, missing: [] });
			expect(verdict?.note).toContain("hv_storvsc");
		}
	});

	test("not in a kernel without hv_storvsc, which boots from the emulated disk", () => {
		const verdict = on("hyperv-gen1", { initramfs: ide, without: ["hv_storvsc"] });
		expect([verdict.verdict, attached(verdict)]).toEqual(["ready", "ide (initramfs) + netvsc (installed)"]);
	});

	test.each(["ata_piix.prefer_ms_hyperv=0", "quiet ata-piix.prefer_ms_hyperv=n"])("not with %s", (cmdline) => {
		const verdict = on("hyperv-gen1", { initramfs: ide, cmdline });
		expect(device(verdict, "ide")).toMatchObject({ driver: "ata_piix", works: true });
		expect(verdict.reasons.join()).toMatch(/Unprepared it boots from .* only\./);
	});

	test("the last word on the command line counts", () => {
		const cmdline = "ata_piix.prefer_ms_hyperv=0 ata_piix.prefer_ms_hyperv=1";
		expect(on("hyperv-gen1", { initramfs: ide, cmdline })).toMatchObject({ verdict: "fixable" });
	});
});

describe("Xen's trap", () => {
	const ide = ["ata_piix", "sd_mod", "ext4"];
	const bios = { firmware: ["bios"] } as const;

	test("a kernel with xen_blkfront unplugs the emulated disk and is left without one", () => {
		const verdict = on("xenserver", { initramfs: ide, guest: bios });
		expect(verdict.verdict).toBe("fixable");
		expect(device(verdict, "ide")).toMatchObject({ state: "initramfs", works: false });
		expect(device(verdict, "vbd")).toMatchObject({ state: "installed", missing: ["xen_blkfront"], chosen: true });
	});

	test("a kernel without it boots from the emulated disk", () => {
		const verdict = on("xenserver", { initramfs: ide, guest: bios, without: ["xen_blkfront"] });
		expect([verdict.verdict, attached(verdict)]).toEqual(["ready", "vif (installed) + ide (initramfs)"]);
	});

	test("under UEFI the emulated disk is an NVMe, and IDE is not offered", () => {
		const verdict = on("xenserver", {
			initramfs: ["nvme", "ext4"],
			guest: { firmware: ["uefi"] },
			without: ["xen_blkfront"],
		});
		expect([verdict.verdict, attached(verdict)]).toEqual(["ready", "vif (installed) + nvme (initramfs)"]);
		expect(device(verdict, "ide")).toBeUndefined();
	});

	test.each([
		["xen_emul_unplug=unnecessary", true, true],
		["xen_emul_unplug=never", true, true],
		["xen_emul_unplug=nics", true, false],
		["xen_emul_unplug=ide-disks", false, true],
		["xen_emul_unplug=all", false, false],
		["", false, false],
	])("with %s the emulated disk works: %s, the NIC: %s", (cmdline, disk, nic) => {
		const verdict = on("xenserver", { initramfs: ide, guest: bios, cmdline });
		expect([device(verdict, "ide")?.works, device(verdict, "rtl8139")?.works]).toEqual([disk, nic]);
	});

	test("xen_emul_unplug=never turns the PV devices off", () => {
		const verdict = on("xenserver", { initramfs: "all", cmdline: "xen_emul_unplug=never" });
		expect(device(verdict, "vbd")).toMatchObject({ state: "initramfs", works: false });
	});
});

describe("drivers that bind by class", () => {
	test("drive a controller that no alias names", () => {
		const verdict = on("vmware", { initramfs: ["ahci", "sd_mod", "ext4"] });
		expect(device(verdict, "ahci")).toMatchObject({ driver: "ahci", state: "initramfs", works: true });
	});

	test("do not count where they are known to decline", () => {
		const verdict = on("kvm", { initramfs: ["ata_generic", "sd_mod", "ext4"], without: ["ata_piix"] });
		expect(device(verdict, "ide")).toMatchObject({ driver: null, state: "absent", works: false });
	});

	test("count where the model names no driver", () => {
		const [first, ...rest] = named("kvm").devices.filter(({ id }) => id === "ide");
		if (first === undefined || rest.length > 0) throw new Error("kvm has one ide");
		const addresses = [{ bus: "pci", vendor: "8086", device: "7010", class: "010180" }] as const;
		const own: Hypervisor = {
			...named("kvm"),
			devices: [{ ...first, addresses }],
			boot: { disk: ["ide"], network: [] },
		};
		const verdict = judge(guest({ initramfs: ["ata_generic", "sd_mod", "ext4"], without: ["ata_piix"] }), own);
		expect(device(verdict, "ide")).toMatchObject({ driver: "ata_generic", works: true });
	});
});

describe("the chain", () => {
	test("a virtio disk needs virtio_pci as well", () => {
		const verdict = on("kvm", { initramfs: ["virtio_blk", "ext4"] });
		expect(device(verdict, "virtio-blk")).toMatchObject({
			driver: "virtio_blk",
			state: "installed",
			missing: ["virtio_pci"],
		});
		expect(verdict.reasons[0]).toContain("virtio_pci");
	});

	test("a SCSI disk needs sd_mod as well", () => {
		const verdict = on("hyperv-gen2", { initramfs: ["hv_storvsc", "ext4"] });
		expect(device(verdict, "hyperv-scsi")).toMatchObject({ state: "installed", missing: ["sd_mod"] });
		expect(verdict.reasons[0]).toContain("sd_mod");
	});

	test("a root file system needs its driver as well", () => {
		const plan = { initramfs: ["virtio_pci", "virtio_blk"] };
		const verdict = on("kvm", plan);
		expect(device(verdict, "virtio-blk")).toMatchObject({ state: "installed", missing: ["crc16", "ext4"] });
		expect(verdict.reasons[0]).toBe(
			"The driver ext4 of the root file system is installed but not in the initramfs of 6.1-test: the kernel would not mount its root.",
		);
		const other = on("kvm", { ...plan, guest: { fstab: [] } });
		expect(other.verdict).toBe("ready");
	});

	test.each(["ext3", "ext4"])("a built-in ext4 mounts %s though no alias is recorded", (type) => {
		const fstab = [{ spec: "UUID=1", mount: "/", type, options: "", line: 1 }];
		expect(on("kvm", { initramfs: ["virtio_pci", "virtio_blk"], builtin: ["ext4"], guest: { fstab } }).verdict).toBe(
			"ready",
		);
	});

	test("a file system that the kernel does not know blocks", () => {
		const fstab = [{ spec: "pool/root", mount: "/", type: "zfs", options: "", line: 1 }];
		const verdict = on("kvm", { initramfs: "all", guest: { fstab } });
		expect([verdict.verdict, verdict.reasons[0]]).toEqual([
			"blocked",
			"The kernel 6.1-test has no driver for the root file system.",
		]);
	});
});

describe("an initramfs that has the module", () => {
	const initramfs = ["virtio_pci", "virtio_blk", "ext4"];

	test("but no index to find it by does not load it", () => {
		const verdict = on("kvm", { initramfs, aliases: undefined });
		expect(device(verdict, "virtio-blk")).toMatchObject({
			state: "installed",
			works: false,
			missing: ["virtio_blk", "virtio_pci"],
			note: "virtio_blk is in the initramfs of 6.1-test, but nothing in there would load it.",
		});
		expect(verdict.verdict).toBe("fixable");
	});

	test("but an index that lacks one of its aliases does not load it", () => {
		const verdict = on("kvm", { initramfs, aliases: [["virtio:d00000002v*", "virtio_blk"]] });
		expect(device(verdict, "virtio-blk")).toMatchObject({ state: "installed", missing: ["virtio_pci"] });
	});

	test("and a list that names it loads it, and what it depends on", () => {
		expect(on("kvm", { initramfs, aliases: undefined, forced: ["virtio_pci", "virtio_blk"] }).verdict).toBe("ready");
		const hyperv = { initramfs: ["hv_storvsc", "sd_mod", "ext4"], aliases: undefined, forced: ["hv_storvsc"] };
		expect(device(on("hyperv-gen2", hyperv), "hyperv-scsi")).toMatchObject({ state: "initramfs", works: true });
	});
});

describe("firmware", () => {
	const esp = (loaders: readonly string[], fallback = false) => ({
		esp: { mount: "/boot/efi", fallback, loaders: loaders.map((name) => `/boot/efi/EFI/${name}`), signed: [] },
	});
	const onUefi = (facts: ReturnType<typeof esp>) => on("hyperv-gen2", { initramfs: "all", guest: facts });

	test("that knows no boot entry needs a fallback loader, which may be made", () => {
		const fixable = onUefi(esp(["debian/grubx64.efi"]));
		expect(fixable.verdict).toBe("fixable");
		expect(fixable.reasons[0]).toMatch(/starts EFI\/BOOT\/BOOTX64\.EFI, which is not there.*can be copied there\.$/);
		const blocked = onUefi(esp(["Microsoft/Boot/bootmgfw.efi"]));
		expect(blocked.verdict).toBe("blocked");
		expect(blocked.reasons[0]).toMatch(/no loader that could take its place/);
		expect(onUefi(esp(["BOOT/BOOTX64.EFI"], true)).verdict).toBe("ready");
		expect(on("hyperv-gen1", { initramfs: "all", guest: esp(["debian/grubx64.efi"]) }).verdict).toBe("ready");
	});

	test("with a chain of signatures is said to verify no initramfs, where one is to be changed", () => {
		const chain = { esp: { ...esp(["BOOT/BOOTX64.EFI"], true).esp, signed: ["/boot/efi/EFI/BOOT/BOOTX64.EFI"] } };
		const said = (plan: Plan) =>
			on("hyperv-gen2", { ...plan, guest: chain }).reasons.some((one) => one.includes("PCR 9"));
		expect(said({ initramfs: ["ata_piix", "sd_mod", "ext4"] })).toBe(true);
		expect(said({ initramfs: "all" })).toBe(false);
	});

	test("generation 2 cannot boot a disk without an EFI loader", () => {
		const verdict = on("hyperv-gen2", { initramfs: "all", guest: { firmware: ["bios"] } });
		expect([verdict.verdict, verdict.reasons[0]]).toEqual([
			"blocked",
			"Microsoft Hyper-V, generation 2 boots UEFI, and the guest's disk can boot only with BIOS.",
		]);
	});

	test("generation 1 cannot boot a disk without a BIOS loader", () => {
		expect(on("hyperv-gen1", { initramfs: "all", guest: { firmware: ["uefi"] } }).verdict).toBe("blocked");
	});

	test("a disk without any boot loader boots nowhere", () => {
		for (const { verdict, reasons } of judgeAll(guest({ initramfs: "all", guest: { firmware: [] } }), hypervisors)) {
			expect([verdict, reasons[0]]).toEqual(["blocked", expect.stringContaining("no boot loader was found")]);
		}
	});

	test("can be asked for", () => {
		const both = guest({ initramfs: "all" });
		const devices = (firmware: "bios" | "uefi") =>
			judge(both, named("xenserver"), { firmware }).devices.map(({ device }) => device);
		expect(devices("bios")).toEqual(expect.arrayContaining(["ide", "rtl8139"]));
		expect(devices("uefi")).toEqual(expect.arrayContaining(["nvme", "e1000"]));
		expect(judge(both, named("hyperv-gen1"), { firmware: "uefi" }).verdict).toBe("blocked");
	});
});

test("a guest for another processor is blocked, one of unknown make is not", () => {
	expect(on("kvm", { initramfs: "all", guest: { arch: "aarch64" } })).toMatchObject({
		verdict: "blocked",
		reasons: expect.arrayContaining([
			"The guest is built for aarch64; KVM: QEMU, libvirt, Proxmox VE, oVirt, KubeVirt, Nutanix AHV is modelled for x86_64 and i686.",
		]) as string[],
	});
	expect(on("kvm", { initramfs: "all", guest: { arch: "unknown" } }).verdict).toBe("ready");
});

test("a guest without the kernel it boots by default is blocked", () => {
	const { verdict, reasons } = on("kvm", { initramfs: "all", guest: { defaultKernel: "5.10" } });
	expect([verdict, reasons]).toEqual(["blocked", ["The guest has no kernel 5.10."]]);
});

test("no driver for any NIC does not keep a guest from booting, but is said", () => {
	const verdict = on("vmware", { initramfs: "all", without: ["vmxnet3", "e1000", "e1000e"] });
	expect(verdict.verdict).toBe("ready");
	expect(verdict.devices.filter(({ chosen }) => chosen).map(({ device }) => device)).toEqual(["pvscsi"]);
	expect(verdict.reasons).toContain(
		"It boots, but without network: the kernel 6.1-test has no driver for VMware VMXNET3, Intel 82574L or Intel 82545EM.",
	);
});

test("an NxTop image must boot on both of its hypervisors", () => {
	const xen = ["xen_blkfront", "ext4"];
	const hyperv = ["hv_storvsc", "sd_mod", "ext4"];
	expect(on("nxtop", { initramfs: xen })).toMatchObject({
		verdict: "fixable",
		reasons: expect.arrayContaining([expect.stringContaining("hv_storvsc")]) as string[],
	});
	expect(on("nxtop", { initramfs: hyperv }).reasons[0]).toContain("xen_blkfront");
	expect(on("nxtop", { initramfs: [...xen, ...hyperv] }).verdict).toBe("ready");
	expect(on("nxtop", { initramfs: xen, without: ["hv_storvsc", "ata_piix"] }).verdict).toBe("blocked");
});

test("a verdict says when it rests on what nobody has verified", () => {
	const facts = on("neocleus", { initramfs: "all" });
	expect(facts.reasons.at(-1)).toMatch(/^Not verified: .*Neocleus published no device list/);
	expect(on("kvm", { initramfs: "all" }).reasons.join()).not.toContain("Not verified");
});

describe("modulesToAdd", () => {
	const all = (plan: Plan) => {
		const one = guest(plan);
		return modulesToAdd(one, one.kernels[0], hypervisors);
	};

	test("is what all the targets' disks and keyboards lack, dependencies first", () => {
		expect(all({ initramfs: ["ata_piix", "sd_mod", "ext4"] })).toMatchInlineSnapshot(`
			[
			  "vmw_pvscsi",
			  "ahci",
			  "mptbase",
			  "mptspi",
			  "mptsas",
			  "nvme_core",
			  "nvme",
			  "xen_blkfront",
			  "hv_vmbus",
			  "hv_storvsc",
			  "hyperv_keyboard",
			  "virtio",
			  "virtio_ring",
			  "virtio_blk",
			  "virtio_pci",
			  "virtio_scsi",
			]
		`);
	});

	test("once added, every hypervisor is ready and nothing is left to add", () => {
		const before = ["ata_piix", "sd_mod", "ext4"];
		const after = { initramfs: [...before, ...all({ initramfs: before })] };
		expect(all(after)).toEqual([]);
		expect(judgeAll(guest(after), hypervisors).map(({ verdict }) => verdict)).toEqual(hypervisors.map(() => "ready"));
	});

	test("brings what is there unfound again, so that the index comes along", () => {
		const one = guest({ initramfs: ["virtio_pci", "virtio_blk", "ext4"], aliases: [] });
		expect(modulesToAdd(one, one.kernels[0], [named("kvm")])).toEqual(
			expect.arrayContaining(["virtio_pci", "virtio_blk"]),
		);
	});

	test("is empty without an initramfs, and leaves out what the kernel has no file for", () => {
		expect(all({})).toEqual([]);
		expect(all({ initramfs: [], without: ["xen_blkfront", "mptbase"] })).not.toEqual(
			expect.arrayContaining([expect.stringMatching(/xen_blkfront|mpt/)]),
		);
	});
});
