import type { DiskFormat } from "../disk.js";
import { checkVhd } from "./check.js";
import { FOOTER_COOKIE } from "./layout.js";
import { openVhd } from "./read.js";
import { VARIANTS, writeVhd } from "./write.js";

const COOKIE = new TextEncoder().encode(FOOTER_COOKIE);
const hasCookie = (bytes: Uint8Array, at: number) => COOKIE.every((byte, i) => bytes[at + i] === byte);

/** Virtual PC's and Hyper-V's first format. Variants to write: `dynamic` (the default) and `fixed`. */
export const vhd: DiskFormat = {
	id: "vhd",
	extensions: [".vhd", ".avhd"],
	// Before Virtual PC 2004, footers had 511 bytes.
	matches: (head, tail) => hasCookie(tail, 0) || hasCookie(tail, 1) || hasCookie(head, 0),
	variants: VARIANTS,
	open: openVhd,
	write: writeVhd,
	check: checkVhd,
};
