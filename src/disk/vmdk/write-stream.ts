import { viewOf } from "../../bytes/struct.js";
import type { Written } from "../disk.js";
import { encodedUnits } from "../encoded.js";
import { Appender } from "../write-behind.js";
import { buildDescriptor } from "./descriptor-text.js";
import {
	COMPRESSION_DEFLATE,
	ENTRIES_PER_TABLE,
	FLAG,
	GD_AT_END,
	GrainMarker,
	MARKER,
	MetadataMarker,
	SECTOR,
	SparseExtentHeader,
} from "./layout.js";
import { type Job, refusePreallocation } from "./write-options.js";
import {
	DESCRIPTOR_OFFSET,
	DESCRIPTOR_SECTORS,
	FILE_LIMIT,
	GrainTableWriter,
	headerOf,
	tooLarge,
	wholeSectors,
} from "./write-sparse.js";

const PADDING = new Uint8Array(SECTOR);
/** Sectors in front of the first grain, as VMware has them. */
const OVERHEAD = 128;

/** Writes compressed grains in strictly ascending order, so that the file can go straight into an archive or a pipe. */
export async function writeStreamOptimized(job: Job): Promise<Written> {
	const { disk, sink, grainSize, options } = job;
	refusePreallocation(job);
	const stream = new Appender(sink);
	const append = (bytes: Uint8Array) => {
		if (stream.position + bytes.length > FILE_LIMIT) throw tooLarge(sink);
		return stream.append(bytes);
	};
	const sector = () => stream.position / SECTOR;
	const header = {
		...headerOf(disk.size, grainSize),
		descriptorOffset: DESCRIPTOR_OFFSET,
		descriptorSize: DESCRIPTOR_SECTORS,
		version: 3,
		flags: FLAG.newLineTest | FLAG.compressed | FLAG.markers,
		overHead: OVERHEAD,
		compressAlgorithm: COMPRESSION_DEFLATE,
	};
	const front = new Uint8Array(OVERHEAD * SECTOR);
	front.set(SparseExtentHeader.build({ ...header, gdOffset: GD_AT_END }));
	const line = { size: disk.size, type: "SPARSE", fileName: "disk.vmdk" } as const;
	const descriptor = buildDescriptor("streamOptimized", [line], job.descriptor);
	front.set(new TextEncoder().encode(descriptor), DESCRIPTOR_OFFSET * SECTOR);
	await append(front);

	const directory = new Uint8Array(wholeSectors(Math.ceil(disk.size / grainSize / ENTRIES_PER_TABLE) * 4));
	const appendMetadata = async (type: number, content: Uint8Array) => {
		await append(MetadataMarker.build({ val: content.length / SECTOR, type }));
		await append(content);
	};
	const tables = new GrainTableWriter(async (index, table) => {
		viewOf(directory).setUint32(index * 4, sector() + 1, true);
		await appendMetadata(MARKER.grainTable, table);
	});
	const encoding = { codec: "zlib", level: options.level } as const;
	try {
		for await (const { index, packed } of encodedUnits(disk, grainSize, encoding, options)) {
			await tables.begin(index);
			tables.set(index, sector());
			await append(GrainMarker.build({ val: (index * grainSize) / SECTOR, size: packed.length }));
			await append(packed);
			await append(PADDING.subarray(0, wholeSectors(stream.position) - stream.position));
		}
		await tables.finish();

		const gdOffset = BigInt(sector() + 1);
		await appendMetadata(MARKER.grainDirectory, directory);
		await appendMetadata(MARKER.footer, SparseExtentHeader.build({ ...header, gdOffset }));
		await append(MetadataMarker.build({ type: MARKER.endOfStream }));
		await stream.finish();
	} finally {
		await stream.settle();
	}
	return { size: stream.position };
}
