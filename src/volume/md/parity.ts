import { AnyvisorError } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import type { Place, RunAt } from "../mapping.js";
import { addProducts, inverse, ORDER, power } from "./galois.js";

/**
 * How RAID 4, 5 and 6 deal data and parity to the members. P is the sum of a row's data, Q the sum of their products with
 * powers of 2. md(4), "RAID4", "RAID5", "RAID6"; the names are those of mdadm(8), "--layout".
 */
export interface ParityLayout {
	/** Of all members. */
	readonly count: number;
	/** Members that hold data, in each row. */
	readonly width: number;
	/** What the members hold in row after row of chunks. */
	row(index: number): Row;
}

interface Row {
	/** Member with P. */
	readonly p: number;
	/** Member with Q; none in RAID 4 and 5. */
	readonly q: number | undefined;
	/** The member with the row's chunk `index` of data. */
	member(index: number): number;
	/** The power of 2 that data of this member is multiplied with for Q. */
	exponent(member: number): number;
}

/** Which member P is on as rows go on: one to the left or right each time, or always the same. */
type Turn = "left" | "right" | "first" | "last";

interface Dealing {
	readonly turn: Turn;
	/** Data begins behind the parity and goes round, not with the first member. */
	readonly symmetric: boolean;
	/** Where Q is, in RAID 6: beside P, or always on the last member, with RAID 5 on the others. */
	readonly q: "behind" | "before" | "last";
	/** Powers are counted by members, not from Q on. */
	readonly ddf: boolean;
	/** Rows that are as if they came before the first. */
	readonly ahead: number;
}

const dealing = (turn: Turn, symmetric = false, others: Partial<Dealing> = {}): Dealing => ({
	...{ turn, symmetric, q: "behind", ddf: false, ahead: 0 },
	...others,
});

const LAST = { q: "last" } as const;

/** By the number of the layout, from 0 on; from 8 and from 16 on only in RAID 6. */
const dealings = new Map<number, Dealing>(
	Object.entries({
		0: dealing("left"),
		1: dealing("right"),
		2: dealing("left", true),
		3: dealing("right", true),
		4: dealing("first"),
		5: dealing("last"),
		8: dealing("right", false, { ddf: true }),
		9: dealing("left", false, { ddf: true, ahead: 1 }),
		10: dealing("left", true, { ddf: true, q: "before" }),
		16: dealing("left", false, LAST),
		17: dealing("right", false, LAST),
		18: dealing("left", true, LAST),
		19: dealing("right", true, LAST),
		20: dealing("first", false, LAST),
	}).map(([number, value]) => [Number(number), value]),
);
const FIRST_OF_RAID6 = 8;
const PARITY_LAST = 5;

/** @returns `undefined` for a layout that is not read, and for a number of members that cannot be */
export function parityLayout(level: number, layout: number, count: number): ParityLayout | undefined {
	const found = dealings.get(level === 4 ? PARITY_LAST : layout);
	const parity = level === 6 ? 2 : 1;
	if (found === undefined || count <= parity) return undefined;
	if (level === 6 ? count > ORDER : found.ddf || layout >= FIRST_OF_RAID6) return undefined;
	return { count, width: count - parity, row: (index) => rowOf(found, level === 6, count, index) };
}

function rowOf({ turn, symmetric, q: where, ddf, ahead }: Dealing, hasQ: boolean, count: number, index: number): Row {
	const fixed = hasQ && where === "last";
	/** Members that P goes round on. */
	const round = fixed ? count - 1 : count;
	const step = (index + ahead) % round;
	const last = hasQ && !fixed ? round - 2 : round - 1;
	const p = { left: round - 1 - step, right: step, first: 0, last }[turn];
	const beside = where === "before" ? p + count - 1 : p + 1;
	const q = hasQ ? (fixed ? count - 1 : beside % count) : undefined;
	const begin = q === undefined || fixed || where === "before" ? p + 1 : q + 1;
	const parities = [p, q].filter((member) => member !== undefined).sort((a, b) => a - b);
	return {
		p,
		q,
		member(chunk) {
			if (symmetric) return (begin + chunk) % round;
			return parities.reduce((member, taken) => (member >= taken ? member + 1 : member), chunk);
		},
		exponent(member) {
			if (ddf || q === undefined) return member;
			const behind = (other: number) => (other - q - 1 + count) % count;
			return behind(member) - (behind(p) < behind(member) ? 1 : 0);
		},
	};
}

