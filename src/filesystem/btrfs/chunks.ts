import { type AnyvisorError, unsupported } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import { Chunk, DATA, DiskKey, KeyType, Profile, Stripe } from "./layout.js";
import { corrupt } from "./superblock.js";

/** Logical bytes that lie together on devices. */
interface MappedChunk {
	readonly logical: number;
	readonly length: number;
	readonly stripeLength: number;
	/** Contents of files may be in it. */
	readonly data: boolean;
	/** Stripes that hold the same bytes, for each of those between which the bytes go round. */
	readonly columns: readonly (readonly StripePlace[])[];
}

interface StripePlace {
	readonly devid: number;
	/** Byte offset on the device. */
	readonly offset: number;
}

/** Where logical bytes are: as many copies as the profile keeps. */
interface Located {
	readonly copies: readonly StripePlace[];
	/** For how many bytes it holds. */
	readonly length: number;
}

/**
 * Where logical addresses are on the devices: https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#chunk-tree-3.
 * Any number of devices can be given; a chunk on another one is an error when it is read.
 */
export class ChunkMap {
	readonly #name: string;
	readonly #devices: ReadonlyMap<number, ByteSource>;
	/** Sorted by logical address. */
	#chunks: readonly MappedChunk[] = [];

	/** @param name for messages */
	constructor(name: string, devices: ReadonlyMap<number, ByteSource>) {
		this.#name = name;
		this.#devices = devices;
	}

	/** Takes chunks instead of those that were known before. */
	replace(chunks: readonly MappedChunk[]): void {
		this.#chunks = chunks.toSorted((a, b) => a.logical - b.logical);
	}

	/** How many bytes the contents of files can take, with the chunks that can still be made of `total` bytes of devices. */
	roomForData(total: number): number {
		let room = 0;
		let allocated = 0;
		let most = 1;
		for (const { length, data, columns } of this.#chunks) {
			const copies = columns[0]?.length ?? 1;
			allocated += length * copies;
			if (!data) continue;
			room += length;
			most = Math.max(most, copies);
		}
		return room + Math.max(0, total - allocated) / most;
	}

	/** How many copies of the byte at `logical` there are; 0 where no chunk has it. */
	copies(logical: number): number {
		return this.#locate(logical)?.copies.length ?? 0;
	}

	/** Byte offset on its device of one copy, for messages. */
	place(logical: number, copy: number): number | undefined {
		return this.#locate(logical)?.copies[copy]?.offset;
	}

	/** Reads one copy. `referrer` is the byte on the first device that names the address, for messages. */
	async read(logical: number, into: Uint8Array, copy: number, referrer: number): Promise<void> {
		for (let done = 0; done < into.length; ) {
			const located = this.#locate(logical + done);
			const place = located?.copies[copy];
			if (located === undefined || place === undefined) throw this.#unmapped(logical + done, referrer);
			const device = this.#devices.get(place.devid);
			if (device === undefined) throw this.#missing(place.devid, referrer);
			const part = into.subarray(done, done + located.length);
			await device.read(place.offset, part);
			done += part.length;
		}
	}

	#locate(logical: number): Located | undefined {
		let low = -1;
		for (let high = this.#chunks.length - 1; low < high; ) {
			const middle = Math.ceil((low + high) / 2);
			if ((this.#chunks[middle]?.logical ?? 0) <= logical) low = middle;
			else high = middle - 1;
		}
		const chunk = this.#chunks[low];
		if (chunk === undefined || logical >= chunk.logical + chunk.length) return undefined;
		const { columns, stripeLength } = chunk;
		const within = logical - chunk.logical;
		const left = chunk.length - within;
		const [only] = columns;
		if (columns.length === 1 && only !== undefined) return { copies: moved(only, within), length: left };
		const stripe = Math.floor(within / stripeLength);
		const inStripe = within % stripeLength;
		const round = Math.floor(stripe / columns.length);
		const copies = moved(columns[stripe % columns.length] ?? [], round * stripeLength + inStripe);
		return { copies, length: Math.min(stripeLength - inStripe, left) };
	}

	#unmapped(logical: number, referrer: number): AnyvisorError {
		return corrupt(this.#name, referrer, `the logical address ${logical} is used, but no chunk holds it`);
	}

	#missing(devid: number, referrer: number): AnyvisorError {
		return unsupported(`${this.#name}: data of this Btrfs lie on its device ${devid}, which is not at hand`, {
			file: this.#name,
			offset: referrer,
		});
	}
}

