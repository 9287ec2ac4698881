import { AnyvisorError, unsupported } from "../../bytes/errors.js";
import { readUpTo } from "../../bytes/source.js";
import type { DirectoryEntry, Filesystem, FilesystemFormat, FileType } from "../filesystem.js";
import { rememberDirectories, walked } from "../walked.js";
import { readBoot } from "./boot.js";
import { contents } from "./contents.js";
import { type Entry, findName, listNames } from "./directory.js";
import { AttributeType, FileAttribute, FileNumber } from "./layout.js";
import { type Node, readNode } from "./node.js";
import type { NtfsVolume } from "./record.js";
import { streamOf } from "./stream.js";
import { folding, freeBytes, isLogClean, openVolume, readVolumeFile } from "./volume.js";

/** NTFS, for reading. Names are found as Windows finds them: whatever their case, by their short form as well. */
export const ntfs: FilesystemFormat = {
	id: "ntfs",
	async open(source) {
		const parameters = await readBoot(source);
		return parameters && filesystem(await openVolume(source, parameters));
	},
};

async function filesystem(volume: NtfsVolume): Promise<Filesystem> {
	const { label, isDirty } = await readVolumeFile(volume);
	const fold = folding(volume);
	const nodeOf = rememberDirectories((reference: bigint, referrer) => readNode(volume, reference, referrer));

	/** What an entry is, for which the file is read only where it may be a link. */
	const typeOf = async ({ attributes, reference, at }: Entry): Promise<FileType> => {
		const isDirectory = (attributes & FileAttribute.DIRECTORY) !== 0;
		const isPlain = (attributes & (FileAttribute.REPARSE_POINT | FileAttribute.SYSTEM)) === 0;
		if (isPlain) return isDirectory ? "directory" : "file";
		return (await nodeOf(reference, at)).type;
	};

	const files = walked<Node>(volume.name, {
		root: () => nodeOf(BigInt(FileNumber.ROOT), volume.parameters.mftAt),

		async child(directory, name) {
			const entry = await findName(volume, directory.file, name, await fold());
			return entry && nodeOf(entry.reference, entry.at);
		},

		/** As Linux mounts NTFS by default: everything belongs to root, and everybody may use it. */
		async stat({ file, type, special, attributes, mtime }) {
			const target = special?.target;
			const data = type === "file" ? await streamOf(volume, file, AttributeType.DATA) : undefined;
			return {
				type,
				size: target === undefined ? (data?.size ?? 0) : new TextEncoder().encode(target).length,
				mode: attributes & FileAttribute.READONLY && type === "file" ? 0o555 : 0o777,
				uid: 0,
				gid: 0,
				mtime,
				...(target !== undefined && { target }),
			};
		},

		async list(directory) {
			const found: DirectoryEntry[] = [];
			for (const entry of await listNames(volume, directory.file)) {
				found.push({ name: entry.name, type: await typeOf(entry) });
			}
			return found;
		},

		open({ file, special }, path) {
			if (special?.unread === undefined) return contents(volume, file, path);
			throw unsupported(`${path} ${special.unread}, which Anyvisor cannot read`, {
				file: volume.name,
				offset: file.record.at,
				hint: "Copy the file out in the guest.",
			});
		},
	});

	return {
		kind: "ntfs",
		uuid: volume.parameters.serial.toString(16).toUpperCase().padStart(16, "0"),
		label,
		notes: [
			...((await unlessDamaged(isHibernated(files), false)) ? [hibernated] : []),
			...(isDirty || !(await unlessDamaged(isLogClean(volume), false)) ? [notUnmounted] : []),
		],
		...files,
		free: () => freeBytes(volume),
	};
}

/** Windows leaves its memory in this file when it hibernates, or shuts down to start fast. */
async function isHibernated(files: Pick<Filesystem, "stat" | "open">): Promise<boolean> {
	const stat = await files.stat("/hiberfil.sys");
	if (stat?.type !== "file") return false;
	const mark = await readUpTo(await files.open("/hiberfil.sys"), 0, 4);
	return /^hibr$/i.test(String.fromCharCode(...mark));
}

/** What cannot be read is told when it is asked for, not when the rest is opened. */
async function unlessDamaged<T>(answer: Promise<T>, otherwise: T): Promise<T> {
	try {
		return await answer;
	} catch (error) {
		if (error instanceof AnyvisorError) return otherwise;
		throw error;
	}
}

const hibernated =
	"Windows is hibernated on this NTFS, or was shut down to start fast: what it had not written yet is not seen. " +
	'Shut it down with "shutdown /s /t 0".';
const notUnmounted =
	"This NTFS was not unmounted: changes that are only in its journal are not seen. Start and shut down the guest once.";
