export const TRAILER_SIGNATURE = "koly";
