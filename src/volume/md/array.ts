import { type AnyvisorError, notFound, unsupported } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import { concatenated, copies, mapped, type Place, type RunAt, striped } from "../mapping.js";
import type { Volume } from "../volume.js";
import { parityLayout, withParity } from "./parity.js";
import { hasAllChunks, raid10, raid10Layout, raid10Sizes } from "./raid10.js";
import type { Member } from "./superblock.js";

/** A member and the volume that it is on. */
export interface Found {
	readonly volume: Volume;
	readonly member: Member;
}

/** What an array is made of. */
interface Parts {
	readonly size: number;
	readonly run: RunAt;
	/** What is written at some place changes others. */
	readonly readOnly?: true;
}

/** A member in its place. */
type Seat = (Place & { readonly size: number }) | undefined;

/** RAID 0 over members of different sizes, as Linux laid it out before 3.14 (1) and since (2). */
const [ORIGINAL, ALTERNATE] = [1, 2];

/**
 * The bytes of an array; a store when all its members are, but not with parity.
 *
 * @param found its members, of one array
 * @param name of the array, for messages and for the source
 * @throws `unsupported` by level or layout, `not-found` where too few members are there
 */
export function openArray(found: readonly Found[], name: string): ByteSource {
	const newest = newestOf(found);
	const seats = seated(found, newest);
	const { size, run, readOnly } = partsOf(newest, seats, name);
	if (readOnly) return mapped({ name, size, run });
	const fixed = seats.flatMap((seat) => (seat ? [seat.source] : []));
	return mapped({ name, size, run, fixed });
}

export const newestOf = (found: readonly Found[]): Member => {
	const [first, ...others] = found.map(({ member }) => member);
	if (first === undefined) throw new RangeError("an array without members");
	return others.reduce((best, member) => (member.events > best.events ? member : best), first);
};

/** The members by their places. One whose events are behind was left out; by one, it was only not told of a stop. */
function seated(found: readonly Found[], newest: Member): readonly Seat[] {
	const seats: Seat[] = Array.from({ length: newest.count });
	for (const { volume, member } of found) {
		if (member.recovering || member.events + 1 < newest.events) continue;
		const place = newest.roles[member.number];
		if (place === undefined || place >= newest.count) continue;
		seats[place] ??= { source: volume.source, at: member.data.at, size: member.data.size };
	}
	return seats;
}

function partsOf(array: Member, seats: readonly Seat[], name: string): Parts {
	const { level, chunk, count, used, layout } = array;
	if (array.reshaping) throw cannotRead(name, "is being reshaped");
	switch (level) {
		case -1:
			return linear(complete(seats, name), chunk);
		case 0:
			if (chunk === 0) throw cannotRead(name, "has no chunk size");
			return raid0(complete(seats, name), chunk, layout, name);
		case 1: {
			const present = seats.filter((seat) => seat !== undefined);
			if (present.length === 0) throw lacking(name, seats);
			return { size: used, run: copies(used, present) };
		}
		case 10: {
			const ways = raid10Layout(layout ?? 0, count);
			if (ways === undefined || chunk === 0)
				throw cannotRead(name, `has the RAID 10 layout 0x${(layout ?? 0).toString(16)}`);
			const { stride, size } = raid10Sizes(ways, count, chunk, used);
			const run = raid10(ways, seats, chunk, stride);
			if (!hasAllChunks(run, { count, chunk, size })) throw lacking(name, seats);
			return { size, run };
		}
		case 4:
		case 5:
		case 6:
			return parityParts(array, seats, name);
		default:
			throw cannotRead(name, `has the level ${level}`);
	}
}

function parityParts(array: Member, seats: readonly Seat[], name: string): Parts {
	const { level, chunk, count, used, layout = 0, clean, journal } = array;
	const dealt = parityLayout(level, layout, count);
	if (dealt === undefined || chunk === 0) {
		throw cannotRead(name, `is RAID ${level} of ${count} members with the layout ${layout}`);
	}
	if (journal) throw cannotRead(name, `is RAID ${level} with a journal`);
	const lost = seats.filter((seat) => seat === undefined).length;
	if (lost > count - dealt.width) throw lacking(name, seats);
	if (lost > 0 && !clean) {
		throw unsupported(`${name} was not stopped, and lacks a member that parity may not tell anymore`, {
			file: name,
			hint: "Name all disks of the machine, or shut the guest down cleanly where it runs and copy its disks again.",
		});
	}
	const size = Math.floor(used / chunk) * chunk * dealt.width;
	return { size, run: withParity(dealt, seats, chunk, clean), readOnly: true };
}

/** One member after the other, each in whole chunks where there are chunks. */
function linear(members: readonly NonNullable<Seat>[], chunk: number): Parts {
	const parts = members.map((member) => {
		const length = chunk === 0 ? member.size : Math.floor(member.size / chunk) * chunk;
		return { length, run: copies(length, [member]) };
	});
	return { size: parts.reduce((sum, { length }) => sum + length, 0), run: concatenated(parts) };
}

/** Zones: the first is as deep as the smallest member on all of them, the next one goes on over those that are left. */
function raid0(members: readonly NonNullable<Seat>[], chunk: number, layout: number | undefined, name: string): Parts {
	const depth = ({ size }: { size: number }) => Math.floor(size / chunk) * chunk;
	const depths = [...new Set(members.map(depth))].sort((a, b) => a - b);
	if (depths.length > 1 && layout !== ORIGINAL && layout !== ALTERNATE) {
		throw cannotRead(name, "is RAID 0 over members of different sizes that does not say how it is laid out");
	}
	let [top, size] = [0, 0];
	const zones = depths.map((bottom) => {
		const from = top;
		const legs = members
			.filter((member) => depth(member) > from)
			.map((member) => copies(bottom - from, [{ source: member.source, at: member.at + from }]));
		const length = (bottom - from) * legs.length;
		// The original layout goes on counting members from the start of the array, not from that of the zone.
		const first = layout === ORIGINAL ? Math.floor(size / chunk) % Math.max(legs.length, 1) : 0;
		top = bottom;
		size += length;
		return { length, run: striped(chunk, [...legs.slice(first), ...legs.slice(0, first)]) };
	});
	return { size, run: concatenated(zones.filter(({ length }) => length > 0)) };
}

function complete(seats: readonly Seat[], name: string): readonly NonNullable<Seat>[] {
	const present = seats.filter((seat) => seat !== undefined);
	if (present.length < seats.length) throw lacking(name, seats);
	return present;
}

const lacking = (name: string, seats: readonly Seat[]) => {
	const absent = seats.flatMap((seat, i) => (seat ? [] : [i]));
	return notFound(`${name} lacks ${absent.length} of its ${seats.length} members (${absent.slice(0, 10).join(", ")})`, {
		file: name,
		hint: "Name all disks of the machine, by a descriptor beside them for example.",
	});
};

const cannotRead = (name: string, what: string): AnyvisorError =>
	unsupported(`${name} ${what}, which Anyvisor cannot read`, {
		file: name,
		hint: "Copy what it holds to a plain partition or to RAID of another kind where the guest runs.",
	});
