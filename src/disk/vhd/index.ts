import type { DiskFormat } from "../disk.js";
import { FOOTER_COOKIE } from "./layout.js";
import { openVhd } from "./read.js";
import { writeVhd } from "./write.js";

const COOKIE = new TextEncoder().encode(FOOTER_COOKIE);
const beginsWithCookie = (bytes: Uint8Array) => COOKIE.every((byte, i) => bytes[i] === byte);

/** Virtual PC's and Hyper-V's first format. Variants to write: `dynamic` (the default) and `fixed`. */
export const vhd: DiskFormat = {
	id: "vhd",
	extensions: [".vhd"],
	matches: (head, tail) => beginsWithCookie(tail) || beginsWithCookie(head),
	variants: ["dynamic", "fixed"],
	open: openVhd,
	write: writeVhd,
};
