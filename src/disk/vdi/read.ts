import { damaged } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import type { Disk, DiskDetails, Neighbours } from "../disk.js";
import { holding } from "../holding.js";
import { mappedDisk } from "../mapped.js";
import { openParent, type ParentLink } from "../parent.js";
import { BlockMap } from "./block-map.js";
import { readHeader, type VdiHeader } from "./header.js";
import { Header, PreHeader, SECTOR } from "./layout.js";

/**
 * Opens a dynamic, static or differencing VDI. A differencing one names its parent by its UUID alone: it is looked for
 * as `{UUID}.vdi` beside it, which is how VirtualBox names all but the first disk of a chain.
 */
export function openVdi(source: ByteSource, neighbours: Neighbours): Promise<Disk> {
	return holding(async (hold) => {
		const header = await readHeader(source);
		const { type, size, parentUuid } = header;
		const below =
			parentUuid === undefined ? undefined : hold(await openParent(neighbours, parentLink(source.name, parentUuid)));
		const map = new BlockMap(source, header);
		return mappedDisk({
			name: source.name,
			size,
			format: `vdi/${type}`,
			sectorSize: SECTOR,
			details: detailsOf(header),
			below,
			runs: (start, end) => map.runs(start, end),
		});
	});
}

function detailsOf({ blockSize, blocksAllocated, uuid, parentUuid, creator, comment }: VdiHeader): DiskDetails {
	return {
		blockSize,
		blocksAllocated,
		uuid,
		...(parentUuid !== undefined && { parentUuid }),
		...(creator !== "" && { creator }),
		...(comment !== "" && { comment }),
	};
}

function parentLink(child: string, uuid: string): ParentLink {
	return {
		child,
		format: "vdi",
		paths: [`{${uuid}}.vdi`],
		verify: (file) => checkUuid(file, uuid),
		hint: `Put the disk there that \`VBoxManage showmediuminfo ${uuid}\` shows, or merge both: VBoxManage clonemedium.`,
	};
}

async function checkUuid(parent: ByteSource, uuid: string): Promise<void> {
	const header = await readHeader(parent);
	if (header.uuid === uuid) return;
	throw damaged(`${parent.name} is the disk ${header.uuid}, not ${uuid}, as its name and its child have it`, {
		file: parent.name,
		offset: PreHeader.size + Header.offsets.uuidCreate,
		hint: "Put the disk of that UUID in its place.",
	});
}
