import { readFile, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { mkfsXfs, mounted } from "../filesystem/xfs-images.js";
import { testGuest } from "./guests.js";
import { run } from "./tools.js";

export interface GuestOn {
	readonly file: string;
	/** Where its root's partition begins, and how long it is, in bytes. */
	readonly root: number;
	readonly size: number;
}

/** What {@link guestOn} needs beside what the test guest does. */
export const rootTools = { xfs: ["mkfs.xfs", "debugfs"], btrfs: ["mkfs.btrfs", "btrfs", "debugfs"] } as const;

/**
 * The test guest with its root on another file system, in `folder`: XFS, or the subvolume `@` of a Btrfs. It is not
 * started, since its initramfs has no module for either.
 */
export async function guestOn(kind: keyof typeof rootTools, folder: string): Promise<GuestOn> {
	const disk = await testGuest("initramfs-tools");
	const { partitiontable } = JSON.parse(await run("sfdisk", "--json", disk)) as {
		partitiontable: { partitions: readonly { start: number; size: number }[] };
	};
	const { start = 0, size = 0 } = partitiontable.partitions[2] ?? {};
	const root = start * 512;
	const image = path.join(folder, "root.img");
	if (kind === "xfs") await mkfsXfs(image, "", Math.floor((size * 512) / 2 ** 20));
	else {
		await writeFile(image, "");
		await truncate(image, size * 512);
		await run("mkfs.btrfs", "-q", image);
	}
	const at = path.join(folder, "mounted");
	await mounted(image, at, async () => {
		const top = kind === "xfs" ? at : path.join(at, "@");
		if (kind === "btrfs") await run("btrfs", "subvolume", "create", top);
		await run("debugfs", "-R", `rdump / ${top}`, `${disk}?offset=${root}`);
		// It has no module for that file system at all, and would be blocked for that.
		const fstab = path.join(top, "etc/fstab");
		await writeFile(fstab, (await readFile(fstab, "utf8")).replace(/^\S+(\s+\/\s+)ext4/m, "/dev/sda3$1auto"));
	});
	const file = path.join(folder, "guest.img");
	await run("cp", "--sparse=always", disk, file);
	const onto = [`if=${image}`, `of=${file}`, `seek=${root}`, "oflag=seek_bytes", "conv=notrunc"];
	await run("dd", "status=none", "bs=1M", ...onto);
	return { file, root, size: size * 512 };
}
