export const FILE_SIGNATURE = "vhdxfile";
/** What can be written, the usual variant first. */
export const VARIANTS = ["dynamic", "fixed"] as const;
