import { Superblock0, Superblock1 } from "../../src/volume/md/layout.js";
import { checksum } from "../../src/volume/md/superblock.js";

const uuid = Uint8Array.from({ length: 16 }, (_, i) => 0x10 + i);
const SECTOR = 512;

/** Where an array's superblock stands on a member of `size` bytes. */
export const places = {
	"1.0": (size: number) => Math.floor((size / SECTOR - 16) / 8) * 8 * SECTOR,
	"1.1": () => 0,
	"1.2": () => 4096,
	"0.90": (size: number) => Math.floor(size / 65536) * 65536 - 65536,
} as const;

export type Version = keyof typeof places;

interface Array1 {
	readonly level: number;
	readonly layout?: number;
	/** Bytes. */
	readonly chunk?: number;
	readonly count: number;
	readonly name?: string;
	readonly events?: number;
	/** Place of the member, or none. */
	readonly role?: number;
	/** Of all members by their numbers; by default each has its own number. */
	readonly roles?: readonly number[];
	readonly features?: number;
	/** False: it was not stopped. */
	readonly clean?: boolean;
}

/** Bytes before the data, and behind it. */
export const dataOf = (version: Version, size: number) =>
	version === "0.90"
		? { at: 0, size: places["0.90"](size) }
		: version === "1.0"
			? { at: 0, size: places["1.0"](size) }
			: { at: 64 << 10, size: size - (64 << 10) };

/** Puts member `number` of an array into `image`, by the documented format. */
export function writeMember(image: Uint8Array, version: Version, number: number, array: Array1): void {
	const at = places[version](image.length);
	const { level, layout = 0, chunk = 0, count, name = "host:data", events = 7, features = 0, clean = true } = array;
	const roles = array.roles ?? Array.from({ length: count }, (_, i) => i);
	const data = dataOf(version, image.length);
	const used = level === 0 || level === -1 ? 0 : Math.floor(data.size / (chunk || 4096)) * (chunk || 4096);
	if (version === "0.90") {
		const disks = roles.map((role, i) => ({ number: i, raid_disk: role, state: 6, major: 7, minor: i, reserved: [] }));
		const values = {
			md_magic: 0xa92b4efc,
			minor_version: 90,
			set_uuid0: 0x10111213,
			set_uuid123: [0x14151617, 0x18191a1b, 0x1c1d1e1f],
			ctime: 1_750_000_000,
			utime: 1_750_000_000,
			level,
			size: used / 1024,
			nr_disks: roles.length,
			active_disks: roles.length,
			working_disks: roles.length,
			raid_disks: count,
			md_minor: 3,
			state: clean ? 1 : 0,
			events_lo: events,
			layout,
			chunk_size: chunk,
			disks,
			...(disks[number] && { this_disk: disks[number] }),
		};
		const unsigned = Superblock0.build(values);
		image.set(Superblock0.build({ ...values, sb_csum: checksum(unsigned, Superblock0.offsets.sb_csum) }), at);
		return;
	}
	const values = {
		magic: 0xa92b4efc,
		major_version: 1,
		feature_map: features,
		set_uuid: uuid,
		set_name: name,
		ctime: 1_750_000_000n,
		level,
		layout,
		size: used / SECTOR,
		chunksize: chunk / SECTOR,
		raid_disks: count,
		data_offset: data.at / SECTOR,
		data_size: data.size / SECTOR,
		super_offset: at / SECTOR,
		dev_number: number,
		device_uuid: Uint8Array.from({ length: 16 }, () => number + 1),
		utime: 1_750_000_000n,
		events,
		resync_offset: clean ? 2n ** 64n - 1n : 0n,
		max_dev: roles.length,
	};
	const whole = new Uint8Array(Superblock1.size + 2 * roles.length);
	const view = new DataView(whole.buffer);
	roles.forEach((role, i) => view.setUint16(Superblock1.size + 2 * i, role, true));
	whole.set(Superblock1.build(values));
	view.setUint32(Superblock1.offsets.sb_csum, checksum(whole, Superblock1.offsets.sb_csum), true);
	image.set(whole, at);
}
