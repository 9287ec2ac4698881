import { readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { clearBits } from "../bitmap.js";
import { Directories } from "../directories.js";
import { serialOf } from "../fat/names.js";
import type { FileStat, Filesystem, FilesystemFormat } from "../filesystem.js";
import { validPart } from "../mapped.js";
import { walked } from "../walked.js";
import { type Entry, type RawDirectory, readDirectory, readRaw, rootEntry } from "./directory.js";
import { BitmapEntry, ENTRY_SIZE, EntryType, LARGEST_UPCASE_TABLE, LabelEntry, UpcaseEntry } from "./layout.js";
import { checksum32, corrupt, type ExfatVolume, extentsFrom, extentsSource, openVolume } from "./volume.js";

/** exFAT, for reading. Names are found whatever their case. */
export const exfat: FilesystemFormat = {
	id: "exfat",
	async open(source) {
		const volume = await openVolume(source);
		return volume && filesystem(volume);
	},
};

async function filesystem(volume: ExfatVolume): Promise<Filesystem> {
	const root = await rootEntry(volume);
	const { bytes, placeOf } = await readRaw(volume, root, "/");
	const fold = await readUpcase(volume, { bytes, placeOf });
	const labelAt = findEntry(bytes, EntryType.VOLUME_LABEL);
	const label = labelAt === undefined ? undefined : LabelEntry.parse(bytes, labelAt, volume.name);
	const directories = new Directories<Entry, Entry>({
		read: (directory, path) => readDirectory(volume, directory, path),
		key: fold,
	});
	return {
		kind: "exfat",
		uuid: volume.serial === 0 ? "" : serialOf(volume.serial),
		label: label?.volumeLabel.slice(0, label.characterCount) ?? "",
		notes: volume.isDirty ? [notUnmounted] : [],

		...walked<Entry>(volume.name, {
			root: () => root,
			child: (directory, name, path) => directories.find(directory, name, path),
			stat: statOf,
			list: async (directory, path) =>
				Array.from(await directories.list(directory, path), ({ name, type }) => ({ name, type })),
			async open({ number, size, isContiguous, validLength, at }, path) {
				const extents = await extentsFrom(volume, number, size, isContiguous, at);
				return validPart(extentsSource(volume, extents, size, path, volume.source), validLength);
			},
		}),

		async free() {
			const at = findEntry(
				bytes,
				EntryType.ALLOCATION_BITMAP,
				(flags) => (flags & 1) === (volume.usesSecondFat ? 1 : 0),
			);
			if (at === undefined) throw corrupt(volume.name, placeOf(0), "the root directory has no allocation bitmap");
			const { firstCluster, dataLength } = BitmapEntry.parse(bytes, at, volume.name);
			const extents = await extentsFrom(volume, firstCluster, dataLength, false, placeOf(at));
			return (await clearBits(extentsSource(volume, extents, dataLength), volume.clusters)) * volume.clusterSize;
		},
	};
}

/** As Linux mounts exFAT by default: everything belongs to root, and everybody may read and execute it. */
const statOf = ({ type, size, isReadOnly, mtime }: Entry): FileStat => ({
	type,
	size: type === "directory" ? 0 : size,
	mode: isReadOnly ? 0o555 : 0o755,
	uid: 0,
	gid: 0,
	mtime,
});

/** Where the first entry of a type is in the root directory. */
function findEntry(bytes: Uint8Array, type: number, isWanted = (_flags: number) => true): number | undefined {
	for (let at = 0; at + ENTRY_SIZE <= bytes.length && bytes[at] !== EntryType.END; at += ENTRY_SIZE) {
		if (bytes[at] === type && isWanted(bytes[at + 1] ?? 0)) return at;
	}
	return undefined;
}

/** How names are folded that differ in case only: by a table on the volume, in which runs that fold to themselves are short. */
async function readUpcase(volume: ExfatVolume, { bytes, placeOf }: RawDirectory): Promise<(name: string) => string> {
	const at = findEntry(bytes, EntryType.UPCASE_TABLE);
	if (at === undefined) throw corrupt(volume.name, placeOf(0), "the root directory has no up-case table");
	const { firstCluster, dataLength, tableChecksum } = UpcaseEntry.parse(bytes, at, volume.name);
	if (dataLength > LARGEST_UPCASE_TABLE) throw corrupt(volume.name, placeOf(at), "the up-case table is too large");
	const extents = await extentsFrom(volume, firstCluster, dataLength, false, placeOf(at));
	const table = await readBytes(extentsSource(volume, extents, dataLength), 0, dataLength);
	if (checksum32(table) !== tableChecksum) {
		throw corrupt(volume.name, placeOf(at), "the checksum of the up-case table is wrong");
	}
	const view = viewOf(table);
	const upper = new Map<number, number>();
	let unit = 0;
	for (let offset = 0; offset + 2 <= table.length; offset += 2) {
		const value = view.getUint16(offset, true);
		if (value === 0xffff && offset + 4 <= table.length) {
			offset += 2;
			unit += view.getUint16(offset, true);
		} else {
			if (value !== unit) upper.set(unit, value);
			unit++;
		}
	}
	return (name) => {
		let folded = "";
		for (let i = 0; i < name.length; i++) {
			const unit = name.charCodeAt(i);
			folded += String.fromCharCode(upper.get(unit) ?? unit);
		}
		return folded;
	};
}

const notUnmounted =
	"This exFAT was not unmounted: what was written last may be missing or half there. Run fsck.exfat in the guest.";
