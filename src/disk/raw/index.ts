import type { DiskFormat } from "../disk.js";

/** A disk's bytes and nothing else. Nothing marks it, so it is what a disk is when no other format claims it. */
export const raw: DiskFormat = {
	id: "raw",
	extensions: [".img", ".raw"],
	matches: () => true,
	variants: ["plain"],
	open: async (source, neighbours) => (await import("./read.js")).openWholeRaw(source, neighbours),
	write: async (...given) => (await import("./write.js")).writeRaw(...given),
};
