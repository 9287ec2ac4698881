import { AnyvisorError, damaged, refused, unsupported } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import { checkRange, readBytes, readUpTo } from "../../bytes/source.js";
import type { Value } from "../../bytes/struct.js";
import { wordsOf } from "../../bytes/words.js";
import { type Extensions, readExtensions } from "./extensions.js";
import {
	Autoclear,
	BACKING_NAME_LIMIT,
	CLUSTER_BITS,
	COMPRESSION_TYPES,
	Compatible,
	CRYPT_METHODS,
	ENTRY_SIZE,
	EXTENDED_CLUSTER_BITS,
	EXTENDED_ENTRY_SIZE,
	Header,
	HeaderV3,
	Incompatible,
	L1_LIMIT,
	REFCOUNT_ORDER,
	REFCOUNT_TABLE_LIMIT,
	V3_LENGTH,
} from "./layout.js";
import { MAGIC } from "./mark.js";

/** A header whose values are in their ranges; where they point at has not been looked at. */
export interface Qcow2Header {
	readonly version: 2 | 3;
	readonly clusterSize: number;
	/** `log2` of {@link clusterSize}. */
	readonly clusterBits: number;
	/** Bytes of an L2 entry, and the bytes of the disk that one L2 table describes. */
	readonly entrySize: number;
	readonly tableSpan: number;
	/** Virtual size in bytes, whole sectors. */
	readonly size: number;
	readonly l1: L1Place;
	readonly refcounts: { readonly at: number; readonly clusters: number; readonly bits: number };
	readonly snapshots: { readonly at: number; readonly count: number };
	readonly compression: (typeof COMPRESSION_TYPES)[number];
	readonly encryption: (typeof CRYPT_METHODS)[number];
	readonly dirty: boolean;
	readonly corrupt: boolean;
	readonly lazyRefcounts: boolean;
	readonly extendedL2: boolean;
	/** `format` is undefined where the image leaves it to be recognised. */
	readonly backing: { readonly name: string; readonly format: string | undefined } | undefined;
	/** The file that holds the guest's clusters instead of this one; it may be that the image does not name it. */
	readonly dataFile: { readonly name: string | undefined; readonly raw: boolean } | undefined;
	/** Undefined also where a program that knows no bitmaps has made them stale. */
	readonly bitmaps: Extensions["bitmaps"];
	readonly encryptionHeader: Extensions["encryptionHeader"];
}

export interface L1Place {
	readonly at: number;
	readonly entries: number;
}

const KNOWN_FEATURES = Object.values(Incompatible).reduce((all, bit) => all | bit, 0n);

/** QEMU's driver names that Anyvisor calls otherwise. */
export const DRIVER_NAMES: Readonly<Record<string, string>> = wordsOf({ vpc: "vhd" });

export async function readHeader(source: ByteSource): Promise<Qcow2Header> {
	const file = source.name;
	const header = Header.parse(await readBytes(source, 0, Header.size), 0, file);
	const { version, clusterBits, encryption } = checkBasics(file, header);
	const features = version === 3 ? await readFeatures(source) : VERSION_2;
	const { incompatible, refcountOrder } = features;
	const clusterSize = 2 ** clusterBits;
	const extendedL2 = (incompatible & Incompatible.extendedL2) !== 0n;
	const entrySize = extendedL2 ? EXTENDED_ENTRY_SIZE : ENTRY_SIZE;
	const tableSpan = clusterSize * (clusterSize / entrySize);
	const size = Math.floor(header.size / 512) * 512;
	checkTables(file, header, { clusterSize, extendedL2, needed: Math.ceil(size / tableSpan) });

	const extensions = await readExtensions(source, features.length, clusterSize);
	const autoclear = (bit: bigint) => (features.autoclear & bit) !== 0n;
	return {
		version,
		clusterSize,
		clusterBits,
		entrySize,
		tableSpan,
		size,
		l1: { at: header.l1_table_offset, entries: header.l1_size },
		refcounts: {
			at: header.refcount_table_offset,
			clusters: header.refcount_table_clusters,
			bits: 2 ** refcountOrder,
		},
		snapshots: { at: header.snapshots_offset, count: header.nb_snapshots },
		compression: features.compression,
		encryption,
		dirty: (incompatible & Incompatible.dirty) !== 0n,
		corrupt: (incompatible & Incompatible.corrupt) !== 0n,
		lazyRefcounts: (features.compatible & Compatible.lazyRefcounts) !== 0n,
		extendedL2,
		backing: await readBacking(source, header, extensions.backingFormat),
		dataFile:
			(incompatible & Incompatible.externalData) === 0n
				? undefined
				: { name: extensions.dataFile, raw: autoclear(Autoclear.rawExternalData) },
		bitmaps: autoclear(Autoclear.bitmaps) ? extensions.bitmaps : undefined,
		encryptionHeader: extensions.encryptionHeader,
	};
}

