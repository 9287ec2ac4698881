import { AnyvisorError, notFound, unsupported } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import { concatenated, copies, mapped, type Place, type RunAt, striped } from "../mapping.js";
import { hasAllChunks, raid10 } from "../md/raid10.js";
import { SECTOR } from "./layout.js";
import { currentImages } from "./raid.js";
import { openThin } from "./thin.js";
import { type LogicalVolume, type Segment, type VolumeGroup, wrong } from "./volume-group.js";

/** A thin volume in a pool on a mirror is 4 deep. */
const DEEPEST = 10;
/** LVM itself makes 128 stripes at most. */
const MOST_LEGS = 1024;

/** What types of segments are to people, of those that cannot be read. */
const unreadableTypes: readonly (readonly [start: string, name: string])[] = [
	["raid4", "a RAID 4 volume"],
	["raid5", "a RAID 5 volume"],
	["raid6", "a RAID 6 volume"],
	["thin-pool", "a thin pool"],
	["cache", "a cached volume"],
	["writecache", "a volume with a write cache"],
	["vdo", "a VDO volume"],
	["integrity", "a volume with integrity data"],
	["snapshot", "a snapshot"],
	["error", "a volume of errors"],
];

const allDisks = "Name all disks of the machine, by a descriptor beside them for example.";

/** The logical volumes of a group as byte sources. */
export class LogicalVolumes {
	readonly #group: VolumeGroup;
	/** By their ids. */
	readonly #physical: ReadonlyMap<string, ByteSource>;
	readonly #file: string;
	readonly #known = new Map<string, ByteSource | AnyvisorError>();
	/** The volumes that hold the changes of a snapshot: by themselves they are nobody's data. */
	readonly #snapshots: ReadonlySet<string>;

	/** @param file for messages: where the metadata is from, and what the volumes are named after */
	constructor(group: VolumeGroup, physical: ReadonlyMap<string, ByteSource>, file: string) {
		this.#group = group;
		this.#physical = physical;
		this.#file = file;
		const snapshots = new Set<string>();
		for (const { segments } of group.logicalVolumes.values()) {
			for (const { fields } of segments) {
				for (const key of ["cow_store", "merging_store"]) if (fields.has(key)) snapshots.add(fields.string(key));
			}
		}
		this.#snapshots = snapshots;
	}

	/**
	 * The bytes of the volume `name`; a store when all that lies below is.
	 *
	 * @throws `unsupported` for what it is, `not-found` where a physical volume is missing, `damaged`
	 */
	async open(name: string): Promise<ByteSource> {
		if (this.#snapshots.has(name)) throw this.#cannotRead(name, "a snapshot");
		return this.#volume(name, 0);
	}

	/** Remembers failures, too: a volume may be part of many others. */
	async #volume(name: string, depth: number): Promise<ByteSource> {
		let known = this.#known.get(name);
		if (known === undefined) {
			try {
				known = await this.#make(name, depth);
			} catch (error) {
				if (!(error instanceof AnyvisorError)) throw error;
				known = error;
			}
			this.#known.set(name, known);
		}
		if (known instanceof AnyvisorError) throw known;
		return known;
	}

