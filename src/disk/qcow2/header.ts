import { damaged, refused, unsupported } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import { checkRange, readBytes, readUpTo } from "../../bytes/source.js";
import {
	BACKING_NAME_LIMIT,
	CLUSTER_BITS,
	COMPRESSION_TYPES,
	ENTRY_SIZE,
	Extension,
	ExtensionType,
	Header,
	HeaderV3,
	Incompatible,
	L1_LIMIT,
	MAGIC,
	V3_LENGTH,
} from "./layout.js";

/** What reading needs of the header, checked. */
export interface Qcow2Header {
	readonly version: 2 | 3;
	readonly clusterBits: number;
	/** Virtual size in bytes, whole sectors. */
	readonly size: number;
	readonly l1: { readonly at: number; readonly entries: number };
	readonly compression: (typeof COMPRESSION_TYPES)[number];
	/** `format` is undefined where the image leaves it to be recognised. */
	readonly backing: { readonly name: string; readonly format: string | undefined } | undefined;
	/** Name of the external data file that holds the guest's clusters. */
	readonly dataFile: string | undefined;
}

const KNOWN_FEATURES = Object.values(Incompatible).reduce((all, bit) => all | bit, 0n);

/** QEMU's driver names that Anyvisor calls otherwise. */
const FORMAT_NAMES: Readonly<Record<string, string>> = { vpc: "vhd" };

export async function readHeader(source: ByteSource): Promise<Qcow2Header> {
	const file = source.name;
	const at = Header.offsets;
	const fail = (offset: number, message: string) =>
		damaged(`${file}: ${message}`, {
			file,
			offset,
			hint: "The header of this qcow2 is damaged: fetch the file again, or look at it with qemu-img check.",
		});

	const header = Header.parse(await readBytes(source, 0, Header.size), 0, file);
	if (header.magic !== MAGIC) throw fail(at.magic, "this is not a qcow2");
	const { version } = header;
	if (version !== 2 && version !== 3) {
		throw unsupported(`${file}: qcow version ${version} is not supported, only 2 and 3 are`, {
			file,
			offset: at.version,
			hint: "Convert it first: qemu-img convert -O qcow2.",
		});
	}
	if (header.crypt_method !== 0) {
		throw refused(`${file}: this qcow2 is encrypted (${header.crypt_method === 1 ? "AES" : "LUKS"})`, {
			file,
			offset: at.crypt_method,
			hint: "Decrypt it first: qemu-img convert with the secret, to an image without encryption.",
		});
	}
	const clusterBits = header.cluster_bits;
	if (clusterBits < CLUSTER_BITS.min || clusterBits > CLUSTER_BITS.max) {
		throw fail(at.cluster_bits, `a cluster of 2^${clusterBits} bytes is outside of 512 bytes to 2 MiB`);
	}
	const clusterSize = 2 ** clusterBits;

	const size = Math.floor(header.size / 512) * 512;
	const needed = Math.ceil(size / (clusterSize * (clusterSize / ENTRY_SIZE)));
	if (header.l1_size * ENTRY_SIZE > L1_LIMIT) {
		throw fail(at.l1_size, `an L1 table of ${header.l1_size} entries exceeds the limit of 32 MiB`);
	}
	if (header.l1_size < needed) {
		throw fail(at.l1_size, `the L1 table has ${header.l1_size} entries, but ${size} bytes need ${needed}`);
	}
	if (header.l1_table_offset % clusterSize !== 0) {
		throw fail(at.l1_table_offset, `the L1 table at ${header.l1_table_offset} is not at the start of a cluster`);
	}
	checkRange(source, header.l1_table_offset, needed * ENTRY_SIZE);

	const features = version === 3 ? await readFeatures(source) : VERSION_2;
	const extensions = await readExtensions(source, features.length, clusterSize);
	const external = (features.incompatible & Incompatible.externalData) !== 0n;
	const dataFile = external ? extensions.get(ExtensionType.externalDataFile) : undefined;
	if (external && dataFile === undefined) {
		throw unsupported(`${file}: its data lies in another file, and the image does not say in which`, {
			file,
			hint: "Store the name in the image: qemu-img amend -o data_file=NAME.",
		});
	}
	let backing: Qcow2Header["backing"];
	if (header.backing_file_offset !== 0 && header.backing_file_size !== 0) {
		if (header.backing_file_size > BACKING_NAME_LIMIT) {
			throw fail(at.backing_file_size, `the backing file's name of ${header.backing_file_size} bytes is too long`);
		}
		const name = await readBytes(source, header.backing_file_offset, header.backing_file_size);
		const format = extensions.get(ExtensionType.backingFormat);
		backing = {
			name: new TextDecoder().decode(name),
			format: format === undefined ? undefined : (FORMAT_NAMES[format] ?? format),
		};
	}
	return {
		version,
		clusterBits,
		size,
		l1: { at: header.l1_table_offset, entries: needed },
		compression: features.compression,
		backing,
		dataFile,
	};
}