/** Throws where the guest's data cannot or should not be read, although the header is sound. */
export function checkReadable(file: string, header: Qcow2Header): void {
	if (header.encryption !== "none") {
		throw refused(`${file}: this qcow2 is encrypted (${header.encryption})`, {
			file,
			offset: Header.offsets.crypt_method,
			hint: "Decrypt it first: qemu-img convert with the secret, to an image without encryption.",
		});
	}
	if (header.corrupt) {
		throw damaged(`${file}: QEMU has marked this image as corrupt`, {
			file,
			offset: Header.size + HeaderV3.offsets.incompatible_features,
			hint: "Repair a copy of it: qemu-img check -r all.",
		});
	}
}

const failure = (file: string, offset: number, message: string) =>
	damaged(`${file}: ${message}`, {
		file,
		offset,
		hint: "The header of this qcow2 is damaged: fetch the file again, or look at it with qemu-img check.",
	});

function checkBasics(file: string, header: Value<typeof Header>) {
	const at = Header.offsets;
	if (header.magic !== MAGIC) throw failure(file, at.magic, "this is not a qcow2");
	const { version, cluster_bits: clusterBits } = header;
	if (version !== 2 && version !== 3) {
		throw unsupported(`${file}: qcow version ${version} is not supported, only 2 and 3 are`, {
			file,
			offset: at.version,
			hint: "Convert it first: qemu-img convert -O qcow2.",
		});
	}
	const encryption = CRYPT_METHODS[header.crypt_method];
	if (encryption === undefined) {
		throw unsupported(`${file}: this qcow2 is encrypted by a method that is not known (${header.crypt_method})`, {
			file,
			offset: at.crypt_method,
		});
	}
	if (clusterBits < CLUSTER_BITS.min || clusterBits > CLUSTER_BITS.max) {
		throw failure(file, at.cluster_bits, `a cluster of 2^${clusterBits} bytes is outside of 512 bytes to 2 MiB`);
	}
	return { version, clusterBits, encryption } as const;
}

function checkTables(
	file: string,
	header: Value<typeof Header>,
	{ clusterSize, extendedL2, needed }: { clusterSize: number; extendedL2: boolean; needed: number },
): void {
	const at = Header.offsets;
	const fail = (offset: number, message: string) => failure(file, offset, message);
	if (extendedL2 && clusterSize < 2 ** EXTENDED_CLUSTER_BITS) {
		throw fail(at.cluster_bits, `clusters of ${clusterSize} bytes are too small for subclusters`);
	}
	if (header.l1_size * ENTRY_SIZE > L1_LIMIT) {
		throw fail(at.l1_size, `an L1 table of ${header.l1_size} entries exceeds the limit of 32 MiB`);
	}
	if (header.l1_size < needed) {
		throw fail(at.l1_size, `the L1 table has ${header.l1_size} entries, but ${header.size} bytes need ${needed}`);
	}
	if (header.refcount_table_clusters * clusterSize > REFCOUNT_TABLE_LIMIT) {
		const what = `a refcount table of ${header.refcount_table_clusters} clusters exceeds the limit of 8 MiB`;
		throw fail(at.refcount_table_clusters, what);
	}
	for (const [field, what] of [
		["l1_table_offset", "L1 table"],
		["refcount_table_offset", "refcount table"],
		["snapshots_offset", "snapshot table"],
	] as const) {
		if (header[field] % clusterSize === 0) continue;
		throw fail(at[field], `the ${what} at ${header[field]} is not at the start of a cluster`);
	}
}

