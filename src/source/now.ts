import { hrtime } from "node:process";

/** Milliseconds. Node loads ten modules for `performance`. */
export function now(): number {
	const [seconds, nanoseconds] = hrtime();
	return seconds * 1e3 + nanoseconds / 1e6;
}
