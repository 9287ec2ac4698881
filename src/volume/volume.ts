import type { ByteSource } from "../bytes/source.js";

/** A partition, an LVM logical volume, a RAID array, an encrypted volume in the clear, or a whole disk that carries a file system. */
export interface Volume {
	/** Position on its disk as Linux numbers it: partition 1, 2, … 5 and up for logical ones; 0 for the whole disk. */
	readonly number: number;
	readonly scheme: "gpt" | "mbr" | "bsd" | "whole-disk" | "lvm2" | "md" | "luks";
	/** Byte offset on the disk; 0 where it was assembled. */
	readonly at: number;
	readonly size: number;
	/** GPT type GUID (lower case), or MBR or BSD type as two hex digits. */
	readonly type: string;
	/** PARTUUID as Linux spells it: the GPT partition GUID, or `<disk signature>-<number>` for MBR. */
	readonly partUuid?: string;
	/** GPT partition name. */
	readonly label?: string;
	/** MBR active flag, or GPT legacy-BIOS-bootable attribute. */
	readonly bootable: boolean;
	/** Only of what was assembled from other volumes. */
	readonly assembled?: {
		/** The volumes that it lies on. */
		readonly from: readonly Volume[];
		/** The device nodes that Linux gives it, the usual one first: `/dev/vg/root`, `/dev/mapper/vg-root`. */
		readonly devices: readonly string[];
	};
	/** The bytes; a store when the disk is one. */
	readonly source: ByteSource;
}

/** Reads one partitioning scheme. `undefined` means "not mine". */
export interface VolumeScheme {
	readonly id: Volume["scheme"];
	/** `sectorSize` in bytes, from the disk. */
	read(disk: ByteSource, sectorSize: number): Promise<readonly Volume[] | undefined>;
}