	async #make(name: string, depth: number): Promise<ByteSource> {
		const volume = this.#group.logicalVolumes.get(name);
		if (volume === undefined) throw wrong(this.#file, `the logical volume ${name} is missing, though others need it`);
		// A volume that is part of itself ends here, too.
		if (depth > DEEPEST) throw wrong(this.#file, `the logical volumes around ${name} nest too deep`);
		if (volume.merging) throw this.#cannotRead(name, "being merged with a snapshot");
		const below = new Set<ByteSource>();
		const parts: { readonly length: number; readonly run: RunAt }[] = [];
		for (const segment of volume.segments) {
			parts.push({ length: segment.length, run: await this.#segment(volume, segment, depth, below) });
		}
		return mapped({
			name: this.#named(name),
			size: volume.size,
			run: concatenated(parts),
			...(volume.writable && { fixed: [...below] }),
		});
	}

	/** @param below is told of what the segment lies on */
	async #segment(volume: LogicalVolume, segment: Segment, depth: number, below: Set<ByteSource>): Promise<RunAt> {
		const { type, length, fields } = segment;
		const open = async (areas: readonly Area[], each: number) => {
			const places: Place[] = [];
			for (const area of areas) places.push(await this.#place(area, each, depth));
			for (const { source } of places) below.add(source);
			return places;
		};
		switch (type) {
			case "linear":
			case "striped":
			case "raid0":
			case "raid0_meta": {
				const count = fields.number("stripe_count");
				const areas = type.startsWith("raid")
					? this.#images(segment, count).map(({ image }) => image)
					: this.#areas(segment, "stripes", count);
				const each = length / count;
				if (count === 1) return copies(length, await open(areas, each));
				const chunk = fields.bytes("stripe_size", SECTOR);
				if (chunk === 0 || each % chunk !== 0) throw fields.wrong("stripe_size", "a part of what each stripe has");
				const legs = await open(areas, each);
				return striped(
					chunk,
					legs.map((place) => copies(each, [place])),
				);
			}
			case "mirror": {
				const areas = this.#areas(segment, "mirrors", fields.number("mirror_count"));
				return copies(length, await present(areas.map((area) => () => open([area], length))));
			}
			case "raid1": {
				const images = await this.#currentImages(volume, segment, depth);
				return copies(length, await present(images.flatMap((image) => (image ? () => open([image], length) : []))));
			}
			case "raid10": {
				const images = await this.#currentImages(volume, segment, depth);
				const [count, chunk] = [images.length, fields.bytes("stripe_size", SECTOR)];
				// The only layout that LVM makes.
				const near = fields.has("data_copies") ? fields.number("data_copies") : 2;
				if (chunk === 0 || near < 1 || near > count) throw fields.wrong("stripe_size", "one that fits the copies");
				const seats: (Place | undefined)[] = [];
				for (const image of images) {
					const each = Math.ceil((length * near) / count);
					const place = image && (await ifThere(() => open([image], each)));
					seats.push(place?.[0]);
				}
				const run = raid10({ near, far: 1, offset: false }, seats, chunk, 0);
				if (!hasAllChunks(run, { count, chunk, size: length })) {
					throw notFound(`${this.#named(volume.name)} lacks too many of its ${count} images`, {
						file: this.#file,
						hint: allDisks,
					});
				}
				return run;
			}
			case "thin": {
				const source = await this.#thin(volume, segment, depth);
				below.add(source);
				return copies(length, [{ source, at: 0 }]);
			}
			case "zero":
				return copies(length, []);
			default:
				throw this.#cannotRead(
					volume.name,
					unreadableTypes.find(([start]) => type.startsWith(start))?.[1] ?? `a volume of the type "${type}"`,
				);
		}
	}

	/** The images of a mirror in their places, without those that fell behind. */
	async #currentImages(
		{ name }: LogicalVolume,
		segment: Segment,
		depth: number,
	): Promise<readonly (Area | undefined)[]> {
		const images = this.#images(segment, segment.fields.number("device_count"));
		const metadata: (ByteSource | undefined)[] = [];
		for (const { metadata: area } of images) {
			const place = area ? await ifThere(() => this.#place(area, 0, depth)) : undefined;
			metadata.push(place?.source);
		}
		const current = await currentImages(metadata);
		if (!current.includes(true)) throw wrong(this.#file, `no image of ${name} has all its data`);
		return images.map(({ image }, i) => (current[i] ? image : undefined));
	}

	async #thin({ name }: LogicalVolume, { length, fields }: Segment, depth: number): Promise<ByteSource> {
		if (fields.has("external_origin")) throw this.#cannotRead(name, "a thin volume over another volume");
		const pool = fields.string("thin_pool");
		const [segment] = this.#group.logicalVolumes.get(pool)?.segments ?? [];
		if (segment?.type !== "thin-pool") throw wrong(this.#file, `there is no thin pool ${pool}, which ${name} is in`);
		const metadata = await this.#volume(segment.fields.string("metadata"), depth + 1);
		const data = await this.#volume(segment.fields.string("pool"), depth + 1);
		const id = fields.number("device_id");
		return openThin({ metadata, data }, { id, name: this.#named(name), size: length });
	}

	/** Pairs of a volume, physical or logical, and of an extent of it. */
	#areas({ fields }: Segment, key: string, count: number): readonly Area[] {
		const list = fields.list(key);
		if (count < 1 || count > MOST_LEGS || list.length !== count * 2)
			throw fields.wrong(key, `a list of ${count} areas`);
		return Array.from({ length: count }, (_, i) => {
			const [name, extent] = [list[2 * i], list[2 * i + 1]];
			const at = Number(extent) * this.#group.extentSize;
			if (typeof name !== "string" || !Number.isSafeInteger(at) || at < 0) throw fields.wrong(key, "a list of areas");
			return { name, at };
		});
	}

	/** The images of a RAID; where it has metadata, they come in pairs, the metadata first. */
	#images({ fields }: Segment, count: number): readonly { readonly image: Area; readonly metadata?: Area }[] {
		const key = fields.has("raid0_lvs") ? "raid0_lvs" : "raids";
		const names = fields.strings(key);
		const step = names.length === 2 * count ? 2 : 1;
		if (count < 1 || count > MOST_LEGS || names.length !== step * count)
			throw fields.wrong(key, `a list of ${count} images`);
		const areas = names.map((name) => ({ name, at: 0 }));
		return Array.from({ length: count }, (_, i) => {
			const [first, image = first] = areas.slice(i * step, (i + 1) * step);
			if (first === undefined || image === undefined) throw fields.wrong(key, "a list of images");
			return step === 1 ? { image } : { image, metadata: first };
		});
	}

	async #place({ name, at }: Area, length: number, depth: number): Promise<Place> {
		const physical = this.#group.physicalVolumes.get(name);
		if (physical === undefined) {
			const source = await this.#volume(name, depth + 1);
			if (at + length > source.size) throw wrong(this.#file, `an area of ${length} bytes at ${at} leaves ${name}`);
			return { source, at };
		}
		if (at + length > physical.count * this.#group.extentSize) {
			throw wrong(this.#file, `an area of ${length} bytes at ${at} leaves the extents of ${name}`);
		}
		const source = this.#physical.get(physical.id);
		if (source === undefined) {
			const was = physical.device === "" ? physical.id : `${physical.id}, once ${physical.device}`;
			throw notFound(`${this.#file}: the volume group ${this.#group.name} lacks its physical volume ${was}`, {
				file: this.#file,
				hint: allDisks,
			});
		}
		return { source, at: physical.start + at };
	}

	#named(volume: string): string {
		return `${this.#file}:${this.#group.name}/${volume}`;
	}

	#cannotRead(volume: string, what: string) {
		return unsupported(`${this.#file}: ${this.#group.name}/${volume} is ${what}, which Anyvisor cannot read`, {
			file: this.#file,
			hint: "Move what it holds to a linear volume where the guest runs, with lvconvert or by a copy.",
		});
	}
}

interface Area {
	readonly name: string;
	/** In bytes from the first extent. */
	readonly at: number;
}

/** Those of some copies that are on physical volumes which are there. */
async function present(opening: readonly (() => Promise<readonly Place[]>)[]): Promise<readonly Place[]> {
	const found: Place[] = [];
	for (const open of opening) found.push(...((await ifThere(open)) ?? []));
	// None is: the first one's complaint is as good as any.
	return found.length > 0 || opening[0] === undefined ? found : opening[0]();
}

/** `undefined` for what is on a physical volume that is missing. */
async function ifThere<T>(open: () => Promise<T>): Promise<T | undefined> {
	try {
		return await open();
	} catch (error) {
		if (error instanceof AnyvisorError && error.kind === "not-found") return undefined;
		throw error;
	}
}
