import { cached } from "../../bytes/cache.js";
import { type ByteSource, readBytes, readUpTo } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { clearBits } from "../bitmap.js";
import { type Extent, findRun, mappedSource } from "../mapped.js";
import { corrupt, type NtfsParameters } from "./boot.js";
import {
	AttributeType,
	FileNumber,
	NO_CLIENT,
	RestartArea,
	RestartPage,
	VOLUME_DIRTY,
	VOLUME_IS_CLEAN,
	VolumeInformation,
} from "./layout.js";
import { decodeName, type NtfsVolume, parseRecord, readRecord } from "./record.js";
import { allExtents, decodeRuns, type NtfsFile, openFile, plainSource, streamOf } from "./stream.js";

/** Finds the MFT, whose first record tells where the whole of it is. */
export async function openVolume(source: ByteSource, parameters: NtfsParameters): Promise<NtfsVolume> {
	const { mftAt, recordSize, clusterSize } = parameters;
	const { name } = source;
	const metadata = cached(source);
	const first = parseRecord({ name }, await readBytes(metadata, mftAt, recordSize), FileNumber.MFT, mftAt);
	const attribute = first.attributes.find(({ type, name }) => type === AttributeType.DATA && name === "");
	if (attribute === undefined) throw corrupt(name, mftAt, "the first file record is not that of the MFT");
	const extents: Extent[] = [...decodeRuns({ name, parameters }, attribute).extents];
	const map = (logical: number, most: number) => {
		const to = extents.at(-1)?.to ?? 0;
		if (logical >= to) throw corrupt(name, mftAt, `cluster ${logical} of the MFT is missing`);
		return findRun({ from: 0, to, extents }, clusterSize, logical, most);
	};
	const volume = {
		name,
		parameters,
		source,
		metadata,
		mft: mappedSource(map, Number.MAX_SAFE_INTEGER, clusterSize, metadata, name),
		placeOf: (at: number) => (map(Math.floor(at / clusterSize), 1).at ?? 0) + (at % clusterSize),
	};
	const file = await openFile(volume, first);
	await allExtents(volume, file, extents);
	const stream = await streamOf(volume, file, AttributeType.DATA);
	return { ...volume, mft: mappedSource(map, stream?.size ?? 0, clusterSize, metadata, name) };
}

/** What $Volume says of the whole. */
export async function readVolumeFile(volume: NtfsVolume): Promise<{ label: string; isDirty: boolean }> {
	const file = await systemFile(volume, FileNumber.VOLUME);
	const label = (await streamOf(volume, file, AttributeType.VOLUME_NAME))?.value ?? new Uint8Array();
	const information = await streamOf(volume, file, AttributeType.VOLUME_INFORMATION);
	const { value = new Uint8Array(), at = file.record.at } = information ?? {};
	const { volumeFlags } = VolumeInformation.parse(value, 0, volume.name, at);
	return { label: decodeName(label), isDirty: (volumeFlags & VOLUME_DIRTY) !== 0 };
}

/** Whether everything that $LogFile holds was written to its place. */
export async function isLogClean(volume: NtfsVolume): Promise<boolean> {
	const log = await systemData(volume, FileNumber.LOG_FILE);
	const first = await readUpTo(log, 0, SMALLEST_PAGE);
	// Nothing was written to it since it was made, or emptied.
	if (first.every((byte) => byte === 0xff)) return true;
	const areas = [restartArea(first), restartArea(await readUpTo(log, pageSizeOf(first), SMALLEST_PAGE))];
	const latest = areas.reduce((one, other) => ((other?.currentLsn ?? -1n) > (one?.currentLsn ?? -1n) ? other : one));
	return latest !== undefined && (latest.clientInUseList === NO_CLIENT || (latest.flags & VOLUME_IS_CLEAN) !== 0);
}

const SMALLEST_PAGE = 4096;

const pageSizeOf = (page: Uint8Array) => (page.length < RestartPage.size ? 0 : RestartPage.parse(page).systemPageSize);

/** `undefined` where a page is broken: the other one counts. */
function restartArea(page: Uint8Array) {
	if (page.length < SMALLEST_PAGE) return undefined;
	const { multiSectorHeader, restartOffset } = RestartPage.parse(page);
	if (!["RSTR", "CHKD"].includes(multiSectorHeader.signature) || restartOffset + RestartArea.size > 510)
		return undefined;
	return RestartArea.parse(page, restartOffset);
}

/** Bytes of the clusters that $Bitmap has no bit for. */
export async function freeBytes(volume: NtfsVolume): Promise<number> {
	const { clusters, clusterSize } = volume.parameters;
	return (await clearBits(await systemData(volume, FileNumber.BITMAP), clusters)) * clusterSize;
}

/** How names are folded that differ in case only: by a table that was written when the volume was made. */
export function folding(volume: NtfsVolume): () => Promise<(name: string) => string> {
	let fold: Promise<(name: string) => string> | undefined;
	const read = async () => {
		const table = await systemData(volume, FileNumber.UP_CASE);
		const upper = viewOf(await readUpTo(table, 0, 2 ** 17));
		return (name: string) => {
			let folded = "";
			for (let i = 0; i < name.length; i++) {
				const unit = name.charCodeAt(i);
				folded += String.fromCharCode(unit * 2 + 2 <= upper.byteLength ? upper.getUint16(unit * 2, true) : unit);
			}
			return folded;
		};
	};
	return () => (fold ??= read());
}

async function systemData(volume: NtfsVolume, number: number): Promise<ByteSource> {
	const file = await systemFile(volume, number);
	const stream = await streamOf(volume, file, AttributeType.DATA);
	if (stream === undefined) throw corrupt(volume.name, file.record.at, `file record ${number} has no data`);
	return plainSource(volume, stream, volume.name, volume.source);
}

async function systemFile(volume: NtfsVolume, number: number): Promise<NtfsFile> {
	return openFile(volume, await readRecord(volume, { number, sequence: 0 }, volume.parameters.mftAt));
}
