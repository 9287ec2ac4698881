import { damaged } from "../../bytes/errors.js";
import { SECTOR } from "./layout.js";
import { parseMetadata, type Section } from "./metadata-text.js";

/** What the metadata says of a volume group. Sizes and offsets are in bytes. */
export interface VolumeGroup {
	readonly name: string;
	readonly id: string;
	/** Counts the changes to the metadata. */
	readonly seqno: number;
	readonly extentSize: number;
	/** By the names that the metadata has for them, such as `pv0`. */
	readonly physicalVolumes: ReadonlyMap<string, PhysicalExtents>;
	readonly logicalVolumes: ReadonlyMap<string, LogicalVolume>;
}

/** Where the extents of a physical volume are. */
interface PhysicalExtents {
	/** Without hyphens, as in its label. */
	readonly id: string;
	/** For messages: the device that it was, `/dev/sda2`. */
	readonly device: string;
	readonly start: number;
	readonly count: number;
}

export interface LogicalVolume {
	readonly name: string;
	readonly visible: boolean;
	readonly writable: boolean;
	/** A snapshot is being merged into it. */
	readonly merging: boolean;
	readonly size: number;
	/** Ascending and without gaps. */
	readonly segments: readonly Segment[];
}

export interface Segment {
	readonly type: string;
	readonly at: number;
	readonly length: number;
	readonly fields: Fields;
}

/** The group that `text` is about. */
export function parseVolumeGroup(text: string, file: string): VolumeGroup {
	const [[name, section] = []] = parseMetadata(text, file).sections;
	if (name === undefined || section === undefined) throw wrong(file, "it names no volume group");
	const fields = new Fields(section, name, file);
	const extentSize = fields.bytes("extent_size", SECTOR);
	if (extentSize === 0) throw wrong(file, `the extents of ${name} have no size`);
	return {
		name,
		id: fields.string("id").replaceAll("-", ""),
		seqno: fields.number("seqno"),
		extentSize,
		physicalVolumes: new Map(fields.sections("physical_volumes").map(([pv, of]) => [pv, physicalExtents(of)])),
		logicalVolumes: new Map(
			fields.sections("logical_volumes").map(([lv, of]) => [lv, logicalVolume(lv, of, extentSize, file)]),
		),
	};
}

const physicalExtents = (fields: Fields): PhysicalExtents => ({
	id: fields.string("id").replaceAll("-", ""),
	device: fields.has("device") ? fields.string("device") : "",
	start: fields.bytes("pe_start", SECTOR),
	count: fields.number("pe_count"),
});

function logicalVolume(name: string, fields: Fields, extentSize: number, file: string): LogicalVolume {
	const segments = fields.ownSections().map(
		([, segment]): Segment => ({
			type: segment.string("type"),
			at: segment.bytes("start_extent", extentSize),
			length: segment.bytes("extent_count", extentSize),
			fields: segment,
		}),
	);
	segments.sort((a, b) => a.at - b.at);
	let size = 0;
	for (const { at, length } of segments) {
		if (at !== size || length === 0) throw wrong(file, `the segments of ${name} leave a gap or overlap`);
		size += length;
		if (!Number.isSafeInteger(size)) throw wrong(file, `${name} is larger than any volume`);
	}
	const status = fields.strings("status");
	return {
		name,
		visible: status.includes("VISIBLE"),
		writable: status.includes("WRITE"),
		merging: status.includes("MERGING"),
		size,
		segments,
	};
}

/** The values of a section, of the type that each has to have; the others are `damaged`. */
class Fields {
	readonly #section: Section;
	/** For messages. */
	readonly #of: string;
	readonly file: string;

	constructor(section: Section, of: string, file: string) {
		this.#section = section;
		this.#of = of;
		this.file = file;
	}

	has(key: string): boolean {
		return this.#section.values.has(key);
	}

	/** A count: 0 to 2^53 - 1. */
	number(key: string): number {
		const value = this.#section.values.get(key);
		if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
		throw this.wrong(key, "a number");
	}

	/** A count of units of `unit` bytes, in bytes. */
	bytes(key: string, unit: number): number {
		const value = this.number(key) * unit;
		if (!Number.isSafeInteger(value)) throw this.wrong(key, "within the reach of any volume");
		return value;
	}

	string(key: string): string {
		const value = this.#section.values.get(key);
		if (typeof value === "string") return value;
		throw this.wrong(key, "text");
	}

	/** The text of a list; a lone string is a list of one. */
	strings(key: string): readonly string[] {
		return this.list(key).filter((value) => typeof value === "string");
	}

	list(key: string): readonly (string | number)[] {
		const value = this.#section.values.get(key) ?? [];
		return typeof value === "object" ? value : [value];
	}

	/** The sections of the section `key`, which may be missing. */
	sections(key: string): readonly (readonly [string, Fields])[] {
		const section = this.#section.sections.get(key);
		return section ? new Fields(section, key, this.file).ownSections() : [];
	}

	ownSections(): readonly (readonly [string, Fields])[] {
		return [...this.#section.sections].map(([name, section]) => [name, new Fields(section, name, this.file)] as const);
	}

	wrong(key: string, wanted: string) {
		return wrong(this.file, `"${key}" of ${this.#of} is not ${wanted}`);
	}
}

export const wrong = (file: string, fault: string) =>
	damaged(`${file}: in the LVM2 metadata, ${fault}`, {
		file,
		hint: '"vgcfgbackup" where the guest runs, or "pvck --dump metadata" on a copy, shows the text.',
	});
