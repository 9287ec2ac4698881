import { crc32cRaw } from "../../bytes/checksum/index.js";
import { refused, unsupported } from "../../bytes/errors.js";
import { type ByteStore, readBytes } from "../../bytes/source.js";
import { u32, viewOf } from "../../bytes/struct.js";
import { FileMode } from "../mode.js";
import { checksumSeed, writeInode } from "./attributes.js";
import type { ExtVolume } from "./blocks.js";
import { mapOf } from "./contents.js";
import { type Inode, readInode } from "./inode.js";
import { DirectoryEntryHeader, Incompat, Inode as InodeLayout, RoCompat, SUPERBLOCK_AT, Superblock } from "./layout.js";
import { inLibrary, OpenFlag } from "./libext2fs.js";
import { readSuperblock } from "./superblock.js";
import { updateSuperblock } from "./superblock-edit.js";
import { checkRemovable } from "./xattr-edit.js";

/** Files that had no name any more but were open when the machine stopped: a kernel removes them when it mounts. */
export interface Orphans {
	readonly inodes: readonly Inode[];
	/** The blocks that list some of them, by their byte offset, and the inode that they belong to. */
	readonly lists: readonly number[];
	readonly file: Inode | undefined;
}

/** More than any machine has open. */
const MOST = 10_000;
/** Of the orphan file, as the kernel has it. */
const MOST_BLOCKS = 512;
/** At the end of each block of the orphan file: a magic number and a checksum. */
const TAIL = 8;
const folder = "/.anyvisor-orphans";
const RECORD = 16;

/**
 * By the list that goes from the superblock through `i_dtime`, and by the orphan file:
 * https://docs.kernel.org/filesystems/ext4/orphan.html. `refused` where they are not just files without a name.
 */
export async function findOrphans(volume: ExtVolume): Promise<Orphans> {
	const { fields, features, blockSize } = volume.parameters;
	const found = new Map<number, Inode>();
	const add = async (number: number) => {
		const inode = await readInode(volume, number, SUPERBLOCK_AT);
		if (found.has(number) || found.size === MOST || inode.fields.i_links_count > 0 || inode.type === "directory") {
			throw refused(
				`${volume.name} was not unmounted while files were removed or cut off: it has to be mounted first`,
				{
					file: volume.name,
					offset: SUPERBLOCK_AT + Superblock.offsets.s_last_orphan,
					hint: "Boot the guest once and shut it down cleanly, or run e2fsck -y on a copy of its disk.",
				},
			);
		}
		await checkRemovable(volume, inode);
		found.set(number, inode);
		return inode.fields.i_dtime;
	};
	if (fields.s_last_orphan === 0 && !(features.roCompat & RoCompat.ORPHAN_PRESENT)) {
		return { inodes: [], lists: [], file: undefined };
	}
	// Names are put into the block of a folder, which would have none.
	if (features.incompat & Incompat.INLINE_DATA) {
		throw unsupported(`${volume.name} was not unmounted while files without a name were open, and has inline data`, {
			file: volume.name,
			hint: "Boot the guest once and shut it down cleanly.",
		});
	}
	for (let next = fields.s_last_orphan; next !== 0; ) next = await add(next);
	if (!(features.roCompat & RoCompat.ORPHAN_PRESENT))
		return { inodes: [...found.values()], lists: [], file: undefined };
	const file = await readInode(volume, fields.s_orphan_file_inum, SUPERBLOCK_AT);
	const map = mapOf(volume, file);
	const lists: number[] = [];
	for (let block = 0; block < Math.min(file.size / blockSize, MOST_BLOCKS); block++) {
		const { at } = await map(block, 1);
		if (at === undefined) continue;
		const view = viewOf(await readBytes(volume.source, at, blockSize));
		const before = found.size;
		for (let offset = 0; offset < blockSize - TAIL; offset += u32.size) {
			const number = view.getUint32(offset, true);
			if (number !== 0) await add(number);
		}
		if (found.size > before) lists.push(at);
	}
	return { inodes: [...found.values()], lists, file };
}

