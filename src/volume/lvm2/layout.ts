import { crc32 } from "../../bytes/checksum/index.js";
import { array, bytes, struct, text, u32, u64 } from "../../bytes/struct.js";

// https://github.com/libyal/libvslvm/blob/main/documentation/Logical%20Volume%20Manager%20(LVM)%20format.asciidoc
// The names are those of LVM2 itself, which that document gives as well.

/** LVM counts in sectors of 512 bytes, whatever the disk's own are. */
export const SECTOR = 512;
/** The label is in one of this many first sectors. */
export const LABEL_SECTORS = 4;

export const LabelHeader = struct("LVM2 label", "little", {
	id: text(8),
	/** The sector that it is in. */
	sector_xl: u64,
	/** Of the sector from `offset_xl` on. */
	crc_xl: u32,
	/** Bytes from the label to the physical volume header. */
	offset_xl: u32,
	type: text(8),
});

export const PhysicalVolumeHeader = struct("LVM2 physical volume header", "little", {
	pv_uuid: text(32),
	/** In bytes. */
	device_size_xl: u64,
});

/** Lists of these are ended by one with the offset 0: first the data areas, then the metadata areas. */
export const DiskLocation = struct("LVM2 area descriptor", "little", {
	/** In bytes from the start of the physical volume. */
	offset: u64,
	/** 0: up to the end. */
	size: u64,
});

const RawLocation = struct("LVM2 metadata location", "little", {
	/** In bytes from the start of the metadata area; 0 where there is no metadata. */
	offset: u64,
	size: u64,
	checksum: u32,
	flags: u32,
});

/** The first sector of a metadata area; what follows it is a ring of texts. */
export const MetadataAreaHeader = struct("LVM2 metadata area header", "little", {
	/** Of the rest of the sector. */
	checksum_xl: u32,
	magic: bytes(16),
	version: u32,
	start: u64,
	size: u64,
	/** The committed text; a second one is only there while it is being replaced. */
	raw_locn: RawLocation.field,
	others: array(RawLocation.field, 3),
	padding: bytes(SECTOR - 40 - 4 * RawLocation.size),
});

export const LABEL_ID = "LABELONE";
export const LABEL_TYPE = "LVM2 001";
export const METADATA_MAGIC = " LVM2 x[5A%r0N*>";
export const METADATA_VERSION = 1;
export const IGNORED = 1;

/** LVM's checksum is a CRC-32 that starts from a number of its own, and is not inverted at its end. */
const INITIAL = 0xf597a6cf;

/** @param previous the result for the bytes that come before these */
export const lvmChecksum = (data: Uint8Array, previous = INITIAL) => ~crc32(data, ~previous >>> 0) >>> 0;
