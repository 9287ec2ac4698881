import type { ByteSource } from "../../bytes/source.js";
import type { Finding } from "../disk.js";
import { BlockMap } from "./block-map.js";
import { readHeader } from "./header.js";
import { Header, PreHeader } from "./layout.js";

/** Looks whether every block lies in the file, and whether the header counts them right. */
export async function* checkVdi(source: ByteSource): AsyncGenerator<Finding> {
	const file = source.name;
	const header = await readHeader(source);
	let used = 0;
	let end = 0;
	for await (const { entry, damage } of new BlockMap(source, header).allocated()) {
		if (damage === undefined) {
			used++;
			end = Math.max(end, entry + 1);
		} else {
			const { message, offset } = damage;
			yield { severity: "error", message, file, ...(offset !== undefined && { offset }) };
		}
	}
	const counted = header.blocksAllocated;
	const offset = PreHeader.size + Header.offsets.cBlocksAllocated;
	if (end > counted) {
		const message = `${file}: ${end} blocks are there, but its header counts ${counted}: VirtualBox will write new ones over them`;
		yield { severity: "error", message, file, offset };
	} else if (used < counted) {
		const message = `${file}: ${counted - used} of ${counted} allocated blocks are not in use`;
		yield { severity: "leak", message, file, offset };
	}
}
