import { type ByteStore, readBytes } from "../../bytes/source.js";
import type { ExtVolume } from "./blocks.js";
import { readGroup } from "./group.js";
import type { Recovery } from "./journal.js";
import { checksummed } from "./journal-checksum.js";
import { JournalSuperblock } from "./journal-layout.js";
import { Incompat, Superblock } from "./layout.js";
import { restoreMagic } from "./replayed.js";
import { corrupt } from "./superblock.js";
import { updateSuperblock } from "./superblock-edit.js";

/**
 * Writes a journal back, as a kernel does before it mounts: the blocks that it holds, then that it is empty, and what is
 * free, which kernels count in the groups only.
 *
 * @param volume as it will be
 */
export async function recover(store: ByteStore, volume: ExtVolume, recovery: Recovery): Promise<void> {
	const { blockSize, blocks } = volume.parameters;
	const { replacements } = recovery;
	const copies = new Set([...replacements.values()].map(({ block }) => block));
	// All of this before the first block is written.
	for (const block of replacements.keys()) {
		if (block < blocks && !copies.has(block)) continue;
		throw corrupt(store.name, recovery.superblockAt, `the journal replaces block ${block}, which it must not`);
	}
	const free = await countFree(volume);
	for (const [block, copy] of [...replacements].sort(([a], [b]) => a - b)) {
		const bytes = await readBytes(store, copy.block * blockSize, blockSize);
		if (copy.escaped) restoreMagic(bytes, 0);
		await store.write(block * blockSize, bytes);
	}
	await emptyJournal(store, recovery);
	await markRecovered(store, volume, free);
}

interface Free {
	readonly blocks: number;
	readonly inodes: number;
}

async function countFree(volume: ExtVolume): Promise<Free> {
	let blocks = 0;
	let inodes = 0;
	for (let group = 0; group < volume.parameters.groups; group++) {
		const { low, high } = await readGroup(volume, group);
		blocks += low.bg_free_blocks_count_lo + (high?.bg_free_blocks_count_hi ?? 0) * 2 ** 16;
		inodes += low.bg_free_inodes_count_lo + (high?.bg_free_inodes_count_hi ?? 0) * 2 ** 16;
	}
	return { blocks, inodes };
}

async function emptyJournal(store: ByteStore, { superblockAt, sequence }: Recovery): Promise<void> {
	const bytes = await readBytes(store, superblockAt, JournalSuperblock.size);
	const fields = JournalSuperblock.parse(bytes, 0, store.name, superblockAt);
	bytes.set(JournalSuperblock.build({ ...fields, s_start: 0, s_sequence: sequence }));
	await store.write(superblockAt, checksummed(bytes, fields));
}

async function markRecovered(store: ByteStore, { parameters }: ExtVolume, free: Free): Promise<void> {
	const { incompat } = parameters.features;
	const { offsets } = Superblock;
	await updateSuperblock(store, parameters, (view) => {
		view.setUint32(offsets.s_feature_incompat, incompat & ~Incompat.RECOVER, true);
		view.setUint32(offsets.s_free_blocks_count_lo, free.blocks % 2 ** 32, true);
		if (incompat & Incompat["64BIT"]) {
			view.setUint32(offsets.s_free_blocks_count_hi, Math.floor(free.blocks / 2 ** 32), true);
		}
		view.setUint32(offsets.s_free_inodes_count, free.inodes, true);
	});
}
