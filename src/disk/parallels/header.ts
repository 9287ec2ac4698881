import { damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, checkRange, readBytes } from "../../bytes/source.js";
import { ENTRY_SIZE, Header, IN_USE, SECTOR, VERSION } from "./layout.js";
import { MAGIC, MAGIC_EXT } from "./mark.js";

/** What reading needs of an expandable image's header, checked. */
export interface HdsHeader {
	/** Of the part of the disk that the image covers, in bytes. */
	readonly size: number;
	/** In bytes; not always a power of two. */
	readonly clusterSize: number;
	/** Clusters in the block allocation table. */
	readonly entries: number;
	/** Bytes that an entry of the table counts. */
	readonly entryUnit: number;
	/** Whoever wrote to it last did not close it. */
	readonly inUse: boolean;
}

/** Bytes; a thousand times what is usual. */
const LARGEST_CLUSTER = 2 ** 30;

const HINT = "Fetch the file again, or convert the disk on the computer it comes from: prl_disk_tool.";

export async function readHeader(source: ByteSource): Promise<HdsHeader> {
	const file = source.name;
	const fail = (field: keyof typeof Header.offsets, message: string) =>
		damaged(`${file}: ${message}`, { file, offset: Header.offsets[field], hint: HINT });

	const header = Header.parse(await readBytes(source, 0, Header.size), 0, file);
	const { magic, version, tracks, nb_bat_entries: entries } = header;
	if (magic !== MAGIC && magic !== MAGIC_EXT) throw fail("magic", "this is not an expandable Parallels image");
	if (version !== VERSION) {
		throw unsupported(`${file}: version ${version} of Parallels' images is not supported, only ${VERSION} is`, {
			file,
			offset: Header.offsets.version,
			hint: "Convert it on the computer it comes from: prl_disk_tool.",
		});
	}
	const clusterSize = tracks * SECTOR;
	if (clusterSize === 0 || clusterSize > LARGEST_CLUSTER) {
		throw fail("tracks", `clusters of ${tracks} sectors; 1 to ${LARGEST_CLUSTER / SECTOR} are possible`);
	}
	const sectors = magic === MAGIC ? BigInt.asUintN(32, header.nb_sectors) : header.nb_sectors;
	if (sectors > BigInt(entries) * BigInt(tracks)) {
		throw fail("nb_sectors", `${entries} clusters of ${tracks} sectors cannot hold ${sectors} sectors`);
	}
	checkRange(source, Header.size, entries * ENTRY_SIZE);
	return {
		size: Number(sectors) * SECTOR,
		clusterSize,
		entries,
		entryUnit: magic === MAGIC ? SECTOR : clusterSize,
		inUse: header.in_use === IN_USE,
	};
}
