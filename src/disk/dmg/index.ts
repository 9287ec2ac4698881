import type { DiskFormat } from "../disk.js";
import { TRAILER_SIGNATURE } from "./mark.js";

/** Apple's disk images (UDIF) that are only read, even on macOS; see `layout.ts`. */
export const dmg: DiskFormat = {
	id: "dmg",
	extensions: [".dmg"],
	matches: (_head, tail) => String.fromCharCode(...tail.subarray(0, TRAILER_SIGNATURE.length)) === TRAILER_SIGNATURE,
	variants: [],
	open: async (source) => (await import("./read.js")).openDmg(source),
};
