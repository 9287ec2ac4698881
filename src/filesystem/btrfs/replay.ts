import { AnyvisorError, refused } from "../../bytes/errors.js";
import { FileMode } from "../mode.js";
import { InodeItem, KeyType, ObjectId, RootItem } from "./layout.js";
import type { NodePointer } from "./node.js";
import { Patch } from "./patch.js";
import { LoggedTree } from "./replay-tree.js";
import { readSubvolume } from "./subvolume.js";
import { items, type TreeItem } from "./tree.js";
import type { BtrfsVolume } from "./volume.js";

/** What a log changes. */
export interface ReplayedLog {
	/** Trees of files, by their ids. */
	readonly trees: ReadonlyMap<number, Patch>;
	/** The tree of checksums. */
	readonly sums: Patch;
}

/** Together they may hold more; then the log is left to the kernel. */
const MOST_ITEMS = 1 << 16;
const MOST_BYTES = 64 << 20;
/** Items that are looked at for those of the log. */
const MOST_STEPS = 1 << 19;

/**
 * Does in memory what mounting would do on the disk with the logs of files that were synced since everything was written
 * the last time: https://btrfs.readthedocs.io/en/latest/dev/tree-log.html. `undefined` where there is none, and where it
 * cannot be done; a note tells the latter.
 */
export async function replayLog(volume: BtrfsVolume): Promise<ReplayedLog | undefined> {
	const { fields, at } = volume.parameters;
	if (fields.log_root === 0) return undefined;
	// Logs are of the transaction that was under way.
	const generation = fields.generation + 1;
	const root = { logical: fields.log_root, generation, level: fields.log_root_level, at };
	try {
		return await replayLogs(volume, root);
	} catch (error) {
		if (error instanceof AnyvisorError && error.kind !== "interrupted") return undefined;
		throw error;
	}
}

async function replayLogs(volume: BtrfsVolume, logs: NodePointer): Promise<ReplayedLog> {
	const trees = new Map<number, Patch>();
	const sums = new Patch();
	let [left, room, steps] = [MOST_ITEMS, MOST_BYTES, MOST_STEPS];
	const tooMuch = () => refused(`${volume.name}: the Btrfs log is too long to be read`, { file: volume.name });
	const step = () => {
		if (--steps < 0) throw tooMuch();
	};
	const key = { objectid: ObjectId.TREE_LOG, type: KeyType.ROOT_ITEM };
	for await (const item of items(volume, logs, { ...key, offset: 0 }, { ...key, offset: -1 })) {
		const { bytenr, generation, level } = RootItem.parse(item.bytes, 0, volume.name, item.at);
		const log: TreeItem[] = [];
		const root = { logical: bytenr, generation, level, at: item.at };
		const all = [
			{ objectid: 0, type: 0, offset: 0 },
			{ objectid: -1, type: 255, offset: -1 },
		] as const;
		for await (const logged of items(volume, root, ...all)) {
			left--;
			room -= logged.bytes.length;
			if (left < 0 || room < 0) throw tooMuch();
			// A leaf is larger than what is kept of it.
			log.push({ ...logged, bytes: logged.bytes.slice() });
		}
		for (const logged of log) {
			const isSum = logged.key.objectid === ObjectId.EXTENT_CSUM && logged.key.type === KeyType.EXTENT_CSUM;
			if (isSum) sums.set(logged.key, logged);
		}
		const subvolume = await readSubvolume(volume, item.key.offset);
		if (subvolume === undefined) continue;
		const patch = new Patch();
		patch.skipped = step;
		await replay(new LoggedTree(volume, { ...subvolume.root, patch }, patch, log, step), log, volume);
		patch.finish();
		trees.set(item.key.offset, patch);
	}
	return { trees, sums };
}

/** Inodes first, so that all are known when names are given to them; then names that are in directories; then the rest. */
async function replay(tree: LoggedTree, log: readonly TreeItem[], { name }: BtrfsVolume): Promise<void> {
	const skipped = new Set<number>();
	for (const item of log) {
		if (item.key.type !== KeyType.INODE_ITEM) continue;
		const inode = InodeItem.parse(item.bytes, 0, name, item.at);
		if (inode.nlink === 0) {
			skipped.add(item.key.objectid);
			continue;
		}
		await tree.dropAttributes(item.key.objectid);
		const type = inode.mode & FileMode.MASK;
		if (type === FileMode.DIRECTORY) await tree.dropNames(item.key.objectid);
		const size = await tree.putInode(item, inode);
		if (type === FileMode.REGULAR)
			await tree.dropExtents(item.key.objectid, tree.roundUp(size), Number.POSITIVE_INFINITY);
	}
	const rest = log.filter(({ key }) => !skipped.has(key.objectid));
	for (const item of rest) if (item.key.type === KeyType.DIR_INDEX) await tree.putNames(item);
	for (const item of rest) {
		switch (item.key.type) {
			case KeyType.XATTR_ITEM:
				tree.put(item);
				break;
			case KeyType.INODE_REF:
			case KeyType.INODE_EXTREF:
				await tree.putReferences(item);
				break;
			case KeyType.EXTENT_DATA:
				await tree.putExtent(item);
				break;
			default:
		}
	}
}
