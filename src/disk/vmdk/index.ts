import type { DiskFormat } from "../disk.js";
import { checkVmdk } from "./check.js";
import { isVmdk, openVmdk } from "./read.js";
import { writeVmdk } from "./write.js";

export { flatDescriptor } from "./descriptor.js";
export { contentId, type VmdkWriteOptions } from "./write.js";

/** VMware's virtual disk; see `layout.ts` for the specification. */
export const vmdk: DiskFormat = {
	id: "vmdk",
	extensions: [".vmdk"],
	matches: isVmdk,
	variants: ["streamOptimized", "monolithicSparse"],
	open: openVmdk,
	write: writeVmdk,
	check: checkVmdk,
};
