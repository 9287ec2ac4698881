import { viewOf } from "../../bytes/struct.js";
import type { DiskFormat } from "../disk.js";
import { SIGNATURE, SIGNATURE_OFFSET, VARIANTS } from "./mark.js";

/** VirtualBox's virtual disk; see `layout.ts` for where it is defined. */
export const vdi: DiskFormat = {
	id: "vdi",
	extensions: [".vdi"],
	matches: (head) =>
		head.length >= SIGNATURE_OFFSET + 4 && viewOf(head).getUint32(SIGNATURE_OFFSET, true) === SIGNATURE,
	variants: VARIANTS,
	open: async (source, neighbours) => (await import("./read.js")).openVdi(source, neighbours),
	write: async (...given) => (await import("./write.js")).writeVdi(...given),
	async *check(source) {
		yield* (await import("./check.js")).checkVdi(source);
	},
};
