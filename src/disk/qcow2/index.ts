import { viewOf } from "../../bytes/struct.js";
import type { DiskFormat } from "../disk.js";
import { MAGIC } from "./mark.js";

/**
 * QEMU's copy-on-write images, versions 2 and 3. Variants to write: `plain` (the default) and `compressed`.
 */
export const qcow2: DiskFormat = {
	id: "qcow2",
	extensions: [".qcow2"],
	// Version 1 shares the magic; opening says that it is not supported.
	matches: (head) => head.length >= 8 && viewOf(head).getUint32(0) === MAGIC,
	variants: ["plain", "compressed"],
	open: async (...given) => (await import("./read.js")).openQcow2(...given),
	write: async (...given) => (await import("./write.js")).writeQcow2(...given),
	async *check(source) {
		yield* (await import("./check.js")).checkQcow2(source);
	},
};
