import type { DiskFormat } from "../disk.js";
import { openRaw } from "./read.js";
import { writeRaw } from "./write.js";

/** A disk's bytes and nothing else. Nothing marks it, so it is what a disk is when no other format claims it. */
export const raw: DiskFormat = {
	id: "raw",
	extensions: [".img", ".raw"],
	matches: () => true,
	variants: ["plain"],
	open: (source) => Promise.resolve(openRaw(source)),
	write: writeRaw,
};
