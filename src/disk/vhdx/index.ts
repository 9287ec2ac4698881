import type { DiskFormat } from "../disk.js";
import { FILE_SIGNATURE, VARIANTS } from "./mark.js";

/** Hyper-V's virtual disk; see `layout.ts` for the specification. */
export const vhdx: DiskFormat = {
	id: "vhdx",
	extensions: [".vhdx", ".avhdx"],
	matches: (head) => String.fromCharCode(...head.subarray(0, FILE_SIGNATURE.length)) === FILE_SIGNATURE,
	variants: VARIANTS,
	open: async (source, neighbours) => (await import("./read.js")).openVhdx(source, neighbours),
	write: async (...given) => (await import("./write.js")).writeVhdx(...given),
	async *check(...given) {
		yield* (await import("./check.js")).checkVhdx(...given);
	},
};
