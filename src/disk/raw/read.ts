import { AnyvisorError, damaged } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import type { Disk, Neighbours } from "../disk.js";
import { holding } from "../holding.js";
import { diskOfParts, filePart } from "./parts.js";

/**
 * The first `stored` bytes of the source as a disk; a last partial sector is filled up with zeros. Holes that the source
 * knows of are zero extents; nothing is scanned for others.
 */
export const openRaw = (source: ByteSource, format = "raw", stored = source.size): Disk =>
	diskOfParts({ name: source.name, format }, [filePart(source, stored)]);

/** As many as three digits can number. */
const MOST_PIECES = 999;

/**
 * Opens a raw disk. One that was cut into pieces is put together: `NAME.001`, when there is a `NAME.002` beside it, and
 * so on up to the last one.
 */
export function openWholeRaw(source: ByteSource, neighbours: Neighbours): Promise<Disk> {
	return holding(async (hold) => {
		const stem = /[^/\\:]*(?=\.001$)/.exec(source.name)?.[0];
		if (stem === undefined) return openRaw(source);
		const files = [source];
		while (files.length < MOST_PIECES) {
			const next = await openIfThere(neighbours, `${stem}.${String(files.length + 1).padStart(3, "0")}`);
			if (next === undefined) break;
			files.push(hold(next));
		}
		if (files.length === 1) return openRaw(source);
		checkSizes(files);
		const details = { files: files.length };
		return diskOfParts(
			{ name: source.name, format: "raw/split", details },
			files.map((file) => filePart(file)),
		);
	});
}

async function openIfThere(neighbours: Neighbours, name: string): Promise<ByteSource | undefined> {
	try {
		return await neighbours.open(name);
	} catch (error) {
		// `refused`: the disk came without a folder, and then it is all there is.
		if (error instanceof AnyvisorError && (error.kind === "not-found" || error.kind === "refused")) return undefined;
		throw error;
	}
}

/** Whoever cuts a disk into pieces makes all of them alike, but for what is left for the last. */
function checkSizes(files: readonly ByteSource[]): void {
	const size = files[0]?.size ?? 0;
	const odd = files.find((file, i) => (i === files.length - 1 ? file.size > size : file.size !== size));
	if (odd === undefined) return;
	throw damaged(`${odd.name} has ${odd.size} bytes, but the first piece of the disk has ${size}`, {
		file: odd.name,
		hint: "Fetch the pieces again. If they are disks of their own, give them names that do not end with a number.",
	});
}
