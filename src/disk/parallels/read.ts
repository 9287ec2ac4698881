import { type ByteSource, readUpTo } from "../../bytes/source.js";
import type { Disk, DiskDetails, Neighbours } from "../disk.js";
import { holding } from "../holding.js";
import { mappedDisk } from "../mapped.js";
import { diskOfParts } from "../raw/parts.js";
import { openRaw } from "../raw/read.js";
import { ClusterMap } from "./cluster-map.js";
import { type DiskDescriptor, readDescriptor, type Storage } from "./descriptor.js";
import { type HdsHeader, readHeader } from "./header.js";
import { SECTOR } from "./layout.js";
import { isDescriptor } from "./mark.js";

/**
 * Opens a disk by its DiskDescriptor.xml, in its current state and with all of its files, or an expandable image by
 * itself.
 */
export function openParallels(source: ByteSource, neighbours: Neighbours): Promise<Disk> {
	return holding(async (hold) => {
		if (isDescriptor(await readUpTo(source, 0, 4096))) {
			return openDescribed(source, async (name) => hold(await neighbours.open(name)));
		}
		const header = await readHeader(source);
		const { size, clusterSize, inUse } = header;
		return expandingDisk(source, header, { size, details: { clusterSize, inUse } });
	});
}

type OpenFile = Neighbours["open"];

async function openDescribed(source: ByteSource, openFile: OpenFile): Promise<Disk> {
	const descriptor = await readDescriptor(source);
	const parts: Disk[] = [];
	for (const storage of descriptor.storages) parts.push(await openStorage(storage, openFile));
	return diskOfParts({ name: source.name, format: formatOf(descriptor), details: detailsOf(descriptor) }, parts);
}

function formatOf({ storages }: DiskDescriptor): string {
	if (storages.length > 1) return "parallels/split";
	const plain = storages.every(({ root, overlays }) => root.type === "Plain" && overlays.length === 0);
	return plain ? "parallels/plain" : "parallels/expanding";
}

function detailsOf({ storages, snapshots, uid }: DiskDescriptor): DiskDetails {
	const files = storages.reduce((count, { overlays }) => count + 1 + overlays.length, 0);
	return { files, snapshots, ...(uid !== undefined && { uid }) };
}

async function openStorage({ size, root, overlays }: Storage, openFile: OpenFile): Promise<Disk> {
	const file = await openFile(root.file);
	let disk =
		root.type === "Plain"
			? openRaw(file, "parallels/plain", size)
			: expandingDisk(file, await readHeader(file), { size });
	for (const overlay of overlays) {
		const file = await openFile(overlay.file);
		disk = expandingDisk(file, await readHeader(file), { size, below: disk });
	}
	return disk;
}

/** What lies behind the end of the image is left to the disk below, as is what the image does not hold. */
function expandingDisk(
	source: ByteSource,
	header: HdsHeader,
	disk: { readonly size: number; readonly below?: Disk; readonly details?: DiskDetails },
): Disk {
	const map = new ClusterMap(source, header);
	return mappedDisk({
		...disk,
		name: source.name,
		format: "parallels/expanding",
		sectorSize: SECTOR,
		async *runs(start, end) {
			const stop = Math.min(end, header.size);
			if (start < stop) yield* map.runs(start, stop);
			const at = Math.max(start, stop);
			if (at < end) yield { kind: "absent", at, length: end - at };
		},
	});
}
