import { AnyvisorError } from "../bytes/errors.js";
import { checkRange } from "../bytes/source.js";
import { readBelow } from "./backing.js";
import type { Disk, Extent } from "./disk.js";
import { joined } from "./sparse.js";

/**
 * `disk` with `size` bytes, those behind its end zero. It is closed together with `disk`.
 *
 * @throws `usage` for a size that is smaller than the disk, or not whole sectors
 */
export function resized(disk: Disk, size: number): Disk {
	const { name, format, sectorSize, details, snapshots } = disk;
	if (!Number.isSafeInteger(size) || size % sectorSize !== 0) {
		throw new AnyvisorError("usage", `a disk of ${size} bytes is not possible: its sectors have ${sectorSize} bytes`, {
			hint: `Choose a multiple of ${sectorSize}.`,
		});
	}
	if (size < disk.size) {
		throw new AnyvisorError("usage", `${name} holds ${disk.size} bytes, and ${size} would cut off its end`, {
			file: name,
			hint: "A disk can only grow here; shrink its file systems and partitions first, inside of the guest.",
		});
	}
	return {
		name,
		size,
		format,
		sectorSize,
		...(details && { details }),
		...(snapshots && { snapshots }),
		async read(at, into) {
			checkRange({ name, size }, at, into.length);
			await readBelow(disk, at, into);
		},
		extents: () => joined(extentsUpTo(disk, size)),
		...(disk[Symbol.asyncDispose] && {
			[Symbol.asyncDispose]: () => disk[Symbol.asyncDispose]?.() ?? Promise.resolve(),
		}),
	};
}

async function* extentsUpTo(disk: Disk, size: number): AsyncGenerator<Extent> {
	yield* disk.extents();
	yield { at: disk.size, length: size - disk.size, kind: "zero" };
}
