import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { mkfsXfs, mounted } from "../filesystem/xfs-images.js";
import { testGuest } from "./guests.js";
import { run } from "./tools.js";

/** Byte offset of the root's partition in {@link xfsGuest}. */
export interface XfsGuest {
	readonly file: string;
	readonly root: number;
	/** Of the partition, in bytes. */
	readonly size: number;
}

/** The test guest with its root on XFS, in `folder`. It is not started: its initramfs has no module for XFS. */
export async function xfsGuest(folder: string): Promise<XfsGuest> {
	const disk = await testGuest("initramfs-tools");
	const { partitiontable } = JSON.parse(await run("sfdisk", "--json", disk)) as {
		partitiontable: { partitions: readonly { start: number; size: number }[] };
	};
	const { start = 0, size = 0 } = partitiontable.partitions[2] ?? {};
	const root = start * 512;
	const image = await mkfsXfs(path.join(folder, "root.img"), "", Math.floor((size * 512) / 2 ** 20));
	const at = path.join(folder, "mounted");
	await mounted(image, at, async () => {
		await run("debugfs", "-R", `rdump / ${at}`, `${disk}?offset=${root}`);
		// It has no module for XFS at all, and would be blocked for that.
		const fstab = path.join(at, "etc/fstab");
		await writeFile(fstab, (await readFile(fstab, "utf8")).replace(/^\S+(\s+\/\s+)ext4/m, "/dev/sda3$1auto"));
	});
	const file = path.join(folder, "guest.img");
	await run("cp", "--sparse=always", disk, file);
	const onto = [`if=${image}`, `of=${file}`, `seek=${root}`, "oflag=seek_bytes", "conv=notrunc"];
	await run("dd", "status=none", "bs=1M", ...onto);
	return { file, root, size: size * 512 };
}
