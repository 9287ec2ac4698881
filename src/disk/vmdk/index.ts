import type { DiskFormat } from "../disk.js";
import { checkVmdk } from "./check.js";
import { isVmdk, openVmdk } from "./read.js";
import { VARIANTS, writeVmdk } from "./write.js";

export { flatDescriptor } from "./descriptor-text.js";
export { contentId, type VmdkWriteOptions } from "./write-options.js";

/** VMware's virtual disk; see `layout.ts` for the specification. */
export const vmdk: DiskFormat = {
	id: "vmdk",
	extensions: [".vmdk"],
	matches: isVmdk,
	variants: VARIANTS,
	open: openVmdk,
	write: writeVmdk,
	check: checkVmdk,
};
