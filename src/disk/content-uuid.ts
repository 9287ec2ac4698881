import { hasher } from "../bytes/checksum/index.js";
import type { ByteSink } from "../bytes/sink.js";
import { readUpTo } from "../bytes/source.js";
import type { Disk } from "./disk.js";

/** The beginning of a disk, where its partition table has a unique number. */
const BEGINNING = 64 * 1024;

/**
 * A version 8 UUID (RFC 9562) from the disk's size and beginning and the output's file name: the same disk gives the same
 * file. The name is part of it, since a VM may have several empty disks but must not have two of one id.
 *
 * @param purpose tells the ids of one file apart.
 */
export async function contentUuid(disk: Disk, sink: Pick<ByteSink, "name">, purpose: string): Promise<string> {
	const hash = await hasher("sha256");
	hash.update(
		new TextEncoder().encode(`${purpose} ${sink.name.split(/[/\\]/).at(-1)} ${disk.size} ${disk.salt ?? ""}`),
	);
	hash.update(await readUpTo(disk, 0, BEGINNING));
	const digits = hash.digest();
	return [
		digits.slice(0, 8),
		digits.slice(8, 12),
		`8${digits.slice(13, 16)}`,
		`8${digits.slice(17, 20)}`,
		digits.slice(20, 32),
	].join("-");
}