/**
 * Chunk after chunk of data. What is on a member that is not there, or cannot be read, is made of the others.
 *
 * @param rebuilds whether parity is known to fit the data
 */
export function withParity(
	layout: ParityLayout,
	seats: readonly (Place | undefined)[],
	chunk: number,
	rebuilds: boolean,
): RunAt {
	const lost = seats.flatMap((seat, member) => (seat === undefined ? [member] : []));
	const rebuilt = seats.map(
		(seat, member): ByteSource => ({
			name: (seat ?? seats.find((other) => other !== undefined))?.source.name ?? "",
			size: Number.MAX_SAFE_INTEGER,
			read: (at, into) => rebuild(layout, seats, chunk, { member, at, without: new Set([member, ...lost]) }, into),
		}),
	);
	return (at) => {
		const index = Math.floor(at / chunk);
		const row = Math.floor(index / layout.width);
		const member = layout.row(row).member(index % layout.width);
		const within = row * chunk + (at % chunk);
		const seat = seats[member];
		const places: Place[] = seat ? [{ source: seat.source, at: seat.at + within }] : [];
		const source = rebuilt[member];
		if (source && rebuilds && lost.length + (seat ? 1 : 0) <= layout.count - layout.width) {
			places.push({ source, at: within });
		}
		return { length: chunk - (at % chunk), places };
	};
}

interface Wanted {
	/** A member with data. */
	readonly member: number;
	/** Byte of its data. */
	readonly at: number;
	/** Members that are not asked: this one, those that are not there, and those that cannot be read. */
	readonly without: ReadonlySet<number>;
}

/** Fills `into`, which lies within a chunk, with what a member has or should have, from what the others have. */
async function rebuild(
	layout: ParityLayout,
	seats: readonly (Place | undefined)[],
	chunk: number,
	{ member, at, without }: Wanted,
	into: Uint8Array,
): Promise<void> {
	const row = layout.row(Math.floor(at / chunk));
	const { p, q } = row;
	/** Another member whose data is wanted. */
	const second = [...without].find((other) => other !== member && other !== p && other !== q);
	const useP = !without.has(p);
	const useQ = q !== undefined && !without.has(q) && (second !== undefined || !useP);
	const sumP = new Uint8Array(useP ? into.length : 0);
	const sumQ = new Uint8Array(useQ ? into.length : 0);
	const bytes = new Uint8Array(into.length);
	for (const [other, seat] of seats.entries()) {
		if (seat === undefined || without.has(other) || (other === q && !useQ)) continue;
		try {
			await seat.source.read(seat.at + at, bytes);
		} catch (error) {
			const isLast = without.size >= layout.count - layout.width;
			if (!(error instanceof AnyvisorError) || error.kind === "interrupted" || isLast) throw error;
			return rebuild(layout, seats, chunk, { member, at, without: new Set([...without, other]) }, into);
		}
		if (useP && other !== q) addProducts(sumP, bytes, 1);
		if (useQ && other !== p) addProducts(sumQ, bytes, other === q ? 1 : power(row.exponent(other)));
	}
	into.fill(0);
	if (!useQ) return into.set(sumP);
	const own = power(row.exponent(member));
	if (second === undefined) return addProducts(into, sumQ, inverse(own));
	// Two equations: own + other = P, and own and other, each times its power, = Q.
	const factor = power(row.exponent(second));
	addProducts(sumQ, sumP, factor);
	addProducts(into, sumQ, inverse(own ^ factor));
}
