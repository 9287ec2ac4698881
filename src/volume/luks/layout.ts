import { array, bytes, struct, text, u16, u32, u64 } from "../../bytes/struct.js";

/** Offsets and sizes of LUKS1 are in these. */
export const SECTOR = 512;
export const MAGIC = "LUKS\xba\xbe";
/** Of the second copy of a LUKS2 header. */
export const SECOND_MAGIC = "SKUL\xba\xbe";

const KeySlot = struct("LUKS1 key slot", "big", {
	active: u32,
	iterations: u32,
	salt: bytes(32),
	/** Sectors. */
	keyMaterialOffset: u32,
	stripes: u32,
});

export const SLOT_ENABLED = 0x00ac71f3;

/** https://gitlab.com/cryptsetup/cryptsetup/-/wikis/LUKS-standard/on-disk-format.pdf, figure 1 */
export const Phdr = struct("LUKS1 header", "big", {
	magic: text(6),
	version: u16,
	cipherName: text(32),
	cipherMode: text(32),
	hashSpec: text(32),
	/** Sectors. */
	payloadOffset: u32,
	keyBytes: u32,
	mkDigest: bytes(20),
	mkDigestSalt: bytes(32),
	mkDigestIterations: u32,
	uuid: text(40),
	keySlots: array(KeySlot.field, 8),
});

/** https://gitlab.com/cryptsetup/LUKS2-docs, section 2.1; the metadata follow as JSON. */
export const BinaryHeader = struct("LUKS2 header", "big", {
	magic: text(6),
	version: u16,
	/** Bytes, with the metadata. */
	hdrSize: u64,
	/** The higher of the two copies' is the newer one. */
	seqid: u64,
	label: text(48),
	csumAlg: text(32),
	salt: bytes(64),
	uuid: text(40),
	subsystem: text(48),
	/** Where this copy stands. */
	hdrOffset: u64,
	padding: bytes(184),
	/** Of `hdrSize` bytes, with this field as zero. */
	csum: bytes(64),
	padding4096: bytes(7 * 512),
});

/** The sizes that a header may have: the second copy stands where the first one ends. Section 2.2. */
export const HEADER_SIZES = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096].map((kibibytes) => kibibytes << 10);
