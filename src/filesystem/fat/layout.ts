import { array, bytes, struct, text, u8, u16, u32 } from "../../bytes/struct.js";

// Microsoft Extensible Firmware Initiative FAT32 File System Specification, "FAT: General Overview of On-Disk Format",
// version 1.03: https://download.microsoft.com/download/1/6/1/161ba512-40e2-4cc9-843a-923143f3456c/fatgen103.doc
// Names are the specification's without their BS_, BPB_, DIR_, LDIR_ and FSI_ prefixes.

/** Boot sector and BPB, the part that FAT12, FAT16 and FAT32 share. */
export const BootSector = struct("FAT boot sector", "little", {
	jmpBoot: bytes(3),
	oemName: text(8),
	bytsPerSec: u16,
	secPerClus: u8,
	rsvdSecCnt: u16,
	numFATs: u8,
	rootEntCnt: u16,
	totSec16: u16,
	media: u8,
	fatSz16: u16,
	secPerTrk: u16,
	numHeads: u16,
	hiddSec: u32,
	totSec32: u32,
});

const extended = { drvNum: u8, reserved1: u8, bootSig: u8, volID: u32, volLab: text(11), filSysType: text(8) };

/** From byte 36 where FATSz16 is not zero: FAT12 and FAT16. */
export const Fat16Extension = struct("FAT16 boot sector extension", "little", extended);

/** From byte 36 where FATSz16 is zero: FAT32. */
export const Fat32Extension = struct("FAT32 boot sector extension", "little", {
	fatSz32: u32,
	extFlags: u16,
	fsVer: u16,
	rootClus: u32,
	fsInfo: u16,
	bkBootSec: u16,
	reserved: bytes(12),
	...extended,
});

/** Offset of the two bytes 55 AA, whatever the sector size. */
export const signatureAt = 510;

export const FsInfo = struct("FAT32 FSInfo sector", "little", {
	leadSig: u32,
	reserved1: bytes(480),
	strucSig: u32,
	freeCount: u32,
	nxtFree: u32,
	reserved2: bytes(12),
	trailSig: u32,
});
export const fsInfoSignatures = { leadSig: 0x41615252, strucSig: 0x61417272, trailSig: 0xaa550000 };

export const attribute = {
	readOnly: 0x01,
	hidden: 0x02,
	system: 0x04,
	volumeId: 0x08,
	directory: 0x10,
	archive: 0x20,
	longName: 0x0f,
	longNameMask: 0x3f,
};

export const ShortEntry = struct("FAT directory entry", "little", {
	name: bytes(11),
	attr: u8,
	/** NTRes: Windows NT and Linux mark an all-lower-case base (0x08) and extension (0x10) here. */
	ntRes: u8,
	crtTimeTenth: u8,
	crtTime: u16,
	crtDate: u16,
	lstAccDate: u16,
	fstClusHI: u16,
	wrtTime: u16,
	wrtDate: u16,
	fstClusLO: u16,
	fileSize: u32,
});

export const LongEntry = struct("FAT long name entry", "little", {
	ord: u8,
	name1: array(u16, 5),
	attr: u8,
	type: u8,
	chksum: u8,
	name2: array(u16, 6),
	fstClusLO: u16,
	name3: array(u16, 2),
});

export const entrySize = ShortEntry.size;
/** First byte of an entry that no longer holds a name, and of the entry after which there are none. */
export const deleted = 0xe5;
export const end = 0x00;
/** The most a directory can hold, by the specification: 65536 entries. */
export const directoryLimit = 65536 * entrySize;
