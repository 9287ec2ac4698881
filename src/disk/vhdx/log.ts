import { damaged, unsupported } from "../../bytes/errors.js";
import { type ByteSource, checkRange, readBytes } from "../../bytes/source.js";
import {
	checksum,
	DATA_SIGNATURE,
	DataDescriptor,
	DataSector,
	type Header,
	LOG_SECTOR,
	LOG_SIGNATURE,
	LogEntryHeader,
	MIB,
	NIL,
	SECTOR_SIGNATURE,
	ZERO_SIGNATURE,
	ZeroDescriptor,
} from "./layout.js";

/** Hyper-V's logs have 1 MiB. */
const LOG_LIMIT = 16 * MIB;
const PATCHES_LIMIT = 65_536;
/** How much of the log may be checksummed again because old entries lie over each other. */
const CHECKSUM_ROUNDS = 16;
/** Most that a replay may lengthen the file by: a few blocks that were being allocated. */
const GROWTH_LIMIT = 1024 * MIB;

/** What replaying the log does to a range of the file; zeros where there are no `bytes`. */
interface Patch {
	readonly at: number;
	readonly length: number;
	readonly bytes?: Uint8Array;
}

type EntryHeader = ReturnType<typeof LogEntryHeader.parse>;

/** A valid log entry; `at` counts from the beginning of the log. */
interface Entry {
	readonly at: number;
	readonly header: EntryHeader;
	readonly patches: readonly Patch[];
}

/**
 * The file as it is once its log is replayed ([MS-VHDX] 2.3.3), without writing to it: a source that shows the logged
 * sectors in their places. A file whose log is empty is returned as it is. Broken and missing entries are `damaged`.
 */
export async function replayed(source: ByteSource, header: ReturnType<typeof Header.parse>): Promise<ByteSource> {
	if (header.logGuid === NIL) return source;
	const file = source.name;
	const { logOffset, logLength } = header;
	const broken = (message: string) => damaged(`${file}: ${message}`, { file, offset: logOffset });
	if (header.logVersion !== 0)
		throw unsupported(`${file}: VHDX log version ${header.logVersion} is not known`, { file });
	if (logLength === 0 || logLength % MIB !== 0 || logLength > LOG_LIMIT) {
		throw broken(`a log of ${logLength} bytes; 1 to ${LOG_LIMIT / MIB} MiB are possible`);
	}
	const log = await readBytes(source, logOffset, logLength);
	const sequence = activeSequence(log, header.logGuid, file, logOffset);
	const head = sequence.at(-1);
	if (head === undefined) {
		throw damaged(`${file}: the log has to be replayed, but no valid entries are in it`, {
			file,
			offset: logOffset,
			hint: "Shut the VM down and copy the file again; a running VM's disk cannot be copied safely.",
		});
	}
	const { flushedFileOffset, lastFileOffset } = head.header;
	checkRange(source, 0, flushedFileOffset);
	if (lastFileOffset > source.size + GROWTH_LIMIT) {
		throw broken(`the log wants to lengthen the file from ${source.size} to ${lastFileOffset} bytes`);
	}
	const patches = sequence.flatMap((entry) => entry.patches);
	if (patches.length > PATCHES_LIMIT) throw broken(`a log of ${patches.length} updates is longer than any real one`);
	return patched(source, Math.max(source.size, lastFileOffset), patches);
}

function patched(source: ByteSource, size: number, patches: readonly Patch[]): ByteSource {
	const result = {
		name: source.name,
		size,
		async read(at: number, into: Uint8Array) {
			checkRange(result, at, into.length);
			const stored = Math.max(0, Math.min(into.length, source.size - at));
			if (stored > 0) await source.read(at, into.subarray(0, stored));
			into.fill(0, stored);
			for (const patch of patches) {
				const from = Math.max(at, patch.at);
				const to = Math.min(at + into.length, patch.at + patch.length);
				if (from >= to) continue;
				if (patch.bytes === undefined) into.fill(0, from - at, to - at);
				else into.set(patch.bytes.subarray(from - patch.at, to - patch.at), from - at);
			}
		},
	};
	return result;
}

/**
 * 2.3.2 and 2.3.3: of all runs of valid entries whose sequence numbers ascend by one, and whose last entry (the head)
 * names one of the run as its tail, the one with the highest number; from its tail to its head.
 */
