import type { KeyDerivation } from "../../bytes/cipher/index.js";
import { AnyvisorError } from "../../bytes/errors.js";
import {
	broken,
	cannotRead,
	checkedSlot,
	type Digest,
	detached,
	encryptionOf,
	hashOf,
	type Keyslot,
	type LuksHeader,
} from "./header.js";
import { type Json, JsonReader } from "./json.js";

interface Place {
	readonly file: string;
	/** Where the text begins. */
	readonly at: number;
	/** Of the volume. */
	readonly size: number;
	readonly hdrSize: number;
	readonly uuid: string;
}

/** What a header may require that changes nothing for a reader. */
const harmless: ReadonlySet<string> = new Set(["online-reencrypt-v2-finished"]);
const SECTOR_SIZES = [512, 1024, 2048, 4096];
/** cryptsetup itself keeps 32 of each. */
const MOST = 64;

/** Reads the metadata: https://gitlab.com/cryptsetup/LUKS2-docs, section 3. Tokens are for finding passphrases. */
export function parseMetadata(text: string, place: Place): LuksHeader {
	const { file, size, at, uuid } = place;
	const json = new JsonReader((fault) => broken(file, at, `in its metadata ${fault}`));
	const root = json.parse(text);
	const requirements = json.member(json.optional(root, "config"), "requirements");
	for (const name of json.strings(json.member(requirements, "mandatory"))) {
		if (harmless.has(name)) continue;
		const inProgress = name.startsWith("online-reencrypt") || name.startsWith("offline-reencrypt");
		throw cannotRead(file, inProgress ? "is being reencrypted" : `needs ${JSON.stringify(name.slice(0, 80))}`);
	}
	const segments = json.entries(json.required(root, "segments"), MOST);
	const [segment] = segments;
	if (segment === undefined) throw broken(file, at, "its metadata have no segment");
	const [id, fields] = segment;
	const type = json.string(fields, "type");
	if (segments.length > 1) throw cannotRead(file, "is being reencrypted: it has several segments");
	if (type !== "crypt") throw cannotRead(file, `has a segment of the type ${JSON.stringify(type.slice(0, 80))}`);
	if (json.optional(fields, "integrity") !== undefined) throw cannotRead(file, "has integrity protection");

	const sectorSize = json.number(fields, "sector_size");
	if (!SECTOR_SIZES.includes(sectorSize)) throw broken(file, at, `it has sectors of ${sectorSize} bytes`);
	const begin = json.count(fields, "offset");
	if (begin < place.hdrSize) throw detached(file);
	const stated = json.string(fields, "size");
	const room = Math.max(size - begin, 0);
	const length = stated === "dynamic" ? Math.floor(room / sectorSize) * sectorSize : json.count(fields, "size");
	if (room === 0 || length > room) {
		throw broken(file, at, `its data, ${stated} bytes at ${begin}, do not end with it`);
	}

	const digests = json.entries(json.required(root, "digests"), MOST);
	const mine = digests.find(([, digest]) => json.strings(json.required(digest, "segments")).includes(id))?.[1];
	if (mine === undefined) throw broken(file, at, "no digest is of its data");
	const digest = digestOf(json, file, mine);
	const ids = json.strings(json.required(mine, "keyslots"));
	const slots = json
		.entries(json.required(root, "keyslots"), MOST)
		.filter(
			([slot, keyslot]) =>
				ids.includes(slot) && json.string(keyslot, "type") === "luks2" && priority(json, keyslot) > 0,
		)
		.map(([, keyslot]) => keyslot)
		.toSorted((a, b) => priority(json, b) - priority(json, a));
	const keyslots = slots.map((slot) => orError(() => keyslotOf(json, slot, place, digest)));
	const keyBytes = json.number(slots[0] ?? {}, "key_size");
	const { mode } = encryptionOf(file, json.string(fields, "encryption"), keyBytes);
	return {
		uuid,
		keyBytes,
		keyslots,
		data: { at: begin, size: length, sectorSize, mode },
		firstNumber: json.count(fields, "iv_tweak"),
	};
}

/** 2 is tried before 1, and 0 only when it is asked for by its number. */
const priority = (json: JsonReader, keyslot: Json) =>
	json.optional(keyslot, "priority") === undefined ? 1 : json.number(keyslot, "priority");

function digestOf(json: JsonReader, file: string, digest: Json): Digest {
	const type = json.string(digest, "type");
	if (type !== "pbkdf2") throw cannotRead(file, `has a digest of the type ${JSON.stringify(type.slice(0, 80))}`);
	const hash = hashOf(file, json.string(digest, "hash"));
	const kdf = { type, hash, iterations: json.number(digest, "iterations"), salt: json.base64(digest, "salt") } as const;
	const value = json.base64(digest, "digest");
	if (kdf.iterations < 1 || value.length < 16) throw json.fault("a digest is too short");
	return { kdf, value };
}

function keyslotOf(json: JsonReader, slot: Json, { file, size }: Place, digest: Digest): Keyslot {
	const area = json.required(slot, "area");
	const af = json.required(slot, "af");
	const place = { at: json.count(area, "offset"), size: json.count(area, "size") };
	const encryption = encryptionOf(file, json.string(area, "encryption"), json.number(area, "key_size"));
	const keyslot: Keyslot = {
		kdf: kdfOf(json, file, json.required(slot, "kdf")),
		area: { ...place, ...encryption },
		stripes: json.number(af, "stripes"),
		hash: hashOf(file, json.string(af, "hash")),
		digest,
	};
	return checkedSlot(file, keyslot, json.number(slot, "key_size"), size);
}

function kdfOf(json: JsonReader, file: string, kdf: Json): KeyDerivation {
	const type = json.string(kdf, "type");
	const salt = json.base64(kdf, "salt");
	if (salt.length < 8) throw json.fault("a salt is too short");
	if (type === "pbkdf2") {
		return { type, salt, hash: hashOf(file, json.string(kdf, "hash")), iterations: json.number(kdf, "iterations") };
	}
	if (type !== "argon2i" && type !== "argon2id") {
		throw cannotRead(file, `makes its keys in the way ${JSON.stringify(type.slice(0, 80))}`);
	}
	const [time, memory, lanes] = [json.number(kdf, "time"), json.number(kdf, "memory"), json.number(kdf, "cpus")];
	return { type, salt, time, memory, lanes };
}

/** One key slot that cannot be used leaves the others alone. */
function orError<T>(read: () => T): T | AnyvisorError {
	try {
		return read();
	} catch (error) {
		if (error instanceof AnyvisorError) return error;
		throw error;
	}
}
