/**
 * Binary layouts of Proxmox VE's backup of a VM, in the names and order of its specification, vma_spec.txt of pve-qemu:
 * https://git.proxmox.com/?p=pve-qemu.git;a=blob;f=vma_spec.txt;hb=refs/heads/stable-5. Everything but the length of a blob
 * is big-endian.
 */
import { bytes, struct, u8, u16, u32, u64 } from "../../bytes/struct.js";

export const BLOCK = 4096;
/** Of this size are the units that a backup lists: 16 blocks, of which those of zeros are left out. */
export const CLUSTER = 16 * BLOCK;
export const ALL_BLOCKS = 0xffff;
export const CLUSTERS_PER_EXTENT = 59;
/** Devices and configurations have a place each in a table; place 0 of the devices is never used. */
export const TABLE = 256;

export const MAGIC = 0x564d_4100;
export const VERSION = 1;

/** Of a header without blobs. The checksum is of the whole header, with this field zero. */
export const Header = struct("VMA header", "big", {
	magic: u32,
	version: u32,
	uuid: bytes(16),
	ctime: u64,
	md5sum: bytes(16),
	blob_buffer_offset: u32,
	blob_buffer_size: u32,
	header_size: u32,
	reserved: bytes(1984),
	/** Offsets into the blob buffer; 0 is none. */
	config_names: bytes(TABLE * 4),
	config_data: bytes(TABLE * 4),
	reserved1: bytes(4),
	dev_info: bytes(TABLE * 32),
});

export const DeviceInfo = struct("VMA device", "big", {
	/** Offset into the blob buffer. */
	devname_ptr: u32,
	reserved0: u32,
	/** In bytes. */
	size: u64,
	reserved1: u64,
	reserved2: u64,
});

export const EXTENT_MAGIC = 0x564d_4145;

/** Before the blocks of up to 59 clusters. The checksum is of it alone, with this field zero. */
export const ExtentHeader = struct("VMA extent header", "big", {
	magic: u32,
	reserved1: u16,
	/** Blocks that follow. */
	block_count: u16,
	uuid: bytes(16),
	md5sum: bytes(16),
	blockinfo: bytes(CLUSTERS_PER_EXTENT * 8),
});

export const BlockInfo = struct("VMA block info", "big", {
	/** A bit for each block that is there, the lowest for the first. */
	mask: u16,
	reserved: u8,
	/** 0 in places that are not used. */
	dev_id: u8,
	cluster_num: u32,
});

/** Before a blob, which the offset of it points at. */
export const BlobLength = struct("VMA blob length", "little", { length: u16 });
