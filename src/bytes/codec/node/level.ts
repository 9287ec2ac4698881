import { looksRandom } from "./random.js";

/** Stores what it gets. */
const STORED = 0;
/** From here on, whoever asks wants the last percent. */
const THOROUGH = 6;

/** The level of DEFLATE that is worth its time for `input`: what looks random is only stored. */
export const levelFor = (input: Uint8Array, asked: number | undefined, usual: number): number =>
	(asked ?? 0) < THOROUGH && looksRandom(input) ? STORED : (asked ?? usual);
