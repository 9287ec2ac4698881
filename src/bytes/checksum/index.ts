export { adler32 } from "./adler32.js";
export { crc32, crc32c, crc32cRaw } from "./crc.js";
export { type DigestAlgorithm, digester, type HashAlgorithm, type Hasher, hasher } from "./hasher.js";
