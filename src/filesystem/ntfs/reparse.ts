import { readBytes } from "../../bytes/source.js";
import type { FileType } from "../filesystem.js";
import { corrupt } from "./boot.js";
import {
	AttributeType,
	LONGEST_REPARSE,
	MountPointReparse,
	ReparsePoint,
	ReparseTag,
	SymbolicLinkReparse,
} from "./layout.js";
import { decodeName, type NtfsVolume } from "./record.js";
import { type NtfsFile, plainSource, streamOf } from "./stream.js";

/** What a file is instead of its data. */
export interface Special {
	/** `undefined` where it is a file or a directory nevertheless. */
	readonly type: FileType | undefined;
	readonly target?: string;
	/** Why its data are not what a program reads; `undefined` where they are. */
	readonly unread?: string;
}

/** What the reparse point of a file says; `undefined` where it has none. */
export async function readReparse(volume: NtfsVolume, file: NtfsFile): Promise<Special | undefined> {
	const stream = await streamOf(volume, file, AttributeType.REPARSE_POINT);
	if (stream === undefined) return undefined;
	const fault = (what: string) => corrupt(volume.name, stream.at, `a reparse point ${what}`);
	if (stream.size > LONGEST_REPARSE) throw fault(`has ${stream.size} bytes`);
	const bytes = await readBytes(plainSource(volume, stream, volume.name), 0, stream.size);
	const { reparseTag } = ReparsePoint.parse(bytes, 0, volume.name, stream.at);
	const data = bytes.subarray(ReparsePoint.size);
	switch (reparseTag) {
		case ReparseTag.SYMLINK:
		case ReparseTag.MOUNT_POINT: {
			const layout = reparseTag === ReparseTag.SYMLINK ? SymbolicLinkReparse : MountPointReparse;
			const { substituteNameOffset, substituteNameLength } = layout.parse(data, 0, volume.name, stream.at);
			const begin = layout.size + substituteNameOffset;
			if (begin + substituteNameLength > data.length) throw fault("is shorter than its target");
			return { type: "link", target: unixPath(decodeName(data.subarray(begin, begin + substituteNameLength))) };
		}
		case ReparseTag.LX_SYMLINK:
			// After a version of 4 bytes.
			return { type: "link", target: new TextDecoder().decode(data.subarray(4)) };
		case ReparseTag.AF_UNIX:
		case ReparseTag.LX_FIFO:
		case ReparseTag.LX_CHR:
		case ReparseTag.LX_BLK:
			return { type: "other" };
		case ReparseTag.WOF:
			return { type: undefined, unread: 'is compressed by Windows overlay ("compact /exe")' };
		case ReparseTag.DEDUP:
			return { type: undefined, unread: "is deduplicated by Windows Server" };
		default:
			return { type: undefined, unread: `is a reparse point of kind 0x${reparseTag.toString(16)}` };
	}
}

/** `\??\C:\Users` is `C:/Users`: no name has a backslash, and links between volumes need a letter that only Windows knows. */
const unixPath = (target: string) => target.replace(/^\\\?\?\\/, "").replaceAll("\\", "/");

const encoder = new TextEncoder();
const interix: readonly (readonly [string, FileType])[] = [
	["IntxLNK\u0001", "link"],
	["IntxCHR\0", "other"],
	["IntxBLK\0", "other"],
];
/** In bytes: of the longest target, which is in UTF-16. */
const LONGEST_INTERIX = 8 + 2 * 4096;

/** Links and devices as Interix and ntfs-3g keep them: system files whose data say so. */
export async function readInterix(volume: NtfsVolume, file: NtfsFile): Promise<Special | undefined> {
	const stream = await streamOf(volume, file, AttributeType.DATA);
	if (stream === undefined || stream.size < 8 || stream.size > LONGEST_INTERIX || stream.flags !== 0) return undefined;
	const bytes = await readBytes(plainSource(volume, stream, volume.name), 0, stream.size);
	for (const [mark, type] of interix) {
		if (!encoder.encode(mark).every((byte, i) => byte === bytes[i])) continue;
		return type === "link" ? { type, target: decodeName(bytes.subarray(8)) } : { type };
	}
	return undefined;
}
