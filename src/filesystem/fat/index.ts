import { damaged, notFound } from "../../bytes/errors.js";
import { type ByteSource, isStore } from "../../bytes/source.js";
import type { FileStat, Filesystem, FilesystemFormat } from "../filesystem.js";
import { type BlockMap, findRun, mappedSource } from "../mapped.js";
import { type Entry, parseDirectory, readDirectory } from "./directory.js";
import { clusterAt, type Geometry, readGeometry } from "./geometry.js";
import { attribute } from "./layout.js";
import { sameName, serialOf } from "./names.js";
import { AllocationTable, extentsOf } from "./table.js";

/** FAT12, FAT16 and FAT32 with long names. Names are found whatever their case, by their short form as well. */
export const fat: FilesystemFormat = {
	id: "fat",
	async open(volume) {
		const geometry = await readGeometry(volume);
		if (!geometry) return undefined;
		const table = new AllocationTable(volume, geometry);
		const { label } = parseDirectory(await readDirectory(volume, geometry, table, 0));
		return filesystem(volume, geometry, table, label);
	},
};

/** Directories, and entries of one. */
const REMEMBERED = 64;
const LARGEST_REMEMBERED = 1000;

const root: Entry = {
	name: "",
	shortName: "",
	attributes: attribute.directory,
	cluster: 0,
	size: 0,
	mtime: 0,
	offset: 0,
};
const isDirectory = (entry: Entry) => (entry.attributes & attribute.directory) !== 0;

function filesystem(
	volume: ByteSource,
	geometry: Geometry,
	table: AllocationTable,
	label: string | undefined,
): Filesystem {
	/** By their first clusters: paths go through the same few. */
	const directories = new Map<number, readonly Entry[]>();
	const entriesOf = async ({ cluster }: Entry) => {
		const known = directories.get(cluster);
		if (known !== undefined) return known;
		const { entries } = parseDirectory(await readDirectory(volume, geometry, table, cluster));
		if (directories.size >= REMEMBERED) directories.clear();
		if (entries.length <= LARGEST_REMEMBERED) directories.set(cluster, entries);
		return entries;
	};

	async function find(path: string): Promise<Entry | undefined> {
		let entry: Entry | undefined = root;
		for (const name of path.split("/").filter((part) => part !== "")) {
			if (!entry || !isDirectory(entry)) return undefined;
			const entries = await entriesOf(entry);
			entry =
				entries.find((entry) => sameName(entry.name, name)) ?? entries.find((entry) => sameName(entry.shortName, name));
		}
		return entry;
	}

	return {
		kind: geometry.kind,
		uuid: geometry.volumeId === 0 ? "" : serialOf(geometry.volumeId),
		label: label ?? (geometry.label === "NO NAME" ? "" : geometry.label),

		async stat(path) {
			const entry = await find(path);
			return entry && statOf(entry);
		},

		async list(path) {
			const entry = await find(path);
			if (!entry || !isDirectory(entry)) throw notFound(`${volume.name}:${path} is not a directory`, { file: path });
			return (await entriesOf(entry)).map((entry) => ({ name: entry.name, type: statOf(entry).type }));
		},

		async open(path) {
			const entry = await find(path);
			if (!entry || isDirectory(entry)) throw notFound(`${volume.name}:${path} is not a file`, { file: path });
			const name = `${volume.name}:${path}`;
			const needed = Math.ceil(entry.size / geometry.clusterSize);
			const chain = await table.chain(needed === 0 ? 0 : entry.cluster, needed);
			if (chain.clusters < needed) {
				throw damaged(`${name} has ${entry.size} bytes, but its clusters end before`, {
					file: volume.name,
					hint: "Repair a copy with fsck.vfat.",
				});
			}
			const list = extentsOf(chain.runs, (cluster) => clusterAt(geometry, cluster, volume.name));
			const map: BlockMap = (logical, most) => findRun(list, geometry.clusterSize, logical, most);
			return mappedSource(map, entry.size, geometry.clusterSize, volume, name);
		},

		free: async () => (await table.countFree()) * geometry.clusterSize,

		...(isStore(volume) ? { edit: async () => (await import("./edit.js")).editFat(volume, geometry) } : {}),
	};
}

/** As Linux mounts FAT by default: everything belongs to root, and everybody may read and execute it. */
function statOf(entry: Entry): FileStat {
	const readOnly = (entry.attributes & attribute.readOnly) !== 0;
	return {
		type: isDirectory(entry) ? "directory" : "file",
		size: isDirectory(entry) ? 0 : entry.size,
		mode: readOnly ? 0o555 : 0o755,
		uid: 0,
		gid: 0,
		mtime: entry.mtime,
	};
}
