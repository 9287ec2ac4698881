import type { GuestTree } from "../../filesystem/tree.js";

/**
 * Where a loader's path is in the guest, links followed. Loaders' paths start at the file system that they read: the
 * root, the boot partition (which the guest has at /boot), the ESP, or a btrfs volume whose first directories are
 * subvolumes. A device in parentheses, as GRUB has it, is left out.
 */
export async function locateFile(tree: GuestTree, loaderPath: string): Promise<string> {
	const path = `/${loaderPath.replace(/^\([^)]*\)/, "").replace(/^\/+/, "")}`;
	const mounted = new Set(tree.mounts.map(({ mount }) => mount));
	const inBoot = `/boot${path}`;
	const belowSubvolume = path.replace(/^\/[^/]+/, "");
	const whole = mounted.has("/boot") ? [inBoot, path] : [path, inBoot];
	const esp = ["/efi", "/boot/efi"].filter((mount) => mounted.has(mount)).map((mount) => mount + path);
	const subvolumes = belowSubvolume === "" ? [] : [belowSubvolume, `/boot${belowSubvolume}`];
	const candidates = [...whole, ...subvolumes, ...esp];
	for (const candidate of candidates) {
		if ((await tree.stat(candidate))?.type !== "file") continue;
		return (await tree.resolve(candidate))?.guestPath ?? candidate;
	}
	return candidates[0] ?? path;
}
