import { AnyvisorError, damaged } from "../../bytes/errors.js";
import { type ByteSource, readUpTo } from "../../bytes/source.js";
import { u32, viewOf } from "../../bytes/struct.js";
import type { Volume } from "../volume.js";
import {
	CLEAN,
	Feature,
	FIRST_NO_ROLE,
	MAGIC,
	MemberState,
	MOST_ROLES,
	RESHAPING_MINOR,
	SECTOR,
	SUPERBLOCK_BYTES,
	Superblock0,
	Superblock1,
} from "./layout.js";

/** The offset up to which members fit each other, when that is everywhere. */
const ALL_FITS = 2n ** 64n - 1n;

/** What a member says of its array and of itself, whatever the version. Sizes and offsets are in bytes. */
export interface Member {
	/** Of the array: 32 hex digits. */
	readonly uuid: string;
	/** What its devices are named after: `host:name`, or a number. */
	readonly name: string;
	readonly level: number;
	readonly layout: number | undefined;
	readonly chunk: number;
	/** How many members the array wants. */
	readonly count: number;
	/** What is used of each member. */
	readonly used: number;
	/** Where the data of this member is. */
	readonly data: { readonly at: number; readonly size: number };
	readonly events: number;
	/** This member's number, which {@link roles} is asked for. */
	readonly number: number;
	/** The places of the members in the array, by their numbers; none for spares and for what failed. */
	readonly roles: readonly (number | undefined)[];
	/** It does not have all data yet. */
	readonly recovering: boolean;
	readonly reshaping: boolean;
	/** Parity fits the data: the array was stopped, and is not being made to fit. */
	readonly clean: boolean;
	/** What was written last is on a device of its own. */
	readonly journal: boolean;
	/** Where the superblock is on its volume. */
	readonly at: number;
}

/** The superblock of a member of an array, at whichever of its places; `undefined` where there is none. */
export async function readMember(source: ByteSource): Promise<Member | undefined> {
	const sectors = Math.floor(source.size / SECTOR);
	// 1.1 at the start, 1.2 behind 4 KiB, 1.0 at least 8 KiB before the end, at a multiple of 4 KiB.
	for (const at of [0, 8 * SECTOR, Math.floor((sectors - 16) / 8) * 8 * SECTOR]) {
		const bytes = await magicAt(source, at);
		const member = bytes && readVersion1(source.name, bytes, at);
		if (member) return member;
	}
	// The last whole 64 KiB.
	const at = Math.floor(source.size / 65536) * 65536 - 65536;
	const bytes = await magicAt(source, at);
	return bytes && readVersion0(source.name, bytes, at);
}

/**
 * Whether the whole disk is a member, though it looks like one with partitions: what a mirror holds begins on each half
 * where the half itself begins, and so does the array's partition table.
 *
 * @param partitions of the disk, by that table
 */
export async function isMember(disk: ByteSource, partitions: readonly Volume[]): Promise<boolean> {
	try {
		const member = await readMember(disk);
		// The superblock of a partition at the end of the disk may stand where the disk's own would.
		return member !== undefined && !partitions.some(({ at, size }) => at <= member.at && member.at < at + size);
	} catch (error) {
		if (error instanceof AnyvisorError) return false;
		throw error;
	}
}

async function magicAt(source: ByteSource, at: number): Promise<Uint8Array | undefined> {
	if (at < 0) return undefined;
	const bytes = await readUpTo(source, at, SUPERBLOCK_BYTES);
	return bytes.length === SUPERBLOCK_BYTES && u32.get(viewOf(bytes), 0, true) === MAGIC ? bytes : undefined;
}