async function readBacking(
	source: ByteSource,
	{ backing_file_offset: offset, backing_file_size: length }: Value<typeof Header>,
	format: string | undefined,
): Promise<Qcow2Header["backing"]> {
	if (offset === 0 || length === 0) return undefined;
	if (length > BACKING_NAME_LIMIT) {
		const what = `the backing file's name of ${length} bytes is too long`;
		throw failure(source.name, Header.offsets.backing_file_size, what);
	}
	checkRange(source, offset, length);
	return {
		name: new TextDecoder().decode(await readBytes(source, offset, length)),
		format: format === undefined ? undefined : (DRIVER_NAMES[format] ?? format),
	};
}

interface Features {
	readonly incompatible: bigint;
	readonly compatible: bigint;
	readonly autoclear: bigint;
	readonly compression: Qcow2Header["compression"];
	readonly refcountOrder: number;
	/** Where the header ends and its extensions begin. */
	readonly length: number;
}

const VERSION_2: Features = {
	incompatible: 0n,
	compatible: 0n,
	autoclear: 0n,
	compression: "deflate",
	refcountOrder: REFCOUNT_ORDER.version2,
	length: Header.size,
};

async function readFeatures(source: ByteSource): Promise<Features> {
	const file = source.name;
	checkRange(source, 0, V3_LENGTH);
	const padded = new Uint8Array(HeaderV3.size);
	padded.set(await readUpTo(source, Header.size, HeaderV3.size));
	const header = HeaderV3.parse(padded, 0, file, Header.size);
	const fail = (field: keyof typeof HeaderV3.offsets, kind: "damaged" | "unsupported", what: string, hint?: string) =>
		new AnyvisorError(kind, `${file}: ${what}`, {
			file,
			offset: Header.size + HeaderV3.offsets[field],
			...(hint !== undefined && { hint }),
		});

	const unknown = header.incompatible_features & ~KNOWN_FEATURES;
	if (unknown !== 0n) {
		throw fail(
			"incompatible_features",
			"unsupported",
			`it needs features that are not known here (bits 0x${unknown.toString(16)})`,
			"Convert it with the program that made it to a plain qcow2.",
		);
	}
	const length = header.header_length;
	if (length < V3_LENGTH || length % 8 !== 0) {
		throw fail("header_length", "damaged", `the header's length of ${length} bytes is wrong`);
	}
	checkRange(source, 0, length);
	if (header.refcount_order > REFCOUNT_ORDER.max) {
		throw fail("refcount_order", "damaged", `refcounts of 2^${header.refcount_order} bits are wider than 64`);
	}
	const stated = (header.incompatible_features & Incompatible.compressionType) !== 0n && length > V3_LENGTH;
	const compressionType = stated ? header.compression_type : 0;
	const compression = COMPRESSION_TYPES[compressionType];
	if (compression === undefined) {
		const what = `clusters compressed by method ${compressionType} are not supported`;
		throw fail("compression_type", "unsupported", what, "Convert it first: qemu-img convert -O qcow2.");
	}
	return {
		incompatible: header.incompatible_features,
		compatible: header.compatible_features,
		autoclear: header.autoclear_features,
		compression,
		refcountOrder: header.refcount_order,
		length,
	};
}
