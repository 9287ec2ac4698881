import * as fc from "fast-check";
import { expect } from "vitest";
import { AnyvisorError } from "../../../src/bytes/errors.js";
import { processorTime } from "./cpu.js";

/**
 * Whatever is read from damaged bytes either succeeds or fails with the one error type, and does so soon. Returns how
 * often it failed.
 */
export async function survivesMutation(
	bytes: Uint8Array,
	read: (bytes: Uint8Array) => unknown,
	{ numRuns = 300, milliseconds = 1000 } = {},
): Promise<number> {
	let failures = 0;
	const change = fc.tuple(fc.nat({ max: bytes.length - 1 }), fc.oneof(fc.nat({ max: 255 }), fc.constantFrom(0, 0xff)));
	await fc.assert(
		fc.asyncProperty(
			fc.array(change, { minLength: 1, maxLength: 8 }),
			fc.option(fc.nat({ max: bytes.length }), { freq: 4 }),
			async (changes, length) => {
				const mutated = bytes.slice(0, length ?? bytes.length);
				for (const [at, value] of changes) if (at < mutated.length) mutated[at] = value;
				const spent = await processorTime(async () => {
					try {
						await read(mutated);
					} catch (error) {
						expect(error).toBeInstanceOf(AnyvisorError);
						failures++;
					}
				});
				expect(spent).toBeLessThan(milliseconds);
			},
		),
		{ numRuns },
	);
	return failures;
}
