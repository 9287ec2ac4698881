import type { ByteSource } from "../bytes/source.js";
import { assembleAll, type Keys, type VolumeAssembly } from "./assembly.js";
import { bsd } from "./bsd.js";
import { gpt } from "./gpt.js";
import { luks } from "./luks/index.js";
import { lvm2 } from "./lvm2/index.js";
import { mbr } from "./mbr.js";
import { md } from "./md/index.js";
import { isMember } from "./md/superblock.js";
import type { Volume, VolumeScheme } from "./volume.js";
import { wholeDisk } from "./whole-disk.js";

/** In the order in which a disk is tried; the last one takes every disk. */
export const volumeSchemes: readonly VolumeScheme[] = [gpt, mbr, bsd, wholeDisk];

/** In the order in which they take volumes: half of a mirror looks like a physical volume of its own. */
export const volumeAssemblies: readonly VolumeAssembly[] = [md, luks, lvm2];

/** What can be assembled from the volumes of all disks, and from that in turn. */
export const assembleVolumes = (volumes: readonly Volume[], keys: Keys = []) =>
	assembleAll(volumeAssemblies, volumes, keys);

/**
 * The volumes of a disk, in the order of their table. A disk without partitions is one volume with the number 0.
 *
 * @param sectorSize logical sector size of the disk in bytes, 512 or 4096
 */
export async function readVolumes(disk: ByteSource, sectorSize: number): Promise<readonly Volume[]> {
	for (const scheme of volumeSchemes) {
		const volumes = await scheme.read(disk, sectorSize);
		if (volumes === undefined) continue;
		if (scheme === wholeDisk || !(await isMember(disk, volumes))) return volumes;
	}
	return [];
}