function readVersion1(file: string, bytes: Uint8Array, at: number): Member | undefined {
	if (u32.get(viewOf(bytes), Superblock1.offsets.major_version, true) !== 1) return undefined;
	const block = Superblock1.parse(bytes, 0, file, at);
	// One at the end of the last partition is at the end of the disk as well, and so are those of older arrays.
	if (block.super_offset * SECTOR !== at) return undefined;
	const { max_dev: roles, feature_map: features } = block;
	if (roles > MOST_ROLES) throw broken(file, at, `its superblock claims ${roles} members`);
	const sum = checksum(bytes.subarray(0, Superblock1.size + 2 * roles), Superblock1.offsets.sb_csum);
	if (sum !== block.sb_csum) throw broken(file, at, "the checksum of its superblock is wrong");
	const role = (index: number) => {
		const value = viewOf(bytes).getUint16(Superblock1.size + 2 * index, true);
		return value < FIRST_NO_ROLE ? value : undefined;
	};
	return checked(file, {
		at,
		uuid: hex(block.set_uuid),
		name: block.set_name,
		level: block.level,
		// In RAID 0 the field has a meaning only since the feature exists.
		layout: block.level !== 0 || (features & Feature.RAID0_LAYOUT) !== 0 ? block.layout : undefined,
		chunk: block.chunksize * SECTOR,
		count: block.raid_disks,
		used: block.size * SECTOR,
		data: { at: block.data_offset * SECTOR, size: block.data_size * SECTOR },
		events: block.events,
		number: block.dev_number,
		roles: Array.from({ length: roles }, (_, index) => role(index)),
		recovering: (features & (Feature.RECOVERY_OFFSET | Feature.REPLACEMENT)) !== 0,
		reshaping: (features & Feature.RESHAPE_ACTIVE) !== 0,
		clean: block.resync_offset === ALL_FITS,
		journal: (features & Feature.JOURNAL) !== 0,
	});
}

function readVersion0(file: string, bytes: Uint8Array, at: number): Member | undefined {
	const block = Superblock0.parse(bytes, 0, file, at);
	if (block.major_version !== 0) return undefined;
	if (checksum(bytes, Superblock0.offsets.sb_csum) !== block.sb_csum) {
		throw broken(file, at, "the checksum of its superblock is wrong");
	}
	const used = block.size * 1024;
	return checked(file, {
		at,
		uuid: [block.set_uuid0, ...block.set_uuid123].map((word) => word.toString(16).padStart(8, "0")).join(""),
		name: String(block.md_minor),
		level: block.level,
		layout: block.level === 0 ? undefined : block.layout,
		chunk: block.chunk_size,
		count: block.raid_disks,
		used,
		data: { at: 0, size: at },
		events: block.events_hi * 2 ** 32 + block.events_lo,
		number: block.this_disk.number,
		roles: block.disks.map(({ raid_disk: place, state }) => {
			const whole = MemberState.ACTIVE | MemberState.SYNC;
			return (state & (whole | MemberState.FAULTY)) === whole ? place : undefined;
		}),
		recovering: false,
		reshaping: block.minor_version >= RESHAPING_MINOR,
		clean: (block.state & CLEAN) !== 0,
		journal: false,
	});
}

/** Sums and products of its values are exact, and the superblock knows itself. */
function checked(file: string, member: Member): Member {
	const { at, count, used, data, number, roles } = member;
	const reach = [used * Math.max(count, 1), data.at + data.size, data.size * Math.max(count, 1), member.events];
	if (!reach.every(Number.isSafeInteger)) throw broken(file, at, "its superblock has sizes beyond any disk");
	if (count < 1 || count > MOST_ROLES) throw broken(file, at, `its superblock claims an array of ${count} members`);
	if (number >= roles.length) throw broken(file, at, `its superblock has the number ${number} of ${roles.length}`);
	return member;
}

/** The sum of all 32-bit words, with what overflows added once more, and the checksum itself as zero. */
export function checksum(block: Uint8Array, own: number): number {
	const view = viewOf(block);
	let sum = 0;
	let at = 0;
	for (; at + 4 <= block.length; at += 4) if (at !== own) sum += view.getUint32(at, true);
	if (at < block.length) sum += view.getUint16(at, true);
	return ((sum % 2 ** 32) + Math.floor(sum / 2 ** 32)) % 2 ** 32;
}

const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

const broken = (file: string, offset: number, fault: string): AnyvisorError =>
	damaged(`${file} is a member of a Linux RAID, but ${fault}`, {
		file,
		offset,
		hint: 'Compare the file with the original; "mdadm --examine" on a copy tells what can be restored.',
	});
