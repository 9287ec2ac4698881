import { type ByteSource, readUpTo } from "../bytes/source.js";
import { assembleAll, type Keys, type VolumeAssembly } from "./assembly.js";
import { bsd } from "./bsd.js";
import { gpt } from "./gpt.js";
import { mbr } from "./mbr.js";
import { md } from "./md/index.js";
import { isMember } from "./md/superblock.js";
import type { Volume, VolumeScheme } from "./volume.js";
import { wholeDisk } from "./whole-disk.js";

/** In the order in which a disk is tried; the last one takes every disk. */
export const volumeSchemes: readonly VolumeScheme[] = [gpt, mbr, bsd, wholeDisk];

/** Which volumes an assembly may be about is told before its code is loaded. */
function loadedFor(
	id: VolumeAssembly["id"],
	concerns: (volume: Volume, keys: Keys) => Promise<boolean> | boolean,
	load: () => Promise<VolumeAssembly>,
): VolumeAssembly {
	return {
		id,
		async assemble(candidates, keys) {
			const concerned: Volume[] = [];
			for (const volume of candidates) if (await concerns(volume, keys)) concerned.push(volume);
			if (concerned.length === 0) return { volumes: [], used: [], problems: new Map() };
			return (await load()).assemble(concerned, keys);
		},
	};
}

const luks = loadedFor(
	"luks",
	(_, keys) => keys.length > 0,
	async () => (await import("./luks/index.js")).luks,
);

const lvm2 = loadedFor(
	"lvm2",
	({ source }) =>
		// A physical volume has its label in one of the first four sectors. What cannot be read, the assembly tells.
		readUpTo(source, 0, 2048).then(
			(head) => String.fromCharCode(...head).includes("LABELONE"),
			() => true,
		),
	async () => (await import("./lvm2/index.js")).lvm2,
);

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
