import type { DiskFormat } from "../disk.js";
import { openWholeRaw } from "./read.js";
import { VARIANTS, writeRaw } from "./write.js";

/** A disk's bytes and nothing else. Nothing marks it, so it is what a disk is when no other format claims it. */
export const raw: DiskFormat = {
	id: "raw",
	extensions: [".img", ".raw"],
	matches: () => true,
	variants: VARIANTS,
	open: openWholeRaw,
	write: writeRaw,
};
