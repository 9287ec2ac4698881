import { refused, unsupported } from "../bytes/errors.js";
import type { ByteSource } from "../bytes/source.js";
import { leadOf, type OpenNeighbour, outside } from "../source/confine.js";
import type { Neighbours } from "./disk.js";
import { holding } from "./holding.js";
import { diskFormats, openDisk } from "./registry.js";

const DEEPEST = 10;

/**
 * Neighbours out of one folder and those inside it. Names that lead out of it are `refused`, unless `open` has a way to
 * what the user allows; so are more than 10 files that refer to each other, and with that a circle.
 */
export const confinedNeighbours = (open: OpenNeighbour): Neighbours => neighboursAt(open, 0, "");

/**
 * @param depth how many files refer to each other so far, 0 for the one the user named
 * @param folder of the file that mentions the names, relative to the one the user named; "" is the same
 */
function neighboursAt(open: OpenNeighbour, depth: number, folder: string): Neighbours {
	const openAt = async ({ path, inside }: ReturnType<typeof leadOf>, mention: string): Promise<ByteSource> => {
		if (inside) return open(path);
		if (open.elsewhere === undefined) throw outside(mention, "the image's folder", path);
		return open.elsewhere(path, mention);
	};
	return {
		open: async (name) => openAt(leadOf(folder, name), name),
		openDisk: (name, format) =>
			holding(async (hold) => {
				if (depth >= DEEPEST) {
					throw refused(`more than ${DEEPEST} images refer to each other; the last one is "${name}"`, {
						file: name,
						hint: "See whether they refer to each other in a circle, and merge them: qemu-img convert.",
					});
				}
				if (format !== undefined && !diskFormats.some(({ id }) => id === format)) {
					throw unsupported(`"${name}" is said to be of the format "${format}", which is not supported`, {
						file: name,
						hint: "Merge the image with the file it refers to: qemu-img convert.",
					});
				}
				const lead = leadOf(folder, name);
				const neighbours = neighboursAt(open, depth + 1, lead.path.slice(0, lead.path.lastIndexOf("/") + 1));
				return openDisk(hold(await openAt(lead, name)), { format, neighbours });
			}),
	};
}
