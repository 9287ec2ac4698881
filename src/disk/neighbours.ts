import { refused, unsupported } from "../bytes/errors.js";
import type { ByteSource } from "../bytes/source.js";
import type { Neighbours } from "./disk.js";
import { holding } from "./holding.js";
import { diskFormats, openDisk } from "./registry.js";

const DEEPEST = 10;

/**
 * Neighbours out of one folder and those inside it. `open` gets a name relative to that folder, with "/" between its
 * parts and never a ".." among them.
 *
 * @param depth how many files refer to each other so far, 0 for the one the user named; more than 10 are `refused`, and
 * so is a circle.
 * @param folder of the file that mentions the names, relative to the one the user named; "" is the same.
 */
export function confinedNeighbours(open: (name: string) => Promise<ByteSource>, depth = 0, folder = ""): Neighbours {
	return {
		async open(name) {
			return open(resolve(folder, name));
		},
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
				const path = resolve(folder, name);
				const neighbours = confinedNeighbours(open, depth + 1, path.slice(0, path.lastIndexOf("/") + 1));
				return openDisk(hold(await open(path)), { format, neighbours });
			}),
	};
}

function resolve(folder: string, name: string): string {
	const leaves = (what: string) =>
		refused(`the image refers to "${name}", ${what}`, {
			file: name,
			hint: "Put the file beside the image and name it without a folder (qemu-img rebase -u), or merge both first.",
		});
	// A drive, a URL or a QEMU pseudo-protocol ("json:", "nbd:") comes before a colon.
	if (/^[\\/]|^[\w+.-]+:/.test(name) || name.includes("\0")) throw leaves("which is not a name in its own folder");
	const parts: string[] = [];
	for (const part of `${folder}${name}`.split(/[\\/]/)) {
		if (part === "" || part === ".") continue;
		if (part !== "..") parts.push(part);
		else if (parts.pop() === undefined) throw leaves("which is outside of its folder");
	}
	if (parts.length === 0) throw leaves("which is not a file");
	return parts.join("/");
}
