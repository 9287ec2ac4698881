export const FOOTER_COOKIE = "conectix";
/** What can be written, the usual variant first. */
export const VARIANTS = ["dynamic", "fixed"] as const;
