import { unsupported } from "../bytes/errors.js";
import type { Filesystem } from "../filesystem/filesystem.js";
import type { GuestTree } from "../filesystem/tree.js";
import type { LinuxGuest } from "./guest.js";
import { detectLinux } from "./linux/detect.js";
import type { BootContext } from "./linux/firmware.js";

/** What a guest is recognised by, beside its files. */
export interface GuestContext {
	/** Every volume of every disk, in disk order, those without a readable file system included. */
	readonly volumes: readonly (BootContext["volumes"][number] & { readonly filesystem?: Filesystem | undefined })[];
	readonly diskHead: BootContext["diskHead"];
}

/** One family of operating systems. */
export interface GuestSystem {
	readonly id: string;
	/** `tree` is what `assembleTree` found; `undefined` means "not mine". */
	detect(tree: GuestTree | undefined, context: GuestContext): Promise<LinuxGuest | undefined>;
}

const linux: GuestSystem = {
	id: "linux",
	detect: async (tree, context) => tree && detectLinux(tree, context),
};

/** Recognised so that the user is told what the disk holds, though its drivers cannot be judged. */
const windows: GuestSystem = {
	id: "windows",
	async detect(_tree, { volumes }) {
		for (const { filesystem } of volumes) {
			const mark = filesystem && (await findWindows(filesystem));
			if (mark === undefined) continue;
			throw unsupported(`Windows guest: ${mark} on the disk belongs to Windows, and only Linux guests can be judged`, {
				file: mark,
				hint: "Use Anyvisor with a Linux guest, or `convert` to change only the disk's format.",
			});
		}
		return undefined;
	},
};

/** Tried in this order: a disk with both is judged by its Linux. */
export const guestSystems: readonly GuestSystem[] = [linux, windows];

/** The system installed on a machine's disks; `undefined` when it is none that is known. */
export async function detectGuest(tree: GuestTree | undefined, context: GuestContext): Promise<LinuxGuest | undefined> {
	for (const system of guestSystems) {
		const guest = await system.detect(tree, context);
		if (guest) return guest;
	}
	return undefined;
}

const windowsMarks = ["/Windows/System32", "/EFI/Microsoft/Boot", "/bootmgr", "/ntldr"];

/** The first path of a Windows installation or of its loader, whatever the case of its names. */
async function findWindows(filesystem: Filesystem): Promise<string | undefined> {
	for (const mark of windowsMarks) {
		let path = "";
		for (const wanted of mark.slice(1).split("/")) {
			const type = (await filesystem.stat(path || "/"))?.type;
			const entries = type === "directory" ? await filesystem.list(path || "/") : [];
			const found = entries.find(({ name }) => name.toLowerCase() === wanted.toLowerCase());
			path = found ? `${path}/${found.name}` : "";
			if (!found) break;
		}
		if (path !== "") return path;
	}
	return undefined;
}
