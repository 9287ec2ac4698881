import { notFound } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import type { ExtendedAttributes } from "../extended-attributes.js";
import type { DirectoryEntry, FileStat, Filesystem, FilesystemFormat } from "../filesystem.js";
import { contents, linkTarget } from "./contents.js";
import { type BtrfsDevices, findDevices } from "./devices.js";
import { decodeName, type Entry, findName, listNames } from "./directory.js";
import { Extents } from "./extents.js";
import { type Inode, readInode } from "./inode.js";
import { KeyType, ObjectId } from "./layout.js";
import { replayLog } from "./replay.js";
import { defaultSubvolume, leadsTo, readSubvolume, type Subvolume } from "./subvolume.js";
import { corrupt } from "./superblock.js";
import { BtrfsVolume } from "./volume.js";
import { extendedAttributes } from "./xattr.js";

/** Btrfs on one device or several, for reading: https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html */
export const btrfs: FilesystemFormat = {
	id: "btrfs",
	async open(source, beside = []) {
		const found = await findDevices(source, beside);
		if (found === undefined) return undefined;
		const volume = await BtrfsVolume.open(found);
		volume.log = await replayLog(volume);
		const subvolumes = new Subvolumes(volume, found);
		const opened = await subvolumes.open(await defaultSubvolume(volume));
		if (opened === undefined) throw corrupt(found.name, found.parameters.at, "the default subvolume does not exist");
		return opened;
	},
};

/** What stands where a snapshot has the name of a subvolume that was not taken with it. */
interface EmptyDirectory {
	readonly type: "empty";
	readonly parent: Inode;
}

/** Each subvolume that was asked for is one file system, the same each time. */
class Subvolumes {
	readonly extents: Extents;
	/** Where there are several. */
	readonly devices: readonly ByteSource[] | undefined;
	readonly notes: readonly string[];
	readonly #volume: BtrfsVolume;
	readonly #opened = new Map<number, BtrfsFilesystem>();

	constructor(volume: BtrfsVolume, found: BtrfsDevices) {
		this.#volume = volume;
		this.devices = volume.parameters.fields.num_devices > 1 ? found.sources : undefined;
		this.notes = notesOf(volume, found);
		this.extents = new Extents(volume);
	}

	async open(id: number): Promise<BtrfsFilesystem | undefined> {
		const known = this.#opened.get(id);
		if (known !== undefined) return known;
		const subvolume = isTreeOfFiles(id) ? await readSubvolume(this.#volume, id) : undefined;
		if (subvolume === undefined) return undefined;
		const opened = this.#opened.get(id) ?? new BtrfsFilesystem(this.#volume, subvolume, this);
		this.#opened.set(id, opened);
		return opened;
	}
}

/** Other ids are those of trees about the file system itself. */
const isTreeOfFiles = (id: number) =>
	id === ObjectId.FS_TREE || (id >= ObjectId.FIRST_FREE && Number.isSafeInteger(id));

class BtrfsFilesystem implements Filesystem {
	readonly kind = "btrfs";
	readonly mountOptions: string;
	readonly uuid: string;
	readonly label: string;
	readonly notes: readonly string[];
	readonly devices?: readonly ByteSource[];
	readonly #volume: BtrfsVolume;
	readonly #top: Subvolume;
	readonly #all: Subvolumes;

	constructor(volume: BtrfsVolume, top: Subvolume, all: Subvolumes) {
		const { fsid, label } = volume.parameters.fields;
		const end = label.indexOf(0);
		this.uuid = fsid;
		this.label = decodeName(end < 0 ? label : label.subarray(0, end));
		this.notes = all.notes;
		if (all.devices !== undefined) this.devices = all.devices;
		this.mountOptions = `subvolid=${top.id}`;
		this.#volume = volume;
		this.#top = top;
		this.#all = all;
	}

