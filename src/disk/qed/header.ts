import { damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { BACKING_NAME_LIMIT, CLUSTER_SIZE, ENTRY_SIZE, Features, Header, TABLE_SIZE } from "./layout.js";
import { MAGIC } from "./mark.js";

/** A header whose values are in their ranges. */
export interface QedHeader {
	readonly clusterSize: number;
	/** Of one L1 or L2 table, in bytes. */
	readonly tableLength: number;
	/** Where the regular clusters begin, in bytes. */
	readonly dataAt: number;
	/** Virtual size in bytes, whole sectors. */
	readonly size: number;
	readonly l1At: number;
	readonly needsCheck: boolean;
	/** `format` is undefined where the image leaves it to be recognised. */
	readonly backing: { readonly name: string; readonly format: "raw" | undefined } | undefined;
}

const KNOWN_FEATURES = Object.values(Features).reduce((all, bit) => all | bit, 0n);

export async function readHeader(source: ByteSource): Promise<QedHeader> {
	const file = source.name;
	const at = Header.offsets;
	const fail = (field: keyof typeof at, message: string) =>
		damaged(`${file}: ${message}`, {
			file,
			offset: at[field],
			hint: "The header of this QED image is damaged: fetch the file again, or look at it with qemu-img check.",
		});

	const header = Header.parse(await readBytes(source, 0, Header.size), 0, file);
	if (header.magic !== MAGIC) throw fail("magic", "this is not a QED image");
	const unknown = header.features & ~KNOWN_FEATURES;
	if (unknown !== 0n) {
		throw unsupported(`${file}: it needs features that are not known here (bits 0x${unknown.toString(16)})`, {
			file,
			offset: at.features,
			hint: "Convert it first: qemu-img convert -f qed -O qcow2.",
		});
	}
	const { cluster_size: clusterSize, table_size: tableSize, image_size: size } = header;
	const powerOfTwo = (value: number, { min, max }: { min: number; max: number }) =>
		value >= min && value <= max && Number.isInteger(Math.log2(value));
	if (!powerOfTwo(clusterSize, CLUSTER_SIZE)) throw fail("cluster_size", `it has clusters of ${clusterSize} bytes`);
	if (!powerOfTwo(tableSize, TABLE_SIZE)) throw fail("table_size", `it has tables of ${tableSize} clusters`);
	const tableLength = tableSize * clusterSize;
	const entries = tableLength / ENTRY_SIZE;
	if (size % 512 !== 0 || size / clusterSize / entries > entries) {
		throw fail("image_size", `its tables cannot describe a disk of ${size} bytes`);
	}
	if (header.l1_table_offset % clusterSize !== 0) {
		throw fail("l1_table_offset", `the L1 table at ${header.l1_table_offset} is not at the start of a cluster`);
	}

	const { backing_filename_offset: nameAt, backing_filename_size: nameSize } = header;
	const has = (feature: bigint) => (header.features & feature) !== 0n;
	if (has(Features.backingFile) && nameSize > BACKING_NAME_LIMIT) {
		throw fail("backing_filename_size", `the backing file's name of ${nameSize} bytes is too long`);
	}
	const backing = has(Features.backingFile) && {
		name: new TextDecoder().decode(await readBytes(source, nameAt, nameSize)),
		format: has(Features.backingFormatNoProbe) ? ("raw" as const) : undefined,
	};
	return {
		clusterSize,
		tableLength,
		dataAt: header.header_size * clusterSize,
		size,
		l1At: header.l1_table_offset,
		needsCheck: has(Features.needCheck),
		backing: backing || undefined,
	};
}
