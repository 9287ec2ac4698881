import { createHash } from "node:crypto";

/** The same for the same guest and purpose. */
export function uuidOf(guest, purpose) {
	const hex = createHash("sha256").update(`${guest} ${purpose}`).digest("hex");
	return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** A FAT volume's, in the form of /dev/disk/by-uuid. */
export function fatIdOf(guest) {
	const digits = uuidOf(guest, "esp").slice(0, 8).toUpperCase();
	return `${digits.slice(0, 4)}-${digits.slice(4)}`;
}
