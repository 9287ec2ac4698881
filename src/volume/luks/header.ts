import type { KdfHash, KeyDerivation, Pbkdf2, SectorMode } from "../../bytes/cipher/index.js";
import { kdfHashes, keyLengths, sectorModes } from "../../bytes/cipher/index.js";
import { type AnyvisorError, damaged, unsupported } from "../../bytes/errors.js";

/** How bytes are encrypted. */
export interface Encryption {
	readonly mode: SectorMode;
	/** Bytes of its key. */
	readonly keyBytes: number;
}

/** Where a copy of the volume key is kept, encrypted with a key that is made of a passphrase. */
export interface Keyslot {
	readonly kdf: KeyDerivation;
	/** The key in stripes, of which all are needed to have it back. */
	readonly area: { readonly at: number; readonly size: number } & Encryption;
	readonly stripes: number;
	readonly hash: KdfHash;
	/** By which the volume key is known to be the right one. */
	readonly digest: Digest;
}

export interface Digest {
	readonly kdf: Pbkdf2;
	readonly value: Uint8Array;
}

/** What a header of either version says. Sizes and offsets are in bytes. */
export interface LuksHeader {
	readonly uuid: string;
	readonly keyBytes: number;
	/** In the order in which they are tried; what makes one of them useless stands in its place. */
	readonly keyslots: readonly (Keyslot | AnyvisorError)[];
	readonly data: { readonly at: number; readonly size: number; readonly sectorSize: number; readonly mode: SectorMode };
	/** The number of the data's first sector. */
	readonly firstNumber: number;
}

const LONGEST_KEY = 64;
const MOST_STRIPES = 1 << 16;

/** @param spelled as dm-crypt does: `aes-xts-plain64` */
export function encryptionOf(file: string, spelled: string, keyBytes: number): Encryption {
	const mode = sectorModes.find((known) => `aes-${known}` === spelled);
	if (mode === undefined) throw cannotRead(file, `is encrypted with ${quoted(spelled)}`);
	if (!keyLengths(mode).includes(keyBytes)) throw cannotRead(file, `has a key of ${keyBytes} bytes for ${spelled}`);
	return { mode, keyBytes };
}

export function hashOf(file: string, name: string): KdfHash {
	const hash = kdfHashes.find((known) => known === name);
	if (hash === undefined) throw cannotRead(file, `makes its keys with the hash ${quoted(name)}`);
	return hash;
}

/** The stripes lie inside of their area, and this on the volume. */
export function checkedSlot(file: string, slot: Keyslot, keyBytes: number, size: number): Keyslot {
	const { area, stripes, kdf } = slot;
	const fits = stripes * keyBytes <= area.size && area.at + area.size <= size;
	if (keyBytes < 1 || keyBytes > LONGEST_KEY || stripes < 1 || stripes > MOST_STRIPES || !fits) {
		throw broken(file, area.at, `a key slot claims ${stripes} stripes of ${keyBytes} bytes`);
	}
	if (kdf.type === "pbkdf2" ? kdf.iterations < 1 : kdf.time < 1 || kdf.lanes < 1 || kdf.memory < 8 * kdf.lanes) {
		throw broken(file, 0, "a key slot has costs that cannot be");
	}
	return slot;
}

const quoted = (text: string) => JSON.stringify(text.slice(0, 80));

export const cannotRead = (file: string, what: string): AnyvisorError =>
	unsupported(`${file} is a LUKS volume that ${what}, which Anyvisor cannot read`, {
		file,
		hint: "Copy what it holds to a plain volume, or to one that cryptsetup makes by default.",
	});

export const broken = (file: string, offset: number, fault: string): AnyvisorError =>
	damaged(`${file} is a LUKS volume, but ${fault}`, {
		file,
		offset,
		hint: 'Compare the file with the original; "cryptsetup luksDump" on a copy tells what can be read.',
	});

export const detached = (file: string): AnyvisorError =>
	unsupported(`${file} is a LUKS header whose data lie on another volume, which Anyvisor cannot read`, {
		file,
		hint: "Copy what it opens to a volume that has its header itself.",
	});
