import type { DiskFormat } from "../disk.js";
import { isParallels, openParallels } from "./read.js";

/** The disks of Parallels Desktop and Virtuozzo: expanding, plain and split; see `layout.ts` and `descriptor.ts`. */
export const parallels: DiskFormat = {
	id: "parallels",
	extensions: [".hdd", ".hds"],
	matches: isParallels,
	variants: [],
	open: openParallels,
};
