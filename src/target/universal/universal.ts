import { AnyvisorError, unsupported } from "../../bytes/errors.js";
import type { OutputFolder } from "../../bytes/sink.js";
import { facesUuid, writeFaces } from "../../disk/faces.js";
import { writeDomain } from "../../machine/libvirt.js";
import type { Machine } from "../../machine/machine.js";
import { writeVbox } from "../../machine/vbox-write.js";
import { writeVmx } from "../../machine/vmx.js";
import { attached } from "../attach.js";
import { diskFiles, fileBase } from "../file-name.js";
import { writeImportNote, writeText } from "../folder.js";
import { guestNames } from "../guest-names.js";
import { importScript } from "../hyperv.js";
import type { Appliance, Layout, LayoutOptions } from "../target.js";
import { vboxUuid } from "../vbox.js";
import { xlCommand, xlConfig } from "../xl-config.js";
import { runScript } from "./run-script.js";

/** One file for each disk, which every hypervisor attaches as it lies there, and a small description for each of them. */
export const universal: Layout = {
	id: "universal",
	hypervisors: ["vmware", "virtualbox", "hyperv-gen1", "kvm", "xenserver"],
	onRequest: { title: "All of these in one folder" },
	summary: "one folder that VMware, VirtualBox, Hyper-V, QEMU, libvirt and Xen run as it is",
	imported: "none: it is opened where it lies",
	judged: "qemu-img compares every face; QEMU takes run.sh, libvirt the domain and the .vmx; the rest by golden texts",
	async write(appliance, folder, options) {
		const base = fileBase(appliance.machine.name);
		const diskFile = diskFiles(base, "vhd");
		await writeDisksWithFaces(appliance, folder, diskFile, options);
		const ways: string[] = [];
		/** Which hypervisors have no place for what: by the sentence that says so. */
		const lost = new Map<string, string[]>();
		const tell = (line: string, ...whose: readonly string[]) => lost.set(line, [...(lost.get(line) ?? []), ...whose]);
		for (const each of [appliance, ...(appliance.together ?? [])]) {
			const describe = DESCRIPTIONS[each.hypervisor.id];
			if (describe === undefined) continue;
			try {
				const machine = attached(each, { file: diskFile, ...PLACES[each.hypervisor.id] });
				ways.push(await describe(each, machine, folder, base));
				for (const line of machine.lost) tell(line, each.hypervisor.title);
			} catch (error) {
				if (!(error instanceof AnyvisorError && error.kind === "unsupported")) throw error;
				tell(`It does not run on ${each.hypervisor.title}: ${error.message}.`);
			}
		}
		if (ways.length === 0) throw unsupported(`no hypervisor takes ${base}: ${[...lost.keys()].join(" ")}`);
		const told = [...lost].map(([line, whose]) =>
			whose.length === 0 || whose.length === ways.length ? line : `${whose.join(", ")}: ${line}`,
		);
		await writeImportNote(
			{ ...appliance, hypervisor: { ...appliance.hypervisor, title: "every hypervisor below" } },
			folder,
			{
				remarks: [
					"There is nothing to import or convert: unpack the folder where the machine shall live, and start it.",
					ways.map((way) => `- ${way}`).join("\n"),
					"Run it in one place at a time. What one hypervisor writes into the disk is there for the next one.",
				],
			},
			told,
		);
	},
};

/** What the descriptions have a place for. */
const PLACES: Readonly<Record<string, Omit<Parameters<typeof attached>[1], "file">>> = {
	vmware: { network: "VM Network", uuid: true },
	virtualbox: { uuid: true, withoutSecureBoot: true },
	kvm: { network: "default", uuid: true },
	xenserver: { uuid: true, withoutSecureBoot: true },
};

async function writeDisksWithFaces(
	{ disks }: Appliance,
	folder: OutputFolder,
	diskFile: (index: number) => string,
	options: LayoutOptions,
): Promise<void> {
	for (const [index, disk] of disks.entries()) {
		await using sink = await folder.file(diskFile(index));
		await using descriptor = await folder.file(vmdkOf(diskFile(index)));
		// The zeros that fill a disk up to whole MiB are no progress.
		let left = disk.size;
		const onProgress = (bytes: number) => {
			const part = Math.min(left, bytes);
			left -= part;
			if (part > 0) options.onProgress?.(part);
		};
		const { size } = await writeFaces(disk, sink, descriptor, { ...options, onProgress });
		await sink.commit(size);
	}
}

const vmdkOf = (file: string) => file.replace(/\.vhd$/, ".vmdk");

/** By hypervisor: writes its description, and says how it is started. */
const DESCRIPTIONS: Readonly<
	Record<string, (appliance: Appliance, machine: Machine, folder: OutputFolder, base: string) => Promise<string>>
> = {
	async vmware({ guest }, machine, folder, base) {
		const disks = machine.disks.map((disk) => Object.assign({}, disk, { file: vmdkOf(disk.file ?? "") }));
		await writeText(folder, `${base}.vmx`, writeVmx({ ...machine, disks }, guestNames(guest).vmx));
		return `VMware Workstation, Player, Fusion: open \`${base}.vmx\`, or \`vmrun start ${base}.vmx\`. Answer “I copied it”.`;
	},
	async virtualbox({ guest, disks, now }, machine, folder, base) {
		const media = await Promise.all(
			disks.map(async (disk, index) => ({
				uuid: await facesUuid(disk, machine.disks[index]?.file ?? ""),
				format: "VHD",
			})),
		);
		const details = { uuid: await vboxUuid(disks, base), osType: guestNames(guest).vbox, media, now };
		await writeText(folder, `${base}.vbox`, writeVbox(machine, details));
		return `VirtualBox: open \`${base}.vbox\`, or \`VBoxManage registervm "$PWD/${base}.vbox"\`.`;
	},
	async "hyperv-gen1"(appliance, machine, folder) {
		// Windows PowerShell 5.1 reads a file without a byte order mark in the host's own code page.
		await writeText(folder, "import.ps1", `\ufeff${importScript(appliance, machine)}`);
		return "Hyper-V: `powershell -ExecutionPolicy Bypass -File .\\import.ps1`. On NTFS the .vhd must be neither sparse nor compressed.";
	},
	async kvm(_, machine, folder, base) {
		await writeText(folder, "run.sh", runScript(machine));
		await writeText(folder, `${base}.xml`, writeDomain(machine));
		const insecure = machine.secureBoot ? ", without Secure Boot" : "";
		return `QEMU: \`sh run.sh\`${insecure}. libvirt: copy the .vhd to /var/lib/libvirt/images, and \`virsh define ${base}.xml\`.`;
	},
	async xenserver(_, machine, folder, base) {
		await writeText(folder, `${base}.cfg`, xlConfig(machine));
		return `Xen: \`${xlCommand(machine, base)}\`.`;
	},
};