const moved = (places: readonly StripePlace[], by: number): readonly StripePlace[] =>
	places.map(({ devid, offset }) => ({ devid, offset: offset + by }));

/**
 * Reads a chunk item.
 *
 * @param at where `bytes` stand, for messages
 */
export function parseChunk(name: string, logical: number, bytes: Uint8Array, at: number): MappedChunk {
	const fields = Chunk.parse(bytes, 0, name, at);
	const { length, num_stripes, sub_stripes, stripe_len, type } = fields;
	const fault = (what: string) => corrupt(name, at, `a Btrfs chunk claims ${what}`);
	if (!Number.isSafeInteger(logical + length) || logical < 0 || length === 0) {
		throw fault(`${length} bytes at ${logical}`);
	}
	if (stripe_len < 4096 || stripe_len > 2 ** 30) throw fault(`stripes of ${stripe_len} bytes`);
	if (num_stripes === 0 || bytes.length < sizeOf(num_stripes)) throw fault(`${num_stripes} stripes`);
	const stripes = Array.from({ length: num_stripes }, (_, i): StripePlace => {
		const { devid, offset } = Stripe.parse(bytes, Chunk.size + i * Stripe.size, name, at);
		if (!Number.isSafeInteger(offset + length)) throw fault(`a stripe at ${offset}`);
		return { devid, offset };
	});
	const profiles = Object.entries(Profile).filter(([, bit]) => (type & bit) !== 0n);
	const [[profile] = ["SINGLE"]] = profiles;
	if (profiles.length > 1) throw fault("two profiles");
	const chunk = { logical, length, stripeLength: stripe_len, data: (type & DATA) !== 0n };
	switch (profile) {
		case "RAID5":
		case "RAID6":
			throw unsupported(`${name}: this Btrfs has chunks of the profile ${profile}, which Anyvisor cannot read`, {
				file: name,
				offset: at,
			});
		case "RAID0":
			return { ...chunk, columns: stripes.map((stripe) => [stripe]) };
		case "RAID10": {
			if (sub_stripes === 0 || num_stripes % sub_stripes !== 0) throw fault(`${sub_stripes} copies of a stripe`);
			const columns = Array.from({ length: num_stripes / sub_stripes }, (_, i) =>
				stripes.slice(i * sub_stripes, (i + 1) * sub_stripes),
			);
			return { ...chunk, columns };
		}
		case "SINGLE":
			return { ...chunk, columns: [stripes.slice(0, 1)] };
		default:
			return { ...chunk, columns: [stripes] };
	}
}

const sizeOf = (stripes: number) => Chunk.size + stripes * Stripe.size;

/** The chunks that the superblock itself tells, so that the chunk tree can be found: pairs of key and chunk. */
export function systemChunks(name: string, array: Uint8Array, at: number): readonly MappedChunk[] {
	const chunks: MappedChunk[] = [];
	for (let offset = 0; offset < array.length; ) {
		const key = DiskKey.parse(array, offset, name, at);
		const begin = offset + DiskKey.size;
		const { num_stripes } = Chunk.parse(array, begin, name, at);
		offset = begin + sizeOf(num_stripes);
		if (key.type !== KeyType.CHUNK_ITEM)
			throw corrupt(name, at + begin, "the superblock's system chunks are not chunks");
		chunks.push(parseChunk(name, key.offset, array.subarray(begin, offset), at + begin));
	}
	return chunks;
}
