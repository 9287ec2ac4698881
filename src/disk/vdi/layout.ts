/**
 * Binary layouts of VirtualBox's VDI, in the names and order of its defining header file, whose versions 1.1 and "1.1+"
 * differ only in the last field: https://www.virtualbox.org/browser/vbox/trunk/src/VBox/Storage/VDICore.h. Everything is
 * little-endian.
 */
import { bytes, guid, struct, text, u32, u64 } from "../../bytes/struct.js";
import { SIGNATURE_OFFSET } from "./mark.js";

export const SECTOR = 512;

export const PreHeader = struct("VDI pre-header", "little", {
	szFileInfo: text(SIGNATURE_OFFSET),
	u32Signature: u32,
	u32Version: u32,
});
/** The high half is the major, the low half the minor number. */
export const VERSION = 0x0001_0001;
/** "Just text", but one that other programs look for. */
export const FILE_INFO = "<<< Oracle VM VirtualBox Disk Image >>>\n";

const Geometry = struct("VDI disk geometry", "little", { cCylinders: u32, cHeads: u32, cSectors: u32, cbSector: u32 });
/** Leaves it to whoever opens the image to work out cylinders, heads and sectors. */
export const NO_GEOMETRY = { cCylinders: 0, cHeads: 0, cSectors: 0, cbSector: SECTOR };

/** Right behind {@link PreHeader}. */
export const Header = struct("VDI header", "little", {
	cbHeader: u32,
	u32Type: u32,
	fFlags: u32,
	/** UTF-8 */
	szComment: bytes(256),
	offBlocks: u32,
	offData: u32,
	legacyGeometry: Geometry.field,
	u32Dummy: u32,
	cbDisk: u64,
	cbBlock: u32,
	/** What lies before the data of each block. */
	cbBlockExtra: u32,
	cBlocks: u32,
	cBlocksAllocated: u32,
	uuidCreate: guid,
	uuidModify: guid,
	/** Of a differencing image: its parent's `uuidCreate`, and `uuidModify` as it was then. */
	uuidLinkage: guid,
	uuidParentModify: guid,
});

/** What version 1.1+ adds; it tells itself by `cbHeader`. */
export const HeaderPlus = struct("VDI 1.1+ header", "little", { lchsGeometry: Geometry.field });

export const TYPE = { dynamic: 1, static: 2, undo: 3, differencing: 4 } as const;

/** Bytes of an entry of the block map, which is the number of a block in the data area, or one of these two. */
export const ENTRY_SIZE = 4;
/** The block is left to the parent; without one it reads as zero. */
export const BLOCK_FREE = 0xffff_ffff;
export const BLOCK_ZERO = 0xffff_fffe;

/** Bytes of a block: the only size that QEMU and 7-Zip read, and VirtualBox's own default. */
export const BLOCK = 1024 * 1024;
/** What QEMU opens at most; it is a little less than 512 TiB. */
export const BLOCKS_LIMIT = 0x1fff_ff80;
