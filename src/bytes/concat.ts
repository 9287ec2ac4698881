/** Pieces one after the other; a single one as it is, not as a copy. */
export function concat(pieces: readonly Uint8Array[]): Uint8Array {
	const [first] = pieces;
	if (first !== undefined && pieces.length === 1) return first;
	const all = new Uint8Array(pieces.reduce((sum, { length }) => sum + length, 0));
	let at = 0;
	for (const piece of pieces) {
		all.set(piece, at);
		at += piece.length;
	}
	return all;
}
