import type { GuestTree } from "../../filesystem/tree.js";
import type { BootLoader, Generator, LinuxGuest } from "../guest.js";
import { readArch } from "./arch.js";
import { attempt } from "./attempt.js";
import { readBootLoader } from "./boot.js";
import { type BootContext, findEsp, findFirmware } from "./firmware.js";
import { parseFstab } from "./fstab.js";
import { readKernels } from "./kernels.js";
import { readNaming } from "./network/naming.js";
import { readNetwork } from "./network/network.js";
import { parseAssignments } from "./text.js";

const noBootLoader: BootLoader = { kind: "unknown", config: "", entries: [], default: -1 };

/**
 * The facts about a Linux system whose file systems `tree` has; `undefined` where it is none. What of it cannot be read
 * is left out, and told in `problems`.
 */
export async function detectLinux(tree: GuestTree, context: BootContext): Promise<LinuxGuest | undefined> {
	const release = (await tree.readText("/etc/os-release")) ?? (await tree.readText("/usr/lib/os-release"));
	if (release === undefined && !(await hasAny(tree, ["/lib/modules", "/usr/lib/modules", "/sbin/init"])))
		return undefined;
	const os = parseAssignments(release ?? "");

	const problems = [...new Set(tree.mounts.flatMap(({ filesystem }) => filesystem.notes ?? []))];
	const arch = (await attempt(problems, () => readArch(tree))) ?? "unknown";
	const boot = (await attempt(problems, () => readBootLoader(tree))) ?? noBootLoader;
	// Unpacking an initramfs leaves this thread time for the rest.
	const unpacking = attempt(problems, () => readKernels(tree, boot, problems));
	const later: string[] = [];
	const reading = readOthers(tree, arch, later);
	const [kernels = [], { esp, fstab, network, generators }] = await Promise.all([unpacking, reading]);
	problems.push(...later);
	const bootImage = boot.entries[boot.default]?.kernel;
	const defaultKernel = kernels.find(({ image }) => image === bootImage) ?? kernels[0];
	const id = os.get("ID") || "linux";
	const version = os.get("VERSION_ID") ?? "";
	return {
		system: "linux",
		id,
		version,
		name: os.get("PRETTY_NAME") || os.get("NAME") || "Linux",
		arch,
		firmware: await findFirmware(context, esp),
		kernels,
		defaultKernel: defaultKernel?.version ?? "",
		boot,
		fstab,
		network,
		naming: await readNaming(tree, { id, version, cmdline: defaultKernel?.cmdline ?? "" }, problems),
		generators,
		...(esp && { esp }),
		problems,
	};
}

async function readOthers(tree: GuestTree, arch: LinuxGuest["arch"], problems: string[]) {
	const esp = await attempt(problems, () => findEsp(tree, arch));
	const fstab = parseFstab((await attempt(problems, () => tree.readText("/etc/fstab"))) ?? "");
	const network = await readNetwork(tree, problems);
	const generators = (await attempt(problems, () => findGenerators(tree))) ?? [];
	return { esp, fstab, network, generators };
}

const generatorMarks: Readonly<Record<Generator, readonly string[]>> = {
	"initramfs-tools": ["/etc/initramfs-tools"],
	dracut: [
		...["/usr/bin/dracut", "/usr/sbin/dracut", "/sbin/dracut", "/etc/dracut.conf", "/etc/dracut.conf.d"],
		"/usr/lib/dracut/dracut.conf.d",
	],
	mkinitcpio: ["/etc/mkinitcpio.conf"],
	mkinitfs: ["/etc/mkinitfs/mkinitfs.conf"],
	booster: ["/etc/booster.yaml", "/usr/bin/booster"],
};

async function findGenerators(tree: GuestTree): Promise<readonly Generator[]> {
	const found: Generator[] = [];
	for (const [generator, paths] of Object.entries(generatorMarks)) {
		if (await hasAny(tree, paths)) found.push(generator as Generator);
	}
	return found;
}

async function hasAny(tree: GuestTree, paths: readonly string[]): Promise<boolean> {
	for (const path of paths) if ((await tree.stat(path)) !== undefined) return true;
	return false;
}