interface Features {
	readonly incompatible: bigint;
	readonly compression: Qcow2Header["compression"];
	/** Where the header ends and its extensions begin. */
	readonly length: number;
}

const VERSION_2: Features = { incompatible: 0n, compression: "deflate", length: Header.size };

async function readFeatures(source: ByteSource): Promise<Features> {
	const file = source.name;
	const bytes = await readUpTo(source, Header.size, HeaderV3.size);
	const padded = new Uint8Array(HeaderV3.size);
	padded.set(bytes);
	const header = HeaderV3.parse(padded, 0, file, Header.size);
	const at = HeaderV3.offsets;

	const incompatible = header.incompatible_features;
	if ((incompatible & Incompatible.corrupt) !== 0n) {
		throw damaged(`${file}: QEMU has marked this image as corrupt`, {
			file,
			offset: Header.size + at.incompatible_features,
			hint: "Repair a copy of it: qemu-img check -r all.",
		});
	}
	if ((incompatible & Incompatible.extendedL2) !== 0n) {
		throw unsupported(`${file}: its L2 entries are extended (subclusters), which is not supported`, {
			file,
			offset: Header.size + at.incompatible_features,
			hint: "Convert it first: qemu-img convert -O qcow2 -o extended_l2=off.",
		});
	}
	const unknown = incompatible & ~KNOWN_FEATURES;
	if (unknown !== 0n) {
		throw unsupported(`${file}: it needs features that are not known here (bits 0x${unknown.toString(16)})`, {
			file,
			offset: Header.size + at.incompatible_features,
			hint: "Convert it with the program that made it to a plain qcow2.",
		});
	}
	const length = header.header_length;
	if (
		length < V3_LENGTH ||
		length % 8 !== 0 ||
		Header.size + bytes.length < Math.min(length, Header.size + HeaderV3.size)
	) {
		throw damaged(`${file}: the header's length of ${length} bytes is wrong`, {
			file,
			offset: Header.size + at.header_length,
		});
	}
	const stated = (incompatible & Incompatible.compressionType) !== 0n && length > V3_LENGTH;
	const compressionType = stated ? header.compression_type : 0;
	const compression = COMPRESSION_TYPES[compressionType];
	if (compression === undefined) {
		throw unsupported(`${file}: clusters compressed by method ${compressionType} are not supported`, {
			file,
			offset: Header.size + at.compression_type,
			hint: "Convert it first: qemu-img convert -O qcow2.",
		});
	}
	return { incompatible, compression, length };
}

/** The text of the header extensions that hold a string. All of them lie inside the first cluster. */
async function readExtensions(source: ByteSource, start: number, clusterSize: number): Promise<Map<number, string>> {
	const texts = new Map<number, string>();
	const area = await readUpTo(source, 0, clusterSize);
	let at = start;
	while (at + Extension.size <= area.length) {
		const { type, length } = Extension.parse(area, at, source.name);
		if (type === ExtensionType.end) break;
		at += Extension.size;
		if (length > area.length - at) {
			throw damaged(`${source.name}: a header extension of ${length} bytes does not fit its cluster`, {
				file: source.name,
				offset: at,
			});
		}
		if (type === ExtensionType.backingFormat || type === ExtensionType.externalDataFile) {
			texts.set(type, new TextDecoder().decode(area.subarray(at, at + length)));
		}
		at += Math.ceil(length / 8) * 8;
	}
	return texts;
}
