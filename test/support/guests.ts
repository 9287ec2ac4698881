import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { because, run } from "./tools.js";

export type TestGuest = "initramfs-tools" | "dracut";

/** The project's own test guest, built once and cached outside the checkout; a path to a raw disk. */
export const testGuest = (generator: TestGuest): Promise<string> => build("--generator", generator);

/** Guests of 1 GiB that are at home on KVM's virtio, each with its root on something else. */
const roots = {
	xfs: ["--modules", "dep", "--filesystem", "xfs", "--loader", "grub-bios"],
	btrfs: ["--modules", "dep", "--filesystem", "btrfs", "--loader", "systemd-boot"],
	lvm: ["--hostonly", "--lvm", "--loader", "grub-uefi"],
} as const;

export type Root = keyof typeof roots;

/** Such a guest, built once and cached; it takes root to build. */
export const guestOn = (root: Root): Promise<string> => build(...roots[root], "--home", "kvm", "--size", "1024");

/** Where a disk's second partition lies, in bytes: these guests have their root there. */
export async function rootPartition(disk: string, partition = 1) {
	const { partitiontable } = JSON.parse(await run("sfdisk", "--json", disk)) as {
		partitiontable: { partitions: readonly { start: number; size: number }[] };
	};
	const { start = 0, size = 0 } = partitiontable.partitions[partition] ?? {};
	return { start: start * 512, size: size * 512 };
}

async function build(...options: string[]): Promise<string> {
	const { stdout } = await promisify(execFile)("node", ["scripts/guest/build.mjs", ...options], { timeout: 600_000 });
	return stdout.trim();
}

/** What the test guest prints when it is up: scripts/guest/init. */
export const guestMarker = /GUEST-UP [^\r\n]*uptime=[\d.]+/;

/** The facts of that line. */
export function guestFacts(line: string): Readonly<Record<string, string>> {
	return Object.fromEntries(
		line
			.split(" ")
			.filter((word) => word.includes("="))
			.map((word) => {
				const [key = "", ...value] = word.split("=");
				return [key, value.join("=")];
			}),
	);
}

/** Commands that the guests and their boots need. */
export const guestTools = [
	"qemu-system-x86_64",
	"mkinitramfs",
	"dracut",
	"grub-mkimage",
	"mke2fs",
	"sfdisk",
	"mkfs.vfat",
	"mcopy",
	"busybox",
] as const;

const rootTools = {
	xfs: ["mkfs.xfs", "unshare"],
	btrfs: ["mkfs.btrfs", "unshare"],
	lvm: ["lvcreate"],
} as const;

/** Why {@link guestOn} cannot be had here, for a suite's title; empty where it can. */
export function withoutRoot(root: Root): string {
	if (process.platform !== "linux" || process.getuid?.() !== 0) return "(skipped: only root on Linux may mount)";
	return because("losetup", ...guestTools, ...rootTools[root]);
}
