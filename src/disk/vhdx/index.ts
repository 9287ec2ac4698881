import type { DiskFormat } from "../disk.js";
import { checkVhdx } from "./check.js";
import { isVhdx } from "./header.js";
import { openVhdx } from "./read.js";
import { VARIANTS, writeVhdx } from "./write.js";

/** Hyper-V's virtual disk; see `layout.ts` for the specification. */
export const vhdx: DiskFormat = {
	id: "vhdx",
	extensions: [".vhdx", ".avhdx"],
	matches: isVhdx,
	variants: VARIANTS,
	open: openVhdx,
	write: writeVhdx,
	check: checkVhdx,
};
