import { digester } from "../../bytes/checksum/index.js";
import { costOf, deriveKey, type KdfHash, type KeyDerivation, sectorCipher } from "../../bytes/cipher/index.js";
import { AnyvisorError, refused } from "../../bytes/errors.js";
import { type ByteSource, readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import type { Keyslot, LuksHeader } from "./header.js";
import { SECTOR } from "./layout.js";

/** KiB, as cryptsetup has it: more is what a hostile header claims. */
const MOST_MEMORY = 4 << 20;
/** As of {@link costOf}, of all that is tried on one volume: some minutes, where cryptsetup aims at two seconds a slot. */
const MOST_COST = 2 ** 28;

/** Volume keys that were found with these secrets, by the digests that they have: a VM is read more than once. */
const found = new WeakMap<readonly Uint8Array[], Map<string, Uint8Array>>();

/** The key of a volume, by the first of `secrets` that opens one of its key slots. */
export async function volumeKey(
	source: ByteSource,
	header: LuksHeader,
	secrets: readonly Uint8Array[],
): Promise<Uint8Array> {
	const { name: file } = source;
	const known = found.get(secrets) ?? new Map<string, Uint8Array>();
	found.set(secrets, known);
	const attempts = new Attempts(source, header);
	for (const slot of header.keyslots) {
		const id = slot instanceof AnyvisorError ? "" : slot.digest.value.join();
		const key = known.get(id);
		if (key !== undefined) return key;
	}
	let failure: AnyvisorError | undefined;
	for (const slot of header.keyslots) {
		try {
			if (slot instanceof AnyvisorError) throw slot;
			for (const secret of secrets) {
				const key = await attempts.open(slot, secret);
				if (key === undefined) continue;
				known.set(slot.digest.value.join(), key);
				return key;
			}
		} catch (error) {
			if (!(error instanceof AnyvisorError)) throw error;
			failure ??= error;
		}
	}
	if (failure !== undefined) throw failure;
	const given =
		secrets.length === 1 ? "the key that was given does not open it" : `none of ${secrets.length} keys opens it`;
	throw refused(`${file} is encrypted, and ${given}`, {
		file,
		hint: "A key file is taken byte for byte, a newline at its end too; of a descriptor, what comes before the first newline.",
	});
}

class Attempts {
	readonly #source: ByteSource;
	readonly #header: LuksHeader;
	#cost = 0;

	constructor(source: ByteSource, header: LuksHeader) {
		this.#source = source;
		this.#header = header;
	}

	/** The volume key in `slot`, where `secret` opens it. */
	async open({ kdf, area, stripes, hash, digest }: Keyslot, secret: Uint8Array): Promise<Uint8Array | undefined> {
		const { keyBytes } = this.#header;
		const slotKey = await this.#derive(secret, kdf, area.keyBytes);
		const length = stripes * keyBytes;
		const material = await readBytes(this.#source, area.at, Math.ceil(length / SECTOR) * SECTOR);
		(await sectorCipher(area.mode, slotKey, SECTOR)).decrypt(material, 0);
		const key = merge(material.subarray(0, length), stripes, await diffuser(hash));
		const sum = await this.#derive(key, digest.kdf, digest.value.length);
		return sum.every((byte, i) => byte === digest.value[i]) ? key : undefined;
	}

	#derive(secret: Uint8Array, kdf: KeyDerivation, length: number): Promise<Uint8Array> {
		const { name: file } = this.#source;
		const memory = kdf.type === "pbkdf2" ? 0 : kdf.memory;
		this.#cost += costOf(kdf);
		if (memory <= MOST_MEMORY && this.#cost <= MOST_COST) return deriveKey(secret, kdf, length, file);
		const costs = kdf.type === "pbkdf2" ? `${kdf.iterations} iterations` : `${kdf.time} passes over ${memory} KiB`;
		throw refused(`${file} is a LUKS volume whose keys take more work than is sane: one takes ${costs}`, {
			file,
			hint: 'Have "cryptsetup luksConvertKey" make the key slot anew, with the costs that it finds fit.',
		});
	}
}

/** What makes every byte of a key depend on those beside it: each part of a hash's length is hashed with its number. */
async function diffuser(hash: KdfHash): Promise<(block: Uint8Array) => void> {
	const digest = await digester(hash);
	const number = new Uint8Array(4);
	const step = { sha1: 20, sha256: 32, sha512: 64 }[hash];
	return (block) => {
		for (let i = 0; i * step < block.length; i++) {
			viewOf(number).setUint32(0, i);
			const part = block.subarray(i * step, (i + 1) * step);
			part.set(digest(number, part).subarray(0, part.length));
		}
	};
}

/** Puts a key together that was split so that none of its stripes may be lost: the anti-forensic splitter of LUKS1. */
function merge(material: Uint8Array, stripes: number, diffuse: (block: Uint8Array) => void): Uint8Array {
	const length = material.length / stripes;
	const key = new Uint8Array(length);
	for (let stripe = 0; stripe < stripes; stripe++) {
		const part = material.subarray(stripe * length, (stripe + 1) * length);
		for (let i = 0; i < length; i++) key[i] = (key[i] ?? 0) ^ (part[i] ?? 0);
		if (stripe < stripes - 1) diffuse(key);
	}
	return key;
}
