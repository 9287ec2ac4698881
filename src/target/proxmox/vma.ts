import { hasher } from "../../bytes/checksum/index.js";
import { writeZstdFrames } from "../../bytes/codec/zstd-frames.js";
import { BRIDGE, FIRST_ID, proxmoxSettings, type Setting, writeProxmox } from "../../machine/proxmox-write.js";
import { attached } from "../attach.js";
import { writeFile, writeImportNote } from "../folder.js";
import type { Layout } from "../target.js";
import { ostype, STORAGE_NOTE } from "./proxmox.js";
import { vmaPieces } from "./vma-write.js";

/** A backup as Proxmox VE makes them itself: one file with machine and disks, which it restores on any storage. */
export const vma: Layout = {
	id: "vma",
	hypervisors: ["kvm"],
	onRequest: { title: "Proxmox VE, as a backup" },
	summary: "one .vma.zst file that Proxmox VE restores like a backup of its own",
	imported: "qmrestore",
	judged: "an independent reading of the VMA specification, which also reads a real VMA; not restored on Proxmox VE",
	async write(appliance, folder, options) {
		const { disks, now } = appliance;
		const name = `vzdump-qemu-${FIRST_ID}-${timeOf(now)}.vma.zst`;
		const machine = attached(appliance, { file: (i) => `vm-${FIRST_ID}-disk-${i}`, network: BRIDGE, uuid: true });
		const details = { ostype: ostype(appliance), volume: ({ file = "" }) => `local-lvm:${file}` };
		const drives = proxmoxSettings(machine, details).filter(isDrive);
		// What vzdump says: which device of the backup is which drive. Without a storage, it is what the restorer names.
		const map = drives.map(([slot]) => `#qmdump#map:${slot}:drive-${slot}::raw:\n`);
		const configuration = `${writeProxmox(machine, details)}${map.join("")}`;
		const devices = disks.map((disk, index) => ({ name: `drive-${drives[index]?.[0] ?? index}`, disk }));
		const uuid = await uuidOf(configuration, now);
		await writeFile(folder, name, (sink) =>
			writeZstdFrames(vmaPieces({ configuration, devices, uuid, now }, options), sink, options.level),
		);
		const secureBoot = ["Secure Boot, which is off: Proxmox VE keeps its keys on a disk that it makes itself."];
		await writeImportNote(
			appliance,
			folder,
			{
				command: { shell: "sh", line: `qmrestore ${name} "$(pvesh get /cluster/nextid)" --storage local-lvm` },
				remarks: [
					STORAGE_NOTE,
					"Or copy the file to /var/lib/vz/dump/ and choose Restore in the storage's Backups. MAC addresses are kept.",
					...(machine.firmware === "uefi"
						? ["Its UEFI starts without stored variables. To keep them: Hardware > Add > EFI Disk."]
						: []),
				],
			},
			[...machine.lost, ...(machine.secureBoot ? secureBoot : [])],
		);
	},
};

const isDrive = ([key]: Setting) => /^(?:virtio|scsi|sata|ide)\d+$/.test(key);

/** As vzdump names its files, by which Proxmox VE knows them. */
const timeOf = (now: number) =>
	new Date(now * 1000).toISOString().slice(0, 19).replaceAll("-", "_").replaceAll(":", "_").replace("T", "-");

/** The same machine at the same time has the same. */
async function uuidOf(configuration: string, now: number): Promise<Uint8Array> {
	const hash = await hasher("sha256");
	hash.update(new TextEncoder().encode(`vma ${now} ${configuration}`));
	const digits = hash.digest();
	return Uint8Array.from({ length: 16 }, (_, i) => Number.parseInt(digits.slice(2 * i, 2 * i + 2), 16));
}
