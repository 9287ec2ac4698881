import type { DiskFormat } from "../disk.js";
import { isDescriptor, MAGIC, MAGIC_EXT } from "./mark.js";

/** The disks of Parallels Desktop and Virtuozzo: expanding, plain and split; see `layout.ts` and `descriptor.ts`. */
export const parallels: DiskFormat = {
	id: "parallels",
	extensions: [".hdd", ".hds"],
	// A plain image has nothing that marks it.
	matches(head) {
		const magic = String.fromCharCode(...head.subarray(0, MAGIC.length));
		return magic === MAGIC || magic === MAGIC_EXT || isDescriptor(head);
	},
	variants: [],
	open: async (source, neighbours) => (await import("./read.js")).openParallels(source, neighbours),
};
