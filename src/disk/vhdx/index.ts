import type { DiskFormat } from "../disk.js";
import { isVhdx } from "./header.js";
import { openVhdx } from "./read.js";
import { writeVhdx } from "./write.js";

/** Hyper-V's virtual disk; see `layout.ts` for the specification. */
export const vhdx: DiskFormat = {
	id: "vhdx",
	extensions: [".vhdx"],
	matches: isVhdx,
	variants: ["dynamic", "fixed"],
	open: openVhdx,
	write: writeVhdx,
};
