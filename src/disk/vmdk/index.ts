import type { DiskFormat } from "../disk.js";
import { kindOf } from "./kind.js";
import { VARIANTS } from "./mark.js";

/** VMware's virtual disk; see `layout.ts` for the specification. */
export const vmdk: DiskFormat = {
	id: "vmdk",
	extensions: [".vmdk"],
	matches: (head) => kindOf(head) !== undefined,
	variants: VARIANTS,
	open: async (source, neighbours) => (await import("./read.js")).openVmdk(source, neighbours),
	write: async (...given) => (await import("./write.js")).writeVmdk(...given),
	async *check(...given) {
		yield* (await import("./check.js")).checkVmdk(...given);
	},
};
