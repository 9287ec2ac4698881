import { unsupported } from "../../bytes/errors.js";
import { Directories } from "../directories.js";
import type { Filesystem, FilesystemFormat } from "../filesystem.js";
import { findRun, mappedSource } from "../mapped.js";
import { walked } from "../walked.js";
import { type Entry, joliet, latin, openRoot, readDirectory } from "./directory.js";
import { type IsoVolume, openVolume } from "./volume.js";

/** ISO 9660 with Rock Ridge or else Joliet. Only names of Rock Ridge are found in the case that they have alone. */
export const iso9660: FilesystemFormat = {
	id: "iso9660",
	async open(source) {
		const volume = await openVolume(source);
		return volume && filesystem(volume);
	},
};

async function filesystem(volume: IsoVolume): Promise<Filesystem> {
	const { name, blockSize, hasUdf } = volume;
	let { names, root } = await openRoot(volume, volume.primary.rootDirectoryRecord, false);
	if (names.kind === "plain" && volume.joliet) {
		({ names, root } = await openRoot(volume, volume.joliet.rootDirectoryRecord, true));
	}
	const directories = new Directories<Entry, Entry>({
		read: (directory, path) => readDirectory(volume, directory, names, path),
		...(names.kind !== "rock ridge" && { key: (name: string) => name.toUpperCase() }),
	});
	return {
		kind: "iso9660",
		uuid: uuidOf(volume),
		label: labelOf(volume),
		notes: hasUdf ? [alsoUdf] : [],

		...walked<Entry>(name, {
			root: () => root,
			child: (directory, name, path) => directories.find(directory, name, path),
			/** Without Rock Ridge as Linux mounts it by default. */
			stat({ type, size, mtime, rock }) {
				if (rock.damage) throw rock.damage;
				const target = type === "link" ? (rock.target ?? "") : undefined;
				return {
					type,
					size: target === undefined ? size : new TextEncoder().encode(target).length,
					mode: (rock.mode ?? (type === "directory" ? 0o555 : 0o444)) & 0o7777,
					uid: rock.uid ?? 0,
					gid: rock.gid ?? 0,
					mtime,
					...(target !== undefined && { target }),
				};
			},
			list: async (directory, path) =>
				Array.from(await directories.list(directory, path), ({ name, type }) => ({ name, type })),
			open({ extents, size, rock, at }, path) {
				if (rock.damage) throw rock.damage;
				if (rock.unread !== undefined) {
					throw unsupported(`${path} ${rock.unread}, which Anyvisor cannot read`, { file: name, offset: at });
				}
				const list = { from: 0, to: extents.at(-1)?.to ?? 0, extents };
				const map = (logical: number, most: number) => findRun(list, blockSize, logical, most);
				return mappedSource(map, size, blockSize, volume.source, path);
			},
		}),
	};
}

/** As libblkid has it: when the volume was changed last, or made. */
function uuidOf({ primary }: IsoVolume): string {
	const { volumeModification, volumeModificationOffset, volumeCreation } = primary;
	const isSet = /[^0]/.test(volumeModification) || volumeModificationOffset !== 0;
	const stamp = isSet ? volumeModification : volumeCreation;
	const groups = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(stamp);
	return groups?.slice(1).join("-") ?? "";
}

/** Joliet's, which has lower case but only 16 characters, and what the other has beyond. */
function labelOf(volume: IsoVolume): string {
	const trimmed = (text: string) => text.replace(/[\0 ]+$/, "");
	const plain = trimmed(latin(volume.primary.volumeIdentifier));
	const label = volume.joliet ? trimmed(joliet(volume.joliet.volumeIdentifier)) : "";
	return label === "" ? plain : label + (label.length === 16 ? plain.slice(16) : "");
}

const alsoUdf =
	"This disc has UDF as well, which is not read: what its ISO 9660 shows may be less, or only a file that says so.";
