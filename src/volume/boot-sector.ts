import { struct, text, u8, u16 } from "../bytes/struct.js";

/**
 * What the first sector of a FAT or NTFS file system begins with: a jump, then the BIOS parameter block. Such a sector
 * ends with the same signature as an MBR, and what stands where an MBR has its partitions is program code.
 * Microsoft, "FAT: General Overview of On-Disk Format", section "Boot Sector and BPB".
 */
const BiosParameterBlock = struct("BIOS parameter block", "little", {
	BS_jmpBoot0: u8,
	BS_jmpBoot1: u8,
	BS_jmpBoot2: u8,
	BS_OEMName: text(8),
	BPB_BytsPerSec: u16,
	BPB_SecPerClus: u8,
	BPB_RsvdSecCnt: u16,
	BPB_NumFATs: u8,
	BPB_RootEntCnt: u16,
	BPB_TotSec16: u16,
	BPB_Media: u8,
});

const isPowerOfTwo = (value: number) => value !== 0 && (value & (value - 1)) === 0;

/**
 * Whether `sector` is the boot sector of a FAT, exFAT or NTFS file system that fills the whole disk. GRUB's own boot
 * sector begins with the same jump and leaves room for these fields; there they are zero.
 */
export function isFileSystemBootSector(sector: Uint8Array): boolean {
	const block = BiosParameterBlock.parse(sector);
	if (block.BS_jmpBoot0 !== 0xeb && block.BS_jmpBoot0 !== 0xe9) return false;
	if (block.BS_OEMName === "NTFS    " || block.BS_OEMName === "EXFAT   ") return true;
	return (
		isPowerOfTwo(block.BPB_BytsPerSec) &&
		block.BPB_BytsPerSec >= 512 &&
		block.BPB_BytsPerSec <= 4096 &&
		isPowerOfTwo(block.BPB_SecPerClus) &&
		block.BPB_RsvdSecCnt !== 0 &&
		(block.BPB_NumFATs === 1 || block.BPB_NumFATs === 2) &&
		(block.BPB_Media === 0xf0 || block.BPB_Media >= 0xf8)
	);
}
