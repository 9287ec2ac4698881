import { damaged } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { BLOCK, BlockInfo, CLUSTERS_PER_EXTENT, EXTENT_MAGIC, ExtentHeader } from "./layout.js";
import { Allowance, Runs } from "./runs.js";
import { isSummedUp } from "./sum.js";

/**
 * Finds the clusters of all devices, by their ids, in the extents from `at` on. They come as they were read while the VM
 * ran: in about the disk's order.
 *
 * @param clusters how many each device has
 */
export async function indexExtents(
	source: ByteSource,
	{ at: begin, uuid, clusters }: { at: number; uuid: Uint8Array; clusters: ReadonlyMap<number, number> },
): Promise<ReadonlyMap<number, Runs>> {
	const file = source.name;
	const allowance = new Allowance(file);
	const devices = new Map([...clusters.keys()].map((id) => [id, new Runs(allowance)]));
	for (let at = begin; at < source.size; ) {
		const wrong = (what: string) =>
			damaged(`${file}: the extent at byte ${at} ${what}`, { file, offset: at, hint: "Copy the backup again." });
		if (at + ExtentHeader.size > source.size) throw wrong("is cut off");
		const bytes = await readBytes(source, at, ExtentHeader.size);
		const header = ExtentHeader.parse(bytes, 0, file, at);
		if (header.magic !== EXTENT_MAGIC) throw wrong("does not begin like one");
		if (header.uuid.some((byte, i) => byte !== uuid[i])) throw wrong("is of another backup");
		if (!(await isSummedUp(bytes, ExtentHeader.offsets.md5sum))) throw wrong("does not have its checksum");
		let data = at + ExtentHeader.size;
		for (let i = 0; i < CLUSTERS_PER_EXTENT; i++) {
			const {
				mask,
				dev_id: id,
				cluster_num: cluster,
			} = BlockInfo.parse(header.blockinfo, i * BlockInfo.size, file, at);
			if (id === 0) continue;
			const runs = devices.get(id);
			if (runs === undefined) throw wrong(`is of device ${id}, which there is not`);
			if (cluster >= (clusters.get(id) ?? 0)) throw wrong(`has cluster ${cluster} behind the end of its disk`);
			runs.add(cluster, mask, data);
			data += blocksOf(mask) * BLOCK;
		}
		const end = at + ExtentHeader.size + header.block_count * BLOCK;
		if (end !== data) throw wrong(`lists other blocks than the ${header.block_count} that it has`);
		if (end > source.size) throw wrong("is cut off");
		at = end;
	}
	for (const runs of devices.values()) runs.sort(file);
	return devices;
}

/** How many bits are set. */
export function blocksOf(mask: number): number {
	let count = 0;
	for (let rest = mask; rest !== 0; rest &= rest - 1) count++;
	return count;
}