/** Gives them names in a folder of their own, and has the library remove these. It must not have the file system open. */
export async function removeOrphans(store: ByteStore, orphans: Orphans): Promise<void> {
	const parameters = await readSuperblock(store);
	if (!parameters) throw new RangeError("a file system that was recovered has no superblock");
	const volume = { name: store.name, parameters, source: store, metadata: store };
	const { offsets } = Superblock;
	if (orphans.inodes.length === 0 && !(parameters.features.roCompat & RoCompat.ORPHAN_PRESENT)) return;
	for (const at of orphans.lists) await emptyList(store, volume, orphans.file, at);
	await updateSuperblock(store, parameters, (view) => {
		view.setUint32(offsets.s_last_orphan, 0, true);
		const roCompat = view.getUint32(offsets.s_feature_ro_compat, true);
		view.setUint32(offsets.s_feature_ro_compat, roCompat & ~RoCompat.ORPHAN_PRESENT, true);
	});
	const most = Math.floor((parameters.blockSize - TAIL) / RECORD) - 4;
	for (let done = 0; done < orphans.inodes.length; done += most) {
		await removeSome(store, volume, orphans.inodes.slice(done, done + most));
	}
}

async function removeSome(store: ByteStore, volume: ExtVolume, inodes: readonly Inode[]): Promise<void> {
	let number = 0;
	await inLibrary(store, async (library) => {
		await library.makeDirectory(folder, FileMode.DIRECTORY | 0o700);
		const file = await library.open(folder, OpenFlag.NO_FOLLOW);
		number = await library.inode(file);
		await library.close(file);
	});
	for (const inode of inodes) {
		inode.bytes.set(InodeLayout.build({ ...inode.fields, i_links_count: 1, i_dtime: 0 }));
		await writeInode(store, volume.parameters, inode);
	}
	await fillFolder(store, volume, await readInode(volume, number, SUPERBLOCK_AT), inodes);
	await inLibrary(store, async (library) => {
		for (const i of inodes.keys()) await library.unlink(`${folder}/${i}`);
		await library.removeDirectory(folder);
	});
}

/** Writes entries behind `.` and `..`. */
async function fillFolder(store: ByteStore, volume: ExtVolume, directory: Inode, inodes: readonly Inode[]) {
	const { blockSize, features } = volume.parameters;
	const { at } = await mapOf(volume, directory)(0, 1);
	if (at === undefined) throw new RangeError("a directory that was made has no block");
	const bytes = await readBytes(store, at, blockSize);
	const view = viewOf(bytes);
	const hasChecksum = (features.roCompat & RoCompat.METADATA_CSUM) !== 0;
	const tail = DirectoryEntryHeader.size + u32.size;
	const end = hasChecksum ? blockSize - tail : blockSize;
	const lengthAt = DirectoryEntryHeader.offsets.rec_len;
	let position = view.getUint16(lengthAt, true);
	view.setUint16(position + lengthAt, RECORD, true);
	position += RECORD;
	for (const [i, { number }] of inodes.entries()) {
		const name = new TextEncoder().encode(`${i}`);
		const isLast = i === inodes.length - 1;
		const header = DirectoryEntryHeader.build({
			inode: number,
			rec_len: isLast ? end - position : RECORD,
			name_len: name.length,
			file_type: features.incompat & Incompat.FILETYPE ? 1 : 0,
		});
		bytes.set(header, position);
		bytes.set(name, position + header.length);
		position += RECORD;
	}
	if (hasChecksum) {
		const sum = crc32cRaw(await inodeSeed(store, volume, directory), bytes.subarray(0, end));
		view.setUint32(blockSize - u32.size, sum, true);
	}
	await store.write(at, bytes);
}

async function emptyList(store: ByteStore, volume: ExtVolume, file: Inode | undefined, at: number): Promise<void> {
	const { blockSize, features } = volume.parameters;
	const bytes = await readBytes(store, at, blockSize);
	bytes.fill(0, 0, blockSize - TAIL);
	if (file && features.roCompat & RoCompat.METADATA_CSUM) {
		const number = new Uint8Array(8);
		viewOf(number).setBigUint64(0, BigInt(at / blockSize), true);
		const sum = crc32cRaw(crc32cRaw(await inodeSeed(store, volume, file), number), bytes.subarray(0, blockSize - TAIL));
		viewOf(bytes).setUint32(blockSize - u32.size, sum, true);
	}
	await store.write(at, bytes);
}

/** What checksums of an inode's blocks begin with. */
async function inodeSeed(store: ByteStore, { parameters }: ExtVolume, { number, fields }: Inode): Promise<number> {
	const prefix = new Uint8Array(2 * u32.size);
	viewOf(prefix).setUint32(0, number, true);
	viewOf(prefix).setUint32(u32.size, fields.i_generation, true);
	return crc32cRaw(await checksumSeed(store, parameters), prefix);
}
