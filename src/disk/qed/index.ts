import { viewOf } from "../../bytes/struct.js";
import type { DiskFormat } from "../disk.js";
import { MAGIC } from "./mark.js";

/** QEMU's enhanced disk format, which qcow2 version 3 replaced. */
export const qed: DiskFormat = {
	id: "qed",
	extensions: [".qed"],
	matches: (head) => head.length >= 4 && viewOf(head).getUint32(0, true) === MAGIC,
	variants: [],
	open: async (source, neighbours) => (await import("./read.js")).openQed(source, neighbours),
};
