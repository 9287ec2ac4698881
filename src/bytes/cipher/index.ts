export {
	type Argon2,
	costOf,
	deriveKey,
	type KdfHash,
	type KeyDerivation,
	kdfHashes,
	type Pbkdf2,
} from "./key-derivation.js";
export { IV_UNIT, keyLengths, type SectorCipher, type SectorMode, sectorCipher, sectorModes } from "./sectors.js";
