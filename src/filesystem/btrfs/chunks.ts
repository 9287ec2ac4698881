import { type AnyvisorError, notFound } from "../../bytes/errors.js";
import type { BtrfsDevice } from "./devices.js";
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
	/** How many columns of each round hold parity instead; which ones moves on by one with each round. */
	readonly parity: number;
}

interface StripePlace {
	readonly devid: number;
	/** Of the device. */
	readonly uuid: string;
	/** Byte offset on the device. */
	readonly offset: number;
}

/** Where logical bytes are: as many copies as the profile keeps. */
interface Located {
	readonly copies: readonly StripePlace[];
	/** For how many bytes it holds. */
	readonly length: number;
}

/** A device that chunks lie on and that is not at hand. */
export interface MissingDevice {
	readonly devid: number;
	readonly uuid: string;
	/** Whether all that lies on it has a copy elsewhere. */
	readonly spared: boolean;
}

/**
 * Where logical addresses are on the devices: https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#chunk-tree-3.
 * Any number of devices can be given; what is only on another one is an error when it is read.
 */
export class ChunkMap {
	readonly #name: string;
	readonly #devices: ReadonlyMap<number, BtrfsDevice>;
	readonly #newest: number;
	/** Sorted by logical address. */
	#chunks: readonly MappedChunk[] = [];

	/** @param name for messages */
	constructor(name: string, devices: ReadonlyMap<number, BtrfsDevice>) {
		this.#name = name;
		this.#devices = devices;
		this.#newest = Math.max(...[...devices.values()].map(({ generation }) => generation));
	}

	/** Takes chunks instead of those that were known before. */
	replace(chunks: readonly MappedChunk[]): void {
		const ordered = chunks.map((chunk) => ({
			...chunk,
			columns: chunk.columns.map((copies) => copies.toSorted((a, b) => this.#rank(a) - this.#rank(b))),
		}));
		this.#chunks = ordered.sort((a, b) => a.logical - b.logical);
	}

	/** The devices that are not at hand, in the order of their ids. */
	missing(): readonly MissingDevice[] {
		const found = new Map<number, MissingDevice>();
		for (const { columns } of this.#chunks) {
			for (const copies of columns) {
				const absent = copies.filter(({ devid }) => !this.#devices.has(devid));
				for (const { devid, uuid } of absent) {
					const spared = absent.length < copies.length && found.get(devid)?.spared !== false;
					found.set(devid, { devid, uuid, spared });
				}
			}
		}
		return [...found.values()].sort((a, b) => a.devid - b.devid);
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

	/** The device that one copy is on and its byte offset there, for messages. */
	place(logical: number, copy: number): { readonly file: string; readonly offset: number } | undefined {
		const place = this.#locate(logical)?.copies[copy];
		const device = place && this.#devices.get(place.devid);
		return device && { file: device.source.name, offset: place.offset };
	}

	/** Reads one copy. `referrer` is the byte that names the address, for messages. */
	async read(logical: number, into: Uint8Array, copy: number, referrer: number): Promise<void> {
		for (let done = 0; done < into.length; ) {
			const located = this.#locate(logical + done);
			const place = located?.copies[copy];
			if (located === undefined || place === undefined) throw this.#unmapped(logical + done, referrer);
			const device = this.#devices.get(place.devid);
			if (device === undefined) throw this.#missing(place, referrer);
			const part = into.subarray(done, done + located.length);
			await device.source.read(place.offset, part);
			done += part.length;
		}
	}

	/** Which copy is read first: what the others have left behind may be old without being wrong. */
	#rank({ devid }: StripePlace): number {
		const device = this.#devices.get(devid);
		if (device === undefined) return 2;
		return device.generation < this.#newest ? 1 : 0;
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
		const { columns, parity, stripeLength } = chunk;
		const within = logical - chunk.logical;
		const left = chunk.length - within;
		const [only] = columns;
		if (columns.length === 1 && only !== undefined) return { copies: moved(only, within), length: left };
		const stripe = Math.floor(within / stripeLength);
		const inStripe = within % stripeLength;
		const width = columns.length - parity;
		const round = Math.floor(stripe / width);
		const column = parity === 0 ? stripe % width : ((stripe % width) + round) % columns.length;
		const copies = moved(columns[column] ?? [], round * stripeLength + inStripe);
		return { copies, length: Math.min(stripeLength - inStripe, left) };
	}

	#unmapped(logical: number, referrer: number): AnyvisorError {
		return corrupt(this.#name, referrer, `the logical address ${logical} is used, but no chunk holds it`);
	}

	#missing({ devid, uuid }: StripePlace, referrer: number): AnyvisorError {
		return notFound(`${this.#name}: data of this Btrfs lie on its device ${devid} (${uuid}), which is not at hand`, {
			file: this.#name,
			offset: referrer,
			hint: "Name all disks of the machine, by a descriptor beside them for example.",
		});
	}
}

const moved = (places: readonly StripePlace[], by: number): readonly StripePlace[] =>
	places.map(({ devid, uuid, offset }) => ({ devid, uuid, offset: offset + by }));

/** How many stripes hold the same bytes. */
const mirrors: Readonly<Record<string, number>> = { SINGLE: 1, DUP: 2, RAID1: 2, RAID1C3: 3, RAID1C4: 4 };
const RAID10_COPIES = 2;

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
		const { devid, offset, dev_uuid } = Stripe.parse(bytes, Chunk.size + i * Stripe.size, name, at);
		if (!Number.isSafeInteger(offset + length)) throw fault(`a stripe at ${offset}`);
		return { devid, offset, uuid: dev_uuid };
	});
	const profiles = Object.entries(Profile).filter(([, bit]) => (type & bit) !== 0n);
	const [[profile] = ["SINGLE"]] = profiles;
	if (profiles.length > 1) throw fault("two profiles");
	if (profile !== "DUP" && new Set(stripes.map(({ devid }) => devid)).size < num_stripes) {
		throw fault(`two stripes of the profile ${profile} on one device`);
	}
	const chunk = { logical, length, stripeLength: stripe_len, parity: 0, data: (type & DATA) !== 0n };
	switch (profile) {
		case "RAID5":
		case "RAID6": {
			const parity = profile === "RAID5" ? 1 : 2;
			if (num_stripes <= parity) throw fault(`${num_stripes} stripes of the profile ${profile}`);
			return { ...chunk, parity, columns: stripes.map((stripe) => [stripe]) };
		}
		case "RAID0":
			return { ...chunk, columns: stripes.map((stripe) => [stripe]) };
		case "RAID10": {
			if (sub_stripes !== RAID10_COPIES || num_stripes % sub_stripes !== 0) {
				throw fault(`${sub_stripes} copies of a stripe`);
			}
			const columns = Array.from({ length: num_stripes / sub_stripes }, (_, i) =>
				stripes.slice(i * sub_stripes, (i + 1) * sub_stripes),
			);
			return { ...chunk, columns };
		}
		default:
			if (num_stripes !== mirrors[profile]) throw fault(`${num_stripes} stripes of the profile ${profile}`);
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
