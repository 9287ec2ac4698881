import { AnyvisorError } from "../bytes/errors.js";
import type { Machine } from "../machine/machine.js";
import { attached } from "./attach.js";
import { diskFiles, fileBase } from "./file-name.js";
import { writeDisks, writeFile, writeImportNote, writeText } from "./folder.js";
import type { Appliance, DirectBoot, Layout } from "./target.js";

const KERNEL = "vmlinux";
const INITRAMFS = "initrd";
const MOST_CPUS = 32;

/**
 * On x86 Firecracker starts an ELF kernel and nothing else:
 * https://github.com/firecracker-microvm/firecracker/blob/main/docs/rootfs-and-kernel-setup.md
 */
export const firecracker: Layout = {
	id: "firecracker",
	hypervisors: ["firecracker"],
	summary: "raw disks, the guest's kernel, unpacked, and its initramfs, and config.json",
	imported: "firecracker --no-api --config-file config.json",
	judged: "disks by qemu-img, the kernel by readelf; the start by nobody",
	async write(appliance, folder, options) {
		const file = diskFiles(fileBase(appliance.machine.name), "img");
		const machine = attached(appliance, { file, withoutSecureBoot: true });
		const boot = await kernelOf(appliance);
		await writeDisks(appliance, folder, { format: "raw" }, file, options);
		const parts =
			boot instanceof AnyvisorError
				? []
				: ([
						[KERNEL, boot.kernel],
						[INITRAMFS, boot.initramfs],
					] as const);
		for (const [name, bytes] of parts) {
			if (bytes !== undefined) await writeFile(folder, name, (sink) => sink.write(0, bytes).then(() => bytes.length));
		}
		await writeText(folder, "config.json", `${JSON.stringify(configuration(machine, boot), undefined, "\t")}\n`);
		await writeImportNote(
			appliance,
			folder,
			{
				command: { shell: "sh", line: "firecracker --no-api --config-file config.json" },
				remarks: [
					...(boot instanceof AnyvisorError
						? [
								`Put the guest's kernel here first, as an ELF file named ${KERNEL}, and in config.json what it is started with (boot_args): ${boot.message}.`,
							]
						: []),
					...(machine.nics.length === 0
						? []
						: ["Make its TAP devices first, for each card one: ip tuntap add tap0 mode tap; ip link set tap0 up."]),
					...appliance.hypervisor.notes,
				],
			},
			[
				...machine.lost,
				...(machine.cpus > MOST_CPUS
					? [
							`${machine.cpus - MOST_CPUS} of its ${machine.cpus} CPUs: Firecracker's machines have ${MOST_CPUS} at most.`,
						]
					: []),
			],
		);
	},
};

async function kernelOf({ kernel }: Appliance): Promise<DirectBoot | AnyvisorError> {
	if (kernel === undefined) return new AnyvisorError("unsupported", "it is not known");
	try {
		return await kernel();
	} catch (error) {
		if (error instanceof AnyvisorError && error.kind !== "interrupted") return error;
		throw error;
	}
}

/** https://github.com/firecracker-microvm/firecracker/blob/main/src/firecracker/swagger/firecracker.yaml */
function configuration({ cpus, memory, disks, nics }: Machine, boot: DirectBoot | AnyvisorError): object {
	const { initramfs, cmdline } = boot instanceof AnyvisorError ? { initramfs: undefined, cmdline: "" } : boot;
	return {
		"boot-source": {
			kernel_image_path: KERNEL,
			...(initramfs === undefined ? {} : { initrd_path: INITRAMFS }),
			boot_args: `${cmdline} console=ttyS0 reboot=k panic=1`.trim(),
		},
		// The command line says which one is the root.
		drives: disks.map(({ id, file }) => ({
			drive_id: id,
			path_on_host: file,
			is_root_device: false,
			is_read_only: false,
		})),
		"machine-config": { vcpu_count: Math.min(MOST_CPUS, cpus), mem_size_mib: Math.ceil(memory / 2 ** 20) },
		"network-interfaces": nics.map(({ mac }, index) => ({
			iface_id: `eth${index}`,
			host_dev_name: `tap${index}`,
			...(mac === undefined ? {} : { guest_mac: mac }),
		})),
	};
}
