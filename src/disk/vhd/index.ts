import type { DiskFormat } from "../disk.js";
import { FOOTER_COOKIE, VARIANTS } from "./mark.js";

const COOKIE = new TextEncoder().encode(FOOTER_COOKIE);
const hasCookie = (bytes: Uint8Array, at: number) => COOKIE.every((byte, i) => bytes[at + i] === byte);

/** Virtual PC's and Hyper-V's first format. Variants to write: `dynamic` (the default) and `fixed`. */
export const vhd: DiskFormat = {
	id: "vhd",
	extensions: [".vhd", ".avhd"],
	// Before Virtual PC 2004, footers had 511 bytes.
	matches: (head, tail) => hasCookie(tail, 0) || hasCookie(tail, 1) || hasCookie(head, 0),
	variants: VARIANTS,
	open: async (source, neighbours) => (await import("./read.js")).openVhd(source, neighbours),
	write: async (...given) => (await import("./write.js")).writeVhd(...given),
	async *check(...given) {
		yield* (await import("./check.js")).checkVhd(...given);
	},
};
