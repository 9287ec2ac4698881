/** Behind a line for people. */
export const SIGNATURE_OFFSET = 64;
export const SIGNATURE = 0xbeda107f;
/** What can be written, the usual variant first. */
export const VARIANTS = ["dynamic", "static"] as const;