	async stat(path: string): Promise<FileStat | undefined> {
		const found = await this.#find(path);
		if (found === undefined) return undefined;
		const { fields } = found.type === "empty" ? found.parent : found;
		const owner = { uid: fields.uid, gid: fields.gid, mtime: fields.mtime.sec + fields.mtime.nsec / 1e9 };
		if (found.type === "empty") return { type: "directory", size: 0, mode: 0o755, ...owner };
		return {
			type: found.type,
			size: fields.size,
			mode: fields.mode & 0o7777,
			...owner,
			...(found.type === "link" && { target: await linkTarget(this.#all.extents, found, this.#named(path)) }),
		};
	}

	async list(path: string): Promise<readonly DirectoryEntry[]> {
		const found = await this.#find(path);
		if (found?.type === "empty") return [];
		if (found?.type !== "directory") {
			throw notFound(`${this.#named(path)} is not a directory`, { file: this.#named(path) });
		}
		const entries = await listNames(this.#volume, found.subvolume.root, found.number);
		return entries.map(({ name, type }) => ({ name, type }));
	}

	async open(path: string): Promise<ByteSource> {
		const found = await this.#find(path);
		if (found?.type !== "file") {
			throw notFound(`${this.#named(path)} is not a regular file`, { file: this.#named(path) });
		}
		return contents(this.#all.extents, found, this.#named(path));
	}

	async extendedAttributes(path: string): Promise<ExtendedAttributes> {
		const found = await this.#find(path);
		if (found === undefined) throw notFound(`${this.#named(path)} does not exist`, { file: this.#named(path) });
		return found.type === "empty" ? new Map() : extendedAttributes(this.#volume, found, this.#named(path));
	}

	/** Of what the superblock counts as used it does not say how much is data: all of it is taken to be. */
	free(): Promise<number> {
		const { total_bytes, bytes_used } = this.#volume.parameters.fields;
		return Promise.resolve(Math.max(Math.floor(this.#volume.chunks.roomForData(total_bytes)) - bytes_used, 0));
	}

	async subvolume(which: string | number): Promise<Filesystem | undefined> {
		if (typeof which === "number") return this.#all.open(which === 0 ? ObjectId.FS_TREE : which);
		const top = await this.#all.open(ObjectId.FS_TREE);
		const found = top && (await top.#find(which));
		if (found?.type !== "directory" || found.number !== found.subvolume.directory) return undefined;
		return this.#all.open(found.subvolume.id);
	}

	#named(path: string): string {
		return `${this.#volume.name}:${path}`;
	}

	/** What is at `path`; links are not followed. */
	async #find(path: string): Promise<Inode | EmptyDirectory | undefined> {
		let found: Inode | EmptyDirectory = await this.#rootOf(this.#top, this.#top.root.at);
		for (const name of path.split("/")) {
			if (name === "") continue;
			if (found.type !== "directory") return undefined;
			const entry: Entry | undefined = await findName(this.#volume, found.subvolume.root, found.number, name);
			if (entry === undefined) return undefined;
			found = await this.#follow(found, entry);
		}
		return found;
	}

	async #follow(directory: Inode, entry: Entry): Promise<Inode | EmptyDirectory> {
		const { type, objectid } = entry.location;
		if (type === KeyType.INODE_ITEM) return readInode(this.#volume, directory.subvolume, objectid, entry.at);
		if (type !== KeyType.ROOT_ITEM || !isTreeOfFiles(objectid)) {
			throw corrupt(this.#volume.name, entry.at, "a directory entry leads neither to an inode nor to a subvolume");
		}
		const leads = await leadsTo(this.#volume, directory.subvolume, directory.number, entry);
		const subvolume = leads ? await readSubvolume(this.#volume, objectid) : undefined;
		return subvolume ? this.#rootOf(subvolume, entry.at) : { type: "empty", parent: directory };
	}

	#rootOf(subvolume: Subvolume, referrer: number): Promise<Inode> {
		return readInode(this.#volume, subvolume, subvolume.directory, referrer);
	}
}

function notesOf({ chunks, log, parameters }: BtrfsVolume, { devices }: BtrfsDevices): readonly string[] {
	const { generation, log_root } = parameters.fields;
	const notes = chunks.missing().map(({ devid, uuid, spared }) => {
		const rest = spared ? "is read from its copies elsewhere" : "cannot be read unless it has a copy elsewhere";
		return `This Btrfs lacks its device ${devid} (${uuid}): what is there ${rest}. Name all disks of the machine.`;
	});
	for (const [devid, device] of devices) {
		if (device.generation >= generation) continue;
		notes.push(
			`Device ${devid} of this Btrfs (${device.source.name}) was left behind by the others, at generation ` +
				`${device.generation} of ${generation}: it is only read where there is no other copy. ` +
				'Run "btrfs scrub" in the guest.',
		);
	}
	return log_root === 0 || log !== undefined ? notes : [...notes, pendingLog];
}

const pendingLog =
	"This Btrfs was not unmounted: what was written and synced in the seconds before is in its log, which is not read. " +
	"Start and shut down the guest once to have it written back.";
