import { type ByteSource, readUpTo } from "../../bytes/source.js";
import { flags64, struct, u32, u64 } from "../../bytes/struct.js";

/**
 * What dm-raid keeps at the start of the metadata of each image.
 * https://docs.kernel.org/admin-guide/device-mapper/dm-raid.html has what it means.
 */
export const RaidMetadata = struct("dm-raid superblock", "little", {
	magic: u32,
	features: u32,
	num_devices: u32,
	array_position: u32,
	/** Counts the changes; an image that was left out has fewer. */
	events: u64,
	/** A bit for each image. */
	failed_devices: flags64,
	/** Up to where the image has its data; all ones when it has all. */
	disk_recovery_offset: flags64,
	array_resync_offset: flags64,
});

const MAGIC = 0x64526d44;
const ALL = 2n ** 64n - 1n;

/**
 * Which images of a mirror have the newest data: all where the array has never run, and its metadata is empty.
 *
 * @param metadata of each image; `undefined` where that is not there
 */
export async function currentImages(metadata: readonly (ByteSource | undefined)[]): Promise<readonly boolean[]> {
	const blocks = await Promise.all(metadata.map(readMetadata));
	const newest = blocks.reduce(
		(best, block) => (block && block.events > (best?.events ?? -1) ? block : best),
		undefined,
	);
	if (newest === undefined) return metadata.map(() => true);
	return blocks.map((block, i) => {
		const failed = (newest.failed_devices >> BigInt(i)) & 1n;
		return block?.disk_recovery_offset === ALL && failed === 0n && block.events + 1 >= newest.events;
	});
}

async function readMetadata(source: ByteSource | undefined) {
	if (source === undefined) return undefined;
	const bytes = await readUpTo(source, 0, RaidMetadata.size);
	if (bytes.length < RaidMetadata.size) return undefined;
	const block = RaidMetadata.parse(bytes, 0, source.name);
	return block.magic === MAGIC ? block : undefined;
}
