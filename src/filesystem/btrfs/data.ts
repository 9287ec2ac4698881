import { AnyvisorError, damaged } from "../../bytes/errors.js";
import { sumsTo } from "./checksum.js";
import { type Key, KeyType, ObjectId } from "./layout.js";
import type { NodePointer } from "./node.js";
import { findRoot } from "./subvolume.js";
import { corrupt } from "./superblock.js";
import { items, lastAtMost } from "./tree.js";
import type { BtrfsVolume } from "./volume.js";

/** How much is read and verified at once, in bytes: a multiple of every sector size. */
const PIECE = 1 << 20;

/** Checksums of sectors by their logical address. */
type Sums = ReadonlyMap<number, Uint8Array>;

const noSums: Sums = new Map();

/**
 * The data of files by their logical addresses, each sector verified by its checksum and taken from another copy where
 * it is wrong: https://btrfs.readthedocs.io/en/latest/dev/On-disk-format.html#extent-csum-80
 */
export class Data {
	readonly #volume: BtrfsVolume;
	/** Root of the tree of checksums, when it was needed. */
	#csumTree: Promise<NodePointer | undefined> | undefined;

	constructor(volume: BtrfsVolume) {
		this.#volume = volume;
	}

	/**
	 * Fills `into` with the bytes at `logical`.
	 *
	 * @param verify false where data have no checksums
	 * @param referrer the byte that names the address, for messages
	 */
	async read(logical: number, into: Uint8Array, verify: boolean, referrer: number): Promise<void> {
		const { sectorsize } = this.#volume.parameters.fields;
		for (let done = 0; done < into.length; ) {
			const at = logical + done;
			const from = Math.floor(at / sectorsize) * sectorsize;
			const to = Math.min(Math.ceil((logical + into.length) / sectorsize) * sectorsize, from + PIECE);
			const part = into.subarray(done, done + to - at);
			if (from === at && part.length === to - from) await this.#sectors(from, part, verify, referrer);
			else {
				const whole = new Uint8Array(to - from);
				await this.#sectors(from, whole, verify, referrer);
				part.set(whole.subarray(at - from, at - from + part.length));
			}
			done += part.length;
		}
	}

	/** As {@link read}, into a new array. */
	async whole(logical: number, length: number, verify: boolean, referrer: number): Promise<Uint8Array> {
		const bytes = new Uint8Array(length);
		await this.read(logical, bytes, verify, referrer);
		return bytes;
	}

	async #sectors(logical: number, into: Uint8Array, verify: boolean, referrer: number): Promise<void> {
		const sums = verify ? await this.#sums(logical, logical + into.length) : noSums;
		const { chunks } = this.#volume;
		const copies = chunks.copies(logical);
		// Whatever copy can be read at all; without one, the first failure is the answer.
		let failure: unknown;
		for (let copy = 0; copy < Math.max(copies, 1); copy++) {
			try {
				await chunks.read(logical, into, copy, referrer);
				if (await this.#mend(logical, into, sums, copy, referrer)) return;
				failure ??= this.#wrong(logical, referrer);
			} catch (error) {
				failure ??= error;
			}
		}
		throw failure;
	}

	/** Replaces sectors of `into`, read from `copy`, whose checksum is wrong. False where no copy of one is right. */
	async #mend(logical: number, into: Uint8Array, sums: Sums, copy: number, referrer: number): Promise<boolean> {
		const { chunks, parameters } = this.#volume;
		const { sectorsize } = parameters.fields;
		for (const [at, sum] of sums) {
			const sector = into.subarray(at - logical, at - logical + sectorsize);
			let right = await sumsTo(parameters.checksum, sector, sum);
			for (let other = 0; !right && other < chunks.copies(at); other++) {
				if (other === copy) continue;
				try {
					await chunks.read(at, sector, other, referrer);
				} catch (error) {
					// It is on a device that is not there or cannot be read: perhaps another copy can be.
					if (!(error instanceof AnyvisorError)) throw error;
					continue;
				}
				right = await sumsTo(parameters.checksum, sector, sum);
			}
			if (!right) return false;
		}
		return true;
	}

	#wrong(logical: number, referrer: number) {
		const { name, parameters, chunks } = this.#volume;
		return damaged(`${name}: data of a file do not have the ${parameters.checksum.name} checksum that they should`, {
			...(chunks.place(logical, 0) ?? { file: name, offset: referrer }),
			hint: 'Run "btrfs scrub" in the guest to see which files are damaged, and restore these from a backup.',
		});
	}

	/** The checksums that are known of the sectors from `from` to `to`; what was written without has none. */
	async #sums(from: number, to: number): Promise<Sums> {
		this.#csumTree ??= findRoot(this.#volume, ObjectId.CSUM_TREE).then((found) => found?.root);
		const stored = await this.#csumTree;
		if (stored === undefined) return noSums;
		const patch = this.#volume.log?.sums;
		const root = patch ? { ...stored, patch } : stored;
		const { name, parameters } = this.#volume;
		const { size } = parameters.checksum;
		const { sectorsize } = parameters.fields;
		const key = (offset: number): Key => ({ objectid: ObjectId.EXTENT_CSUM, type: KeyType.EXTENT_CSUM, offset });
		const before = await lastAtMost(this.#volume, root, key(from));
		const isSum = before?.key.objectid === ObjectId.EXTENT_CSUM && before.key.type === KeyType.EXTENT_CSUM;
		const sums = new Map<number, Uint8Array>();
		const begin = isSum ? before.key.offset : from;
		for await (const item of items(this.#volume, root, key(begin), key(to - 1))) {
			const { offset } = item.key;
			if (offset % sectorsize !== 0 || item.bytes.length % size !== 0) {
				throw corrupt(name, item.at, "checksums of data do not stand for whole sectors");
			}
			const first = Math.max(0, (from - offset) / sectorsize);
			const last = Math.min(item.bytes.length / size, (to - offset) / sectorsize);
			for (let i = first; i < last; i++) {
				sums.set(offset + i * sectorsize, item.bytes.subarray(i * size, (i + 1) * size));
			}
		}
		return sums;
	}
}
