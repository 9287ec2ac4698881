import { AnyvisorError } from "../../bytes/errors.js";
import type { WriteOptions } from "../disk.js";
import { DRIVER_NAMES, type L1Place } from "./header.js";
import {
	BACKING_NAME_LIMIT,
	COMPRESSION_TYPES,
	Extension,
	ExtensionType,
	Header,
	HeaderV3,
	Incompatible,
} from "./layout.js";
import { MAGIC } from "./mark.js";
import { REFCOUNT_ORDER } from "./space.js";

interface Parts {
	readonly clusterSize: number;
	/** Of the virtual disk, in bytes. */
	readonly size: number;
	/** Of the compressed clusters, if there are any. */
	readonly compression: "zlib" | "zstd" | undefined;
	readonly l1: L1Place;
	readonly refcounts: { readonly at: number; readonly clusters: number };
	readonly backing: WriteOptions["backing"];
}

/** The first cluster: the header, its extensions, and the name of the backing file. */
export function buildHeader({ clusterSize, size, compression, l1, refcounts, backing }: Parts): Uint8Array {
	const zstd = compression === "zstd";
	const length = Header.size + HeaderV3.size;
	const extensions = backing === undefined ? [] : extension(ExtensionType.backingFormat, driverName(backing.format));
	const name = new TextEncoder().encode(backing?.name ?? "");
	// The end of the extensions is an empty one.
	const nameAt = length + extensions.length + Extension.size;
	if (name.length > Math.min(BACKING_NAME_LIMIT, clusterSize - nameAt)) {
		throw new AnyvisorError("usage", `the backing file's name of ${name.length} bytes is too long`, {
			hint: "Choose a shorter name, or larger clusters.",
		});
	}
	const cluster = new Uint8Array(clusterSize);
	cluster.set(
		Header.build({
			magic: MAGIC,
			version: 3,
			backing_file_offset: name.length === 0 ? 0 : nameAt,
			backing_file_size: name.length,
			cluster_bits: Math.log2(clusterSize),
			size,
			l1_size: l1.entries,
			l1_table_offset: l1.at,
			refcount_table_offset: refcounts.at,
			refcount_table_clusters: refcounts.clusters,
		}),
	);
	cluster.set(
		HeaderV3.build({
			incompatible_features: zstd ? Incompatible.compressionType : 0n,
			compatible_features: 0n,
			autoclear_features: 0n,
			refcount_order: REFCOUNT_ORDER,
			header_length: length,
			compression_type: COMPRESSION_TYPES.indexOf(zstd ? "zstd" : "deflate"),
		}),
		Header.size,
	);
	cluster.set(extensions, length);
	cluster.set(name, nameAt);
	return cluster;
}

/** A header extension that holds a string. */
function extension(type: number, text: string): Uint8Array {
	const content = new TextEncoder().encode(text);
	const bytes = new Uint8Array(Extension.size + Math.ceil(content.length / 8) * 8);
	bytes.set(Extension.build({ type, length: content.length }));
	bytes.set(content, Extension.size);
	return bytes;
}

const driverName = (format: string) => Object.entries(DRIVER_NAMES).find(([, id]) => id === format)?.[0] ?? format;
