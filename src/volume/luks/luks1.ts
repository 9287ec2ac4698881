import { AnyvisorError } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import { readBytes } from "../../bytes/source.js";
import type { Value } from "../../bytes/struct.js";
import { broken, checkedSlot, detached, type Encryption, encryptionOf, hashOf, type LuksHeader } from "./header.js";
import { Phdr, SECTOR, SLOT_ENABLED } from "./layout.js";

/** The header of version 1, which has no checksum. */
export async function readLuks1(source: ByteSource): Promise<LuksHeader> {
	const { name: file, size } = source;
	const phdr = Phdr.parse(await readBytes(source, 0, Math.min(Phdr.size, size)), 0, file);
	const { keyBytes, uuid, mkDigest, mkDigestIterations: iterations, mkDigestSalt: salt } = phdr;
	const encryption = encryptionOf(file, `${phdr.cipherName}-${phdr.cipherMode}`, keyBytes);
	const hash = hashOf(file, phdr.hashSpec);
	if (iterations === 0) throw broken(file, 0, "its digest has no iterations");
	const digest = { kdf: { type: "pbkdf2", hash, iterations, salt }, value: mkDigest } as const;
	const at = phdr.payloadOffset * SECTOR;
	if (at === 0) throw detached(file);
	if (at >= size) throw broken(file, 0, `its data begin at byte ${at}, behind its end`);
	const keyslots = phdr.keySlots
		.filter(({ active }) => active === SLOT_ENABLED)
		.map((slot) => keyslotOf(file, slot, encryption, size, digest));
	return {
		uuid,
		keyBytes,
		keyslots,
		data: { at, size: Math.floor((size - at) / SECTOR) * SECTOR, sectorSize: SECTOR, mode: encryption.mode },
		firstNumber: 0,
	};
}

function keyslotOf(
	file: string,
	{ iterations, salt, stripes, keyMaterialOffset }: Value<typeof Phdr>["keySlots"][number],
	encryption: Encryption,
	size: number,
	digest: { readonly kdf: Parameters<typeof checkedSlot>[1]["digest"]["kdf"]; readonly value: Uint8Array },
) {
	const { hash } = digest.kdf;
	const { keyBytes } = encryption;
	const area = {
		at: keyMaterialOffset * SECTOR,
		size: Math.ceil((keyBytes * stripes) / SECTOR) * SECTOR,
		...encryption,
	};
	try {
		const kdf = { type: "pbkdf2", hash, iterations, salt } as const;
		return checkedSlot(file, { kdf, area, stripes, hash, digest }, keyBytes, size);
	} catch (error) {
		if (error instanceof AnyvisorError) return error;
		throw error;
	}
}
