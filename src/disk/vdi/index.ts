import type { DiskFormat } from "../disk.js";
import { checkVdi } from "./check.js";
import { isVdi, openVdi } from "./read.js";
import { VARIANTS, writeVdi } from "./write.js";

/** VirtualBox's virtual disk; see `layout.ts` for where it is defined. */
export const vdi: DiskFormat = {
	id: "vdi",
	extensions: [".vdi"],
	matches: isVdi,
	variants: VARIANTS,
	open: openVdi,
	write: writeVdi,
	check: checkVdi,
};
