import type { ByteSource } from "../bytes/source.js";
import { btrfs } from "./btrfs/index.js";
import { exfat } from "./exfat/index.js";
import { ext } from "./ext/index.js";
import { fat } from "./fat/index.js";
import type { Filesystem, FilesystemFormat } from "./filesystem.js";
import { iso9660 } from "./iso9660/index.js";
import { ntfs } from "./ntfs/index.js";
import { xfs } from "./xfs/index.js";

/** Every file system that can be read, in the order in which a volume is tried. */
export const filesystems: readonly FilesystemFormat[] = [ext, xfs, btrfs, ntfs, exfat, fat, iso9660];

/** The file system on `volume`, and perhaps on others `beside` it; `undefined` when it is none that can be read. */
export async function openFilesystem(
	volume: ByteSource,
	beside: readonly ByteSource[] = [],
): Promise<Filesystem | undefined> {
	for (const format of filesystems) {
		const filesystem = await format.open(volume, beside);
		if (filesystem) return filesystem;
	}
	return undefined;
}

export { type Recognised, recogniseUnsupported } from "./unsupported.js";
