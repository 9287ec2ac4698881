import { type ByteSource, readUpTo } from "../bytes/source.js";
import { array, bytes, struct, text, u8, u16, u32, type Value, viewOf } from "../bytes/struct.js";
import type { Volume, VolumeScheme } from "./volume.js";
import { volumeSource } from "./window.js";

/** disklabel(5): https://man.openbsd.org/disklabel.5, https://man.netbsd.org/disklabel.5 */
const Partition = struct("BSD partition", "little", {
	p_size: u32,
	/** From the beginning of the disk, or of the slice. */
	p_offset: u32,
	p_fsize: u32,
	p_fstype: u8,
	p_frag: u8,
	p_cpg: u16,
});

/** OpenBSD has room for 16 partitions, NetBSD and FreeBSD for 22 at most. */
const MOST = 22;

export const Disklabel = struct("BSD disklabel", "little", {
	d_magic: u32,
	d_type: u16,
	d_subtype: u16,
	d_typename: text(16),
	d_packname: text(16),
	d_secsize: u32,
	d_nsectors: u32,
	d_ntracks: u32,
	d_ncylinders: u32,
	d_secpercyl: u32,
	d_secperunit: u32,
	d_sparespertrack: u16,
	d_sparespercyl: u16,
	d_acylinders: u32,
	d_rpm: u16,
	d_interleave: u16,
	d_trackskew: u16,
	d_cylskew: u16,
	d_headswitch: u32,
	d_trkseek: u32,
	d_flags: u32,
	d_drivedata: bytes(20),
	d_spare: bytes(20),
	d_magic2: u32,
	/** Makes the exclusive or of all words of 16 bits, to the last partition, 0. */
	d_checksum: u16,
	d_npartitions: u16,
	d_bbsize: u32,
	d_sbsize: u32,
	d_partitions: array(Partition.field, MOST),
});

const MAGIC = 0x82564557;
/** In the second sector, or behind the boot code's beginning in the first one. */
const places = (sectorSize: number) => [sectorSize, 64];
const UNUSED = 0;
/** The letter that stands for the slice itself, or the disk: "c". */
const RAW = 2;

/** MBR types of the slices that hold a disklabel: FreeBSD, OpenBSD, NetBSD. */
const [FREEBSD, OPENBSD, NETBSD] = ["a5", "a6", "a9"];
const slices: ReadonlySet<string> = new Set([FREEBSD, OPENBSD, NETBSD]);

export const isBsdSlice = ({ type }: Volume): boolean => slices.has(type);

/** A disk that the BSDs have for themselves. */
export const bsd: VolumeScheme = {
	id: "bsd",
	read: (disk, sectorSize) => partitionsOf(disk, sectorSize, { at: 0, size: disk.size, type: "" }, 1),
};

/**
 * The partitions in a slice of `disk`, numbered from `first` on as Linux does; `undefined` where it has no disklabel.
 * Those that are the whole slice, or that lie outside of it, as those do that name another slice, are left out.
 */
export async function partitionsOf(
	disk: ByteSource,
	sectorSize: number,
	slice: Pick<Volume, "at" | "size" | "type">,
	first: number,
): Promise<readonly Volume[] | undefined> {
	const label = await readLabel(disk, sectorSize, slice.at);
	if (label === undefined) return undefined;
	const { d_secsize: unit, d_partitions: partitions } = label;
	const end = slice.at + slice.size;
	// FreeBSD counts from the slice since version 10: the raw partition then begins with it.
	const from = slice.type === FREEBSD && partitions[RAW]?.p_offset === 0 ? slice.at : 0;
	const volumes: Volume[] = [];
	for (const { p_size, p_offset, p_fstype } of partitions.slice(0, label.d_npartitions)) {
		const at = from + p_offset * unit;
		const size = p_size * unit;
		const isWhole = at === slice.at && size === slice.size;
		if (size === 0 || p_fstype === UNUSED || isWhole || at < slice.at || at + size > end) continue;
		const number = first + volumes.length;
		const type = p_fstype.toString(16).padStart(2, "0");
		volumes.push({
			number,
			scheme: "bsd",
			at,
			size,
			type,
			bootable: false,
			source: volumeSource(disk, number, at, size),
		});
	}
	return volumes;
}

async function readLabel(
	disk: ByteSource,
	sectorSize: number,
	at: number,
): Promise<Value<typeof Disklabel> | undefined> {
	for (const place of places(sectorSize)) {
		const raw = new Uint8Array(Disklabel.size);
		raw.set(await readUpTo(disk, at + place, Disklabel.size));
		const label = Disklabel.parse(raw, 0, disk.name, at + place);
		const { d_magic, d_magic2, d_npartitions: count, d_secsize } = label;
		if (d_magic !== MAGIC || d_magic2 !== MAGIC || count > MOST || ![512, 1024, 2048, 4096].includes(d_secsize))
			continue;
		if (checksum(raw.subarray(0, Disklabel.offsets.d_partitions + count * Partition.size)) === 0) return label;
	}
	return undefined;
}

function checksum(label: Uint8Array): number {
	const view = viewOf(label);
	let sum = 0;
	for (let at = 0; at < label.length; at += 2) sum ^= view.getUint16(at, true);
	return sum;
}
