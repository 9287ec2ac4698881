/**
 * Decodes one LZO1X stream into `output` from its start, as https://docs.kernel.org/staging/lzo.html describes it.
 * Returns how many bytes came out, undefined where the stream is damaged or does not fit.
 */
export function decodeLzo1x(input: Uint8Array, output: Uint8Array): number | undefined {
	const from = { at: 0 };
	let to = 0;
	/** What the instruction before left: literals that it copied, 4 for "more than 3". */
	let state = 0;

	/** A length whose bits are all 0 goes on in further bytes: 255 for each zero, then the rest. */
	const extended = (length: number, most: number): number | undefined => {
		if (length > 0) return length;
		let total = most;
		for (;;) {
			const byte = input[from.at++];
			if (byte === undefined) return undefined;
			if (byte !== 0) return total + byte;
			total += 255;
		}
	};
	const literals = (count: number): boolean => {
		if (from.at + count > input.length || to + count > output.length) return false;
		output.set(input.subarray(from.at, from.at + count), to);
		from.at += count;
		to += count;
		return true;
	};
	/** Repeats what is `distance` back, and takes the literals that follow. */
	const match = (distance: number, length: number | undefined, after: number): boolean => {
		if (length === undefined || distance > to || to + length > output.length) return false;
		// A match that overlaps what it produces repeats it: only byte by byte does that.
		for (let end = to + length; to < end; to++) output[to] = output[to - distance] ?? 0;
		state = after;
		return literals(after);
	};
	const wide = (): number | undefined => {
		const [low, high] = [input[from.at], input[from.at + 1]];
		from.at += 2;
		return low === undefined || high === undefined ? undefined : low + high * 256;
	};

	const [first = 0] = input;
	if (first > 17) {
		from.at = 1;
		if (!literals(first - 17)) return undefined;
		state = Math.min(first - 17, 4);
	}
	for (;;) {
		const byte = input[from.at++];
		if (byte === undefined) return undefined;
		if (byte >= 64) {
			const more = input[from.at++];
			const length = byte >= 128 ? 5 + ((byte >> 5) & 3) : 3 + ((byte >> 5) & 1);
			if (more === undefined || !match((more << 3) + ((byte >> 2) & 7) + 1, length, byte & 3)) return undefined;
		} else if (byte >= 16) {
			const near = byte >= 32;
			const length = near ? extended(byte & 31, 31) : extended(byte & 7, 7);
			const operand = wide();
			if (operand === undefined || length === undefined) return undefined;
			const distance = near ? (operand >> 2) + 1 : 16384 + ((byte & 8) << 11) + (operand >> 2);
			// The end is a match from exactly 16 KiB back.
			if (!near && distance === 16384) return to;
			if (!match(distance, length + 2, operand & 3)) return undefined;
		} else if (state === 0) {
			const length = extended(byte, 15);
			if (length === undefined || !literals(length + 3)) return undefined;
			state = 4;
		} else {
			const more = input[from.at++];
			if (more === undefined) return undefined;
			const distance = (more << 2) + (byte >> 2) + 1;
			const far = state === 4;
			if (!match(far ? distance + 2048 : distance, far ? 3 : 2, byte & 3)) return undefined;
		}
	}
}
