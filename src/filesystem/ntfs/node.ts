import type { FileType } from "../filesystem.js";
import { corrupt } from "./boot.js";
import { AttributeType, FileAttribute, RecordFlag, StandardInformation } from "./layout.js";
import { type NtfsVolume, parseReference, readRecord } from "./record.js";
import { readInterix, readReparse, type Special } from "./reparse.js";
import { type NtfsFile, openFile, streamOf } from "./stream.js";

export interface Node {
	readonly file: NtfsFile;
	readonly type: FileType;
	readonly special: Special | undefined;
	/** FILE_ATTRIBUTE_… */
	readonly attributes: number;
	/** Seconds since 1970, with a fraction. */
	readonly mtime: number;
}

/** Reads a file or directory; `referrer` is the byte that has the reference, for messages. */
export async function readNode(volume: NtfsVolume, stored: bigint, referrer: number): Promise<Node> {
	const record = await readRecord(volume, parseReference(stored), referrer);
	if (record.base !== 0) throw corrupt(volume.name, referrer, `this leads to a part of file record ${record.base}`);
	const file = await openFile(volume, record);
	const standard = await streamOf(volume, file, AttributeType.STANDARD_INFORMATION);
	if (standard?.value === undefined) throw corrupt(volume.name, record.at, "a file has no $STANDARD_INFORMATION");
	const { fileAttributes, lastModificationTime } = StandardInformation.parse(
		standard.value,
		0,
		volume.name,
		standard.at,
	);
	const isDirectory = (record.flags & RecordFlag.DIRECTORY) !== 0;
	const isSystem = !isDirectory && (fileAttributes & FileAttribute.SYSTEM) !== 0;
	const special = (await readReparse(volume, file)) ?? (isSystem ? await readInterix(volume, file) : undefined);
	return {
		file,
		type: special?.type ?? (isDirectory ? "directory" : "file"),
		special,
		attributes: fileAttributes,
		mtime: seconds(lastModificationTime),
	};
}

const PER_SECOND = 10_000_000n;
/** From 1601 to 1970. */
const EPOCH = 11_644_473_600;

/** NTFS counts the tenths of a microsecond since 1601. */
const seconds = (stored: bigint): number =>
	Number(stored / PER_SECOND) - EPOCH + Number(stored % PER_SECOND) / Number(PER_SECOND);
