import type { ByteSource } from "../../bytes/source.js";
import { readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { corrupt, type NtfsParameters } from "./boot.js";
import {
	AttributeHeader,
	AttributeType,
	FileRecord,
	MultiSectorHeader,
	RecordFlag,
	SEQUENCE_STRIDE,
} from "./layout.js";

/** A file system whose MFT has been found. */
export interface NtfsVolume {
	/** For messages. */
	readonly name: string;
	readonly parameters: NtfsParameters;
	readonly source: ByteSource;
	/** The same bytes through a cache: for whatever is small and looked at again. */
	readonly metadata: ByteSource;
	/** The records of all files, one after the other. */
	readonly mft: ByteSource;
	/** Where byte `at` of {@link mft} is on the volume. */
	placeOf(at: number): number;
}

export interface Attribute {
	readonly type: number;
	readonly name: string;
	readonly flags: number;
	readonly instance: number;
	readonly isResident: boolean;
	/** With its header. */
	readonly bytes: Uint8Array;
	/** Where `bytes` stand on the volume. */
	readonly at: number;
}

export interface Record {
	readonly number: number;
	/** Where it stands on the volume. */
	readonly at: number;
	readonly sequence: number;
	readonly flags: number;
	/** Number of the record that it extends; 0 where it is none. */
	readonly base: number;
	readonly attributes: readonly Attribute[];
}

/** What refers to a file: the number of its record, and how often that was used anew. */
export interface Reference {
	readonly number: number;
	readonly sequence: number;
}

export const parseReference = (stored: bigint): Reference => ({
	number: Number(BigInt.asUintN(48, stored)),
	sequence: Number(stored >> 48n),
});

/** Reads the record that `reference` leads to; `referrer` is the byte that has it, for messages. */
export async function readRecord(
	volume: NtfsVolume,
	{ number, sequence }: Reference,
	referrer: number,
): Promise<Record> {
	const { recordSize } = volume.parameters;
	const start = number * recordSize;
	if (start + recordSize > volume.mft.size) {
		throw corrupt(volume.name, referrer, `file record ${number} is used, but the MFT ends before it`);
	}
	const record = parseRecord(volume, await readBytes(volume.mft, start, recordSize), number, volume.placeOf(start));
	if (!(record.flags & RecordFlag.IN_USE) || (sequence !== 0 && record.sequence !== sequence)) {
		throw corrupt(volume.name, referrer, `this leads to file record ${number}, which is of another file now`);
	}
	return record;
}

/** @param at where `bytes` stand on the volume */
export function parseRecord(
	{ name: file }: Pick<NtfsVolume, "name">,
	bytes: Uint8Array,
	number: number,
	at: number,
): Record {
	checkSequence(file, bytes, at, "FILE");
	const fields = FileRecord.parse(bytes, 0, file, at);
	const end = Math.min(fields.bytesInUse, bytes.length);
	const view = viewOf(bytes);
	const attributes: Attribute[] = [];
	for (let offset = fields.firstAttributeOffset; ; ) {
		if (offset + 4 > end) throw corrupt(file, at, `the attributes of file record ${number} have no end`);
		if (view.getUint32(offset, true) === AttributeType.END) break;
		const header = AttributeHeader.parse(bytes, offset, file, at);
		const { recordLength, nameOffset, nameLength } = header;
		const nameEnd = nameOffset + nameLength * 2;
		if (recordLength < AttributeHeader.size || recordLength % 8 !== 0 || offset + recordLength > end) {
			throw corrupt(file, at + offset, `an attribute of file record ${number} has ${recordLength} bytes`);
		}
		if (nameEnd > recordLength) throw corrupt(file, at + offset, "the name of an attribute is longer than it");
		attributes.push({
			type: header.typeCode,
			name: decodeName(bytes.subarray(offset + nameOffset, offset + nameEnd)),
			flags: header.flags,
			instance: header.instance,
			isResident: header.formCode === 0,
			bytes: bytes.subarray(offset, offset + recordLength),
			at: at + offset,
		});
		offset += recordLength;
	}
	return {
		number,
		at,
		sequence: fields.sequenceNumber,
		flags: fields.flags,
		base: parseReference(fields.baseFileRecord).number,
		attributes,
	};
}

/**
 * Puts back what the update sequence array keeps of a record, in place; damaged where the record was not written whole.
 * https://flatcap.github.io/linux-ntfs/ntfs/concepts/fixup.html
 */
export function checkSequence(file: string, bytes: Uint8Array, at: number, signature: string): void {
	const header = MultiSectorHeader.parse(bytes, 0, file, at);
	if (header.signature !== signature) {
		throw corrupt(file, at, `here should be a record with the signature ${signature}, but there is none`);
	}
	const { updateSequenceArrayOffset: offset, updateSequenceArraySize: count } = header;
	const strides = bytes.length / SEQUENCE_STRIDE;
	if (count !== strides + 1 || offset % 2 !== 0 || offset + count * 2 > SEQUENCE_STRIDE - 2) {
		throw corrupt(file, at, `a ${signature} record has ${count} update sequence numbers at ${offset}`);
	}
	const view = viewOf(bytes);
	const expected = view.getUint16(offset, true);
	for (let i = 1; i <= strides; i++) {
		const last = i * SEQUENCE_STRIDE - 2;
		if (view.getUint16(last, true) !== expected) {
			throw corrupt(file, at + last, `a ${signature} record was not written whole: its update sequence is broken`);
		}
		view.setUint16(last, view.getUint16(offset + i * 2, true), true);
	}
}

/** UTF-16 as stored; surrogates need not come in pairs. */
export function decodeName(bytes: Uint8Array): string {
	const view = viewOf(bytes);
	let name = "";
	for (let at = 0; at + 2 <= bytes.length; at += 2) name += String.fromCharCode(view.getUint16(at, true));
	return name;
}
