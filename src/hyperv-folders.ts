/** What Hyper-V exports: these folders, and one of checkpoints. */
export const HYPERV = { machines: "Virtual Machines", disks: "Virtual Hard Disks" } as const;

const MACHINES = new RegExp(`(^|/)${HYPERV.machines}/$`, "i");

/** Of a folder of descriptions in an archive, the one of the disks; both end in "/", or are nothing for its root. */
export function disksBeside(folder: string): readonly string[] {
	return MACHINES.test(folder) ? [folder.replace(MACHINES, `$1${HYPERV.disks}/`)] : [];
}