function activeSequence(log: Uint8Array, logGuid: string, file: string, logOffset: number): readonly Entry[] {
	const entryAt = entryReader(log, logGuid, file, logOffset);
	let active: readonly Entry[] = [];
	let at = 0;
	while (at < log.length) {
		const run: Entry[] = [];
		let end = at;
		for (;;) {
			const entry = entryAt(end % log.length);
			const previous = run.at(-1);
			if (entry === undefined) break;
			if (previous !== undefined && entry.header.sequenceNumber !== previous.header.sequenceNumber + 1) break;
			run.push(entry);
			end += entry.header.entryLength;
		}
		const head = run.at(-1);
		const tail = run.findIndex((entry) => entry.at === head?.header.tail);
		const best = active.at(-1)?.header.sequenceNumber ?? 0;
		if (head !== undefined && tail >= 0 && head.header.sequenceNumber > best) active = run.slice(tail);
		at = head !== undefined && tail >= 0 ? end : at + LOG_SECTOR;
	}
	return active;
}

/** Reads the entry at an offset of the log, or undefined where no valid one begins; the log is a ring. */
function entryReader(
	log: Uint8Array,
	logGuid: string,
	file: string,
	logOffset: number,
): (at: number) => Entry | undefined {
	const ring = new Uint8Array(log.length * 2);
	ring.set(log);
	ring.set(log, log.length);
	const known = new Map<number, Entry | undefined>();
	let budget = log.length * CHECKSUM_ROUNDS;

	function parse(at: number): Entry | undefined {
		if (LOG_SIGNATURE !== String.fromCharCode(...ring.subarray(at, at + 4))) return undefined;
		const header = LogEntryHeader.parse(ring, at, file, logOffset);
		const { entryLength, tail, descriptorCount, sequenceNumber } = header;
		const descriptors = LogEntryHeader.size + descriptorCount * DataDescriptor.size;
		if (
			header.logGuid !== logGuid ||
			sequenceNumber === 0 ||
			entryLength % LOG_SECTOR !== 0 ||
			entryLength > log.length ||
			descriptors > entryLength ||
			tail >= log.length
		) {
			return undefined;
		}
		budget -= entryLength;
		if (budget < 0) throw damaged(`${file}: the entries of the log lie over each other`, { file, offset: logOffset });
		const entry = ring.subarray(at, at + entryLength);
		if (checksum(entry) !== header.checksum) return undefined;
		const patches = parsePatches(entry, header, file, logOffset + at);
		return patches === undefined ? undefined : { at, header, patches };
	}

	return (at) => {
		if (!known.has(at)) known.set(at, parse(at));
		return known.get(at);
	};
}

/** The updates of an entry, or undefined where one of them does not belong to it. */
function parsePatches(entry: Uint8Array, header: EntryHeader, file: string, offset: number): Patch[] | undefined {
	const { descriptorCount, sequenceNumber } = header;
	const patches: Patch[] = [];
	let sectorAt = Math.ceil((LogEntryHeader.size + descriptorCount * DataDescriptor.size) / LOG_SECTOR) * LOG_SECTOR;
	for (let i = 0; i < descriptorCount; i++) {
		const at = LogEntryHeader.size + i * DataDescriptor.size;
		const { signature, leadingBytes, trailingBytes, ...data } = DataDescriptor.parse(entry, at, file, offset);
		if (data.sequenceNumber !== sequenceNumber || data.fileOffset % LOG_SECTOR !== 0) return undefined;
		if (signature === ZERO_SIGNATURE) {
			const { fileOffset, zeroLength } = ZeroDescriptor.parse(entry, at, file, offset);
			patches.push({ at: fileOffset, length: zeroLength });
			continue;
		}
		if (signature !== DATA_SIGNATURE || sectorAt + LOG_SECTOR > entry.length) return undefined;
		const sector = DataSector.parse(entry, sectorAt, file, offset);
		sectorAt += LOG_SECTOR;
		const sectorNumber = sector.sequenceHigh * 2 ** 32 + sector.sequenceLow;
		if (sector.signature !== SECTOR_SIGNATURE || sectorNumber !== sequenceNumber) return undefined;
		const bytes = new Uint8Array(LOG_SECTOR);
		bytes.set(leadingBytes);
		bytes.set(sector.data, leadingBytes.length);
		bytes.set(trailingBytes, LOG_SECTOR - trailingBytes.length);
		patches.push({ at: data.fileOffset, length: LOG_SECTOR, bytes });
	}
	return patches;
}
