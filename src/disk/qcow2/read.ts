import { unsupported } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import type { Disk, DiskDetails, Neighbours, OpenOptions } from "../disk.js";
import { holding } from "../holding.js";
import { mappedDisk } from "../mapped.js";
import { ClusterMap } from "./cluster-map.js";
import { checkReadable, type Qcow2Header, readHeader } from "./header.js";
import { findSnapshot, readSnapshots } from "./snapshots.js";

export function openQcow2(source: ByteSource, neighbours: Neighbours, { snapshot }: OpenOptions = {}): Promise<Disk> {
	return holding(async (hold) => {
		const { name } = source;
		const header = await readHeader(source);
		checkReadable(name, header);
		const { snapshots } = await readSnapshots(source, header);
		const chosen = snapshot === undefined ? undefined : findSnapshot(name, snapshots, snapshot);
		const { size } = chosen?.snapshot ?? header;
		const { l1 } = chosen ?? header;

		const { backing, dataFile } = header;
		const data = dataFile === undefined ? source : hold(await neighbours.open(nameOf(name, dataFile)));
		const clusters = await ClusterMap.open(source, header, { size, l1 }, data);
		const below = backing === undefined ? undefined : hold(await neighbours.openDisk(backing.name, backing.format));
		return mappedDisk({
			name,
			size,
			format: "qcow2",
			sectorSize: 512,
			details: detailsOf(header),
			snapshots: snapshots.map(({ snapshot }) => snapshot),
			below,
			runs: (start, end) => clusters.runs(start, end),
		});
	});
}

function nameOf(file: string, dataFile: { readonly name: string | undefined }): string {
	if (dataFile.name !== undefined) return dataFile.name;
	throw unsupported(`${file}: its data lies in another file, and the image does not say in which`, {
		file,
		hint: "Store the name in the image: qemu-img amend -o data_file=NAME.",
	});
}

function detailsOf(header: Qcow2Header): DiskDetails {
	const { backing, dataFile } = header;
	return {
		version: header.version,
		clusterSize: header.clusterSize,
		compression: header.compression === "zstd" ? "zstd" : "zlib",
		refcountBits: header.refcounts.bits,
		lazyRefcounts: header.lazyRefcounts,
		dirty: header.dirty,
		extendedL2: header.extendedL2,
		...(backing && { backingFile: backing.name }),
		...(backing?.format !== undefined && { backingFormat: backing.format }),
		...(dataFile?.name !== undefined && { dataFile: dataFile.name, rawDataFile: dataFile.raw }),
	};
}
