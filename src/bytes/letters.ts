/** As disks are counted by letters: `a` for 0 to `z`, then `aa`. */
export const letters = (at: number): string =>
	(at < 26 ? "" : letters(Math.floor(at / 26) - 1)) + String.fromCharCode(97 + (at % 26));
