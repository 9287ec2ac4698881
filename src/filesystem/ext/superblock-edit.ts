import { crc32cRaw } from "../../bytes/checksum/index.js";
import { type ByteStore, readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { RoCompat, SUPERBLOCK_AT, Superblock } from "./layout.js";
import type { ExtParameters } from "./superblock.js";

/** Changes fields of the superblock, and its checksum with them. */
export async function updateSuperblock(
	store: ByteStore,
	{ features }: ExtParameters,
	change: (view: DataView) => void,
): Promise<void> {
	const bytes = await readBytes(store, SUPERBLOCK_AT, Superblock.size);
	const view = viewOf(bytes);
	change(view);
	if (features.roCompat & RoCompat.METADATA_CSUM) {
		const { s_checksum } = Superblock.offsets;
		view.setUint32(s_checksum, crc32cRaw(0xffffffff, bytes.subarray(0, s_checksum)), true);
	}
	await store.write(SUPERBLOCK_AT, bytes);
}
