import { concat } from "../../bytes/concat.js";
import { refused, unsupported } from "../../bytes/errors.js";
import { type ByteSource, bytesSource, checkRange, readBytes } from "../../bytes/source.js";
import { validPart } from "../mapped.js";
import { corrupt } from "./boot.js";
import { AttributeFlag, AttributeType, COMPRESSION_LZNT1 } from "./layout.js";
import { decodeLznt1 } from "./lznt1.js";
import type { NtfsVolume } from "./record.js";
import { type NtfsFile, plainSource, type Stream, streamOf } from "./stream.js";

/** The unnamed data of a file, named `name`. */
export async function contents(volume: NtfsVolume, file: NtfsFile, name: string): Promise<ByteSource> {
	const stream = await streamOf(volume, file, AttributeType.DATA);
	if (stream === undefined) return bytesSource(new Uint8Array(), name);
	if (stream.flags & AttributeFlag.ENCRYPTED) {
		throw refused(`${name} is encrypted (EFS), and its key is not in the file system`, {
			file: volume.name,
			offset: stream.at,
			hint: 'Decrypt it in the guest, for example with "cipher /d".',
		});
	}
	const compression = stream.flags & AttributeFlag.COMPRESSION_MASK;
	if (compression === 0 || stream.value !== undefined) return plainSource(volume, stream, name, volume.source);
	if (compression !== COMPRESSION_LZNT1) {
		throw unsupported(`${name} is compressed by method ${compression}, which Anyvisor cannot read`, {
			file: volume.name,
			offset: stream.at,
		});
	}
	return validPart(compressedSource(volume, stream, name), stream.validLength);
}

/** Sixteen clusters of 4 KiB are the most that Windows compresses together. */
const LARGEST_UNIT = 1 << 20;

function compressedSource(volume: NtfsVolume, stream: Stream, name: string): ByteSource {
	const unitSize = stream.unit * volume.parameters.clusterSize;
	if (stream.unit === 1 || unitSize > LARGEST_UNIT) {
		throw corrupt(volume.name, stream.at, `${unitSize} bytes are compressed together`);
	}
	/** Reading goes on where it was, and units are rarely read as a whole. */
	let recent: { readonly index: number; readonly bytes: Promise<Uint8Array> } | undefined;
	const source: ByteSource = {
		name,
		size: stream.size,
		async read(at, into) {
			checkRange(source, at, into.length);
			for (let done = 0; done < into.length; ) {
				const index = Math.floor((at + done) / unitSize);
				if (recent?.index !== index) recent = { index, bytes: readUnit(volume, stream, index) };
				const within = (at + done) % unitSize;
				const part = (await recent.bytes).subarray(within, within + into.length - done);
				into.set(part, done);
				done += part.length;
			}
		},
	};
	return source;
}

/**
 * A unit has as many clusters as it needs, and a hole after these: without a hole it is not compressed, and all of it a
 * hole is zeros. https://flatcap.github.io/linux-ntfs/ntfs/concepts/compression.html
 */
async function readUnit(volume: NtfsVolume, stream: Stream, index: number): Promise<Uint8Array> {
	const { clusterSize } = volume.parameters;
	const stored: Uint8Array[] = [];
	let clusters = 0;
	while (clusters < stream.unit) {
		const { at, count } = await stream.map(index * stream.unit + clusters, stream.unit - clusters);
		if (at === undefined) break;
		stored.push(await readBytes(volume.source, at, count * clusterSize));
		clusters += count;
	}
	const packed = concat(stored);
	if (clusters === stream.unit) return packed;
	const bytes = new Uint8Array(stream.unit * clusterSize);
	if (!decodeLznt1(packed, bytes)) {
		throw corrupt(volume.name, stream.at, `the compressed data of unit ${index} of a file are broken`);
	}
	return bytes;
}
