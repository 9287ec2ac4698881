import * as fc from "fast-check";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { bytesSource } from "../../src/bytes/source.js";
import type { Disk, DiskFormat, Neighbours } from "../../src/disk/disk.js";
import { trials } from "../support/tools.js";

/** Where a mutation may strike: a range of the file that holds structure, not content. */
export interface Target {
	readonly at: number;
	readonly length: number;
}

const alone: Neighbours = {
	open: (name) => Promise.reject(new AnyvisorError("not-found", name)),
	openDisk: (name) => Promise.reject(new AnyvisorError("not-found", name)),
};

/** Looks at a disk as a caller would: all extents, and the beginning, middle and end of the content. */
async function lookAt(disk: Disk): Promise<void> {
	let extents = 0;
	for await (const _ of disk.extents()) if (++extents > 100_000) break;
	const bytes = new Uint8Array(Math.min(256 * 1024, disk.size));
	for (const at of [0, Math.floor((disk.size - bytes.length) / 2), disk.size - bytes.length])
		await disk.read(at, bytes);
}

/**
 * Opens `image` with a few bytes changed or its end cut off, many times: throws unless each time it was read, or failed
 * with an AnyvisorError, within a second. `repair` may make checksums right again, so that what lies behind them is
 * reached. Counts what happened: a test should see both, or the mutations miss their targets.
 */
export async function surviveMutations(
	format: DiskFormat,
	image: Uint8Array,
	targets: readonly Target[],
	repair: (bytes: Uint8Array) => void = () => {},
): Promise<{ read: number; refused: number }> {
	const place = fc.constantFrom(...targets).chain(({ at, length }) => fc.nat(length - 1).map((offset) => at + offset));
	const value = fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255));
	const change = fc.record({ place, values: fc.array(value, { minLength: 1, maxLength: 8 }) });
	const outcomes = { read: 0, refused: 0 };
	await fc.assert(
		fc.asyncProperty(
			fc.array(change, { minLength: 1, maxLength: 3 }),
			fc.option(fc.nat(image.length), { freq: 10 }),
			async (changes, cut) => {
				const bytes = new Uint8Array(image.subarray(0, cut ?? image.length));
				for (const { place, values } of changes) {
					for (const [i, value] of values.entries()) if (place + i < bytes.length) bytes[place + i] = value;
				}
				if (cut === null) repair(bytes);
				// The processor's time: a busy machine is not the reader's fault.
				const started = process.cpuUsage();
				try {
					await lookAt(await format.open(bytesSource(bytes, "mutant"), alone));
					outcomes.read++;
				} catch (error) {
					if (!(error instanceof AnyvisorError)) throw error;
					outcomes.refused++;
				}
				const { user, system } = process.cpuUsage(started);
				if (user + system > 1_000_000) throw new Error(`took ${(user + system) / 1000} ms`);
			},
		),
		{ numRuns: trials(150) },
	);
	return outcomes;
}
