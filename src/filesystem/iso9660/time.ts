/** Of a directory record: years since 1900, month, day, hour, minute, second, and quarters of an hour from UTC. */
export function shortTime(bytes: Uint8Array): number {
	const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, quarters = 0] = bytes;
	if (month === 0) return 0;
	return Date.UTC(1900 + year, month - 1, day, hour, minute, second) / 1000 - ((quarters << 24) >> 24) * 900;
}

/** Sixteen digits, the last two hundredths of a second, and quarters of an hour from UTC. */
export function longTime(bytes: Uint8Array): number {
	const digits = String.fromCharCode(...bytes.subarray(0, 16));
	const number = (from: number, to: number) => Number(digits.slice(from, to)) || 0;
	const day = Date.UTC(number(0, 4), number(4, 6) - 1, number(6, 8));
	const seconds = number(8, 10) * 3600 + number(10, 12) * 60 + number(12, 14) + number(14, 16) / 100;
	return day / 1000 + seconds - (((bytes[16] ?? 0) << 24) >> 24) * 900;
}
