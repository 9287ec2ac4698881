import { type HashAlgorithm, hasher } from "../../bytes/checksum/index.js";
import { damaged, notFound, refused } from "../../bytes/errors.js";
import type { DataExtent, HoleAware } from "../../bytes/holes.js";
import { type ByteSource, checkRange, readBytes } from "../../bytes/source.js";
import { wordsOf } from "../../bytes/words.js";
import type { Machine } from "../machine.js";
import { MAX_DESCRIPTOR } from "../xml-read.js";
import { RECORDS } from "./mark.js";
import { xva } from "./xva.js";

/** A machine with the raw contents of its disks, in the machine's order. */
export interface XvaPackage {
	readonly machine: Machine;
	readonly disks: readonly HoleAware[];
}

/** Bytes; every program writes chunks of a MiB. */
const LARGEST_CHUNK = 64 << 20;
const LARGEST_DISK = 2 ** 50;
const SUM_SIZE = 256;

/** As {@link TarMember}; its source is a window that is made when it is asked for. */
interface Member {
	readonly name: string;
	readonly size: number;
	readonly source: ByteSource;
}

interface Chunk {
	readonly member: Member;
	/** How its content is summed up, where that is in the archive. */
	sum?: { readonly algorithm: HashAlgorithm; readonly member: Member };
}

const ALGORITHMS: Readonly<Record<string, HashAlgorithm>> = wordsOf({ checksum: "sha1", xxhash: "xxh64" });

/**
 * Reads an XVA from the members of its tar ({@link readTar}). `name` is the archive's, for messages.
 *
 * @throws `damaged`; `not-found` for a disk without a chunk
 */
export async function readXva(members: readonly Member[], name: string): Promise<XvaPackage> {
	const records = members.find((member) => member.name === RECORDS)?.source;
	if (records === undefined || records.size > MAX_DESCRIPTOR) {
		throw damaged(`${name} has no ${RECORDS} that can be read`, { file: name, hint: "Export the VM again." });
	}
	const machine = await xva.read({ name: RECORDS, bytes: await readBytes(records, 0, records.size) });
	const chunks = chunksOf(members);
	const disks = machine.disks.flatMap(({ kind, file, capacity }) => {
		if (kind !== "disk" || file === undefined) return [];
		const found = chunks.get(file);
		if (found === undefined) {
			throw notFound(`${name} has no content of the disk ${file}`, {
				file: name,
				hint: "Only its description was exported (metadata=true): export the VM with its disks.",
			});
		}
		return [new ChunkedDisk(`${name}:${file}`, found, capacity)];
	});
	return { machine, disks };
}

/** The chunks of each disk, by its reference and their numbers. */
function chunksOf(members: readonly Member[]): ReadonlyMap<string, ReadonlyMap<number, Chunk>> {
	const disks = new Map<string, Map<number, Chunk>>();
	for (const member of members) {
		const [, reference, digits, ending] = /^(Ref:\d+)\/(\d{8,12})(?:\.(\w+))?$/.exec(member.name) ?? [];
		if (reference === undefined || digits === undefined) continue;
		const chunks = disks.get(reference) ?? new Map<number, Chunk>();
		disks.set(reference, chunks);
		const index = Number(digits);
		const algorithm = ALGORITHMS[ending ?? ""];
		const chunk = chunks.get(index);
		// The sum follows its chunk.
		if (ending === undefined) chunks.set(index, { member });
		else if (chunk !== undefined && algorithm !== undefined) chunk.sum = { algorithm, member };
	}
	return disks;
}

/** A disk in chunks of one size, of which those of zeros are left out. */
class ChunkedDisk implements HoleAware {
	readonly name: string;
	readonly size: number;
	readonly #chunks: ReadonlyMap<number, Chunk>;
	/** Bytes; the last chunk may be shorter. */
	readonly #length: number;

	constructor(name: string, chunks: ReadonlyMap<number, Chunk>, capacity: number | undefined) {
		let length = 0;
		let last = 0;
		for (const [index, { member }] of chunks) {
			length = Math.max(length, member.size);
			last = Math.max(last, index);
		}
		const end = last * length + (chunks.get(last)?.member.size ?? 0);
		if (length > LARGEST_CHUNK || end > LARGEST_DISK) {
			throw refused(`${name} is said to have ${end} bytes in chunks of up to ${length}`, { file: name });
		}
		this.name = name;
		this.size = capacity ?? end;
		this.#chunks = chunks;
		this.#length = length;
		if (length === 0 || (capacity ?? end) > end) {
			throw damaged(`${name} has ${end} bytes, of ${this.size}`, {
				file: name,
				hint: "The archive is incomplete: copy or export it again.",
			});
		}
		for (const [index, { member }] of chunks) {
			if (index !== last && member.size !== length) {
				throw damaged(`${name}: chunk ${index} has ${member.size} bytes where others have ${length}`, {
					file: name,
				});
			}
		}
	}

	async read(at: number, into: Uint8Array): Promise<void> {
		checkRange(this, at, into.length);
		for (let done = 0; done < into.length; ) {
			const index = Math.floor((at + done) / this.#length);
			const within = at + done - index * this.#length;
			const piece = into.subarray(done, done + this.#length - within);
			const chunk = this.#chunks.get(index);
			if (chunk === undefined) piece.fill(0);
			else await this.#readChunk(chunk, within, piece);
			done += piece.length;
		}
	}

	/** What is read whole is compared with its sum. */
	async #readChunk({ member, sum }: Chunk, within: number, piece: Uint8Array): Promise<void> {
		const { source } = member;
		await source.read(within, piece);
		if (sum === undefined || piece.length < source.size) return;
		const hash = await hasher(sum.algorithm);
		hash.update(piece);
		const stated = new TextDecoder().decode(
			await readBytes(sum.member.source, 0, Math.min(SUM_SIZE, sum.member.source.size)),
		);
		if (hash.digest().toLowerCase() === stated.trim().toLowerCase()) return;
		throw damaged(`${source.name} is not what it was written as: its checksum differs`, {
			file: this.name,
			offset: within,
			hint: "Copy or export the archive again.",
		});
	}

	async *extents(): AsyncGenerator<DataExtent> {
		let at = 0;
		for (const index of [...this.#chunks.keys()].toSorted((a, b) => a - b)) {
			const start = Math.min(this.size, index * this.#length);
			const end = Math.min(this.size, start + this.#length);
			if (start > at) yield { at, length: start - at, kind: "zero" };
			if (end > start) yield { at: start, length: end - start, kind: "data" };
			at = end;
		}
		if (at < this.size) yield { at, length: this.size - at, kind: "zero" };
	}
}
