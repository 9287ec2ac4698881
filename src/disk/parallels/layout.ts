/**
 * Parallels' expandable images (.hds), in the names and order of
 * https://www.qemu.org/docs/master/interop/parallels.html. Everything is little-endian.
 */
import { flags64, struct, text, u32 } from "../../bytes/struct.js";

export const SECTOR = 512;

export const Header = struct("Parallels header", "little", {
	magic: text(16),
	version: u32,
	heads: u32,
	cylinders: u32,
	/** Sectors of a cluster: any number, 63 among them. */
	tracks: u32,
	nb_bat_entries: u32,
	/** The high half counts in images with `MAGIC_EXT` only. */
	nb_sectors: flags64,
	in_use: u32,
	data_off: u32,
	flags: u32,
	ext_off: flags64,
});

export const VERSION = 2;
/** `in_use` of an image that somebody has open for writing, or had when the power failed. */
export const IN_USE = 0x746f6e59;

/** The BAT begins right behind the header; an entry of 0 stands for a cluster that is not there. */
export const ENTRY_SIZE = 4;
