import { isHoleAware } from "../../bytes/holes.js";
import { type ByteSource, checkRange } from "../../bytes/source.js";
import type { Mapping, Run } from "../mapped.js";
import type { GrainTables } from "./grain-tables.js";
import type { HostedHeader } from "./layout.js";

/** A file's share of a disk. Its offsets count from its own beginning. */
export interface DiskPart extends Pick<Mapping, "size" | "runs" | "payload"> {
	/** Of a sparse extent. */
	readonly sparse?: SparseFacts;
}

export interface SparseFacts {
	readonly tables: GrainTables;
	/** Whoever wrote it last did not close it. */
	readonly unclean: boolean;
	/** Of a hosted sparse extent: its header, or its footer where there is one. */
	readonly header?: HostedHeader;
}

/** A sparse extent. */
export const sparsePart = (sparse: SparseFacts): DiskPart & { readonly sparse: SparseFacts } => ({
	size: sparse.tables.layout.size,
	sparse,
	runs: (start, end) => sparse.tables.runs(start, end),
});

/** `size` bytes of a file as they are, from `offset` on. */
export function flatPart(source: ByteSource, offset: number, size: number): DiskPart {
	checkRange(source, offset, size);
	return {
		size,
		async *runs(start, end) {
			// Looking for holes is worth it for whoever wants all of them.
			if (start > 0 || end < size || !isHoleAware(source)) {
				yield { kind: "data", at: start, length: end - start, source, offset: offset + start };
				return;
			}
			for await (const extent of source.extents()) {
				const at = Math.max(0, extent.at - offset);
				const length = Math.min(size, extent.at + extent.length - offset) - at;
				if (length <= 0) continue;
				yield extent.kind === "zero"
					? { kind: "zero", at, length }
					: { kind: "data", at, length, source, offset: offset + at };
			}
		},
	};
}

/** `size` bytes of zeros. */
export const zeroPart = (size: number): DiskPart => ({
	size,
	async *runs(start, end) {
		yield { kind: "zero", at: start, length: end - start };
	},
});

/** The parts of a disk one after the other. */
export function joinedParts(parts: readonly DiskPart[]): DiskPart {
	const [only, ...others] = parts;
	if (only !== undefined && others.length === 0) return only;
	const placed: { readonly part: DiskPart; readonly at: number }[] = [];
	let size = 0;
	for (const part of parts) {
		placed.push({ part, at: size });
		size += part.size;
	}
	return {
		size,
		async *runs(start, end) {
			for (const { part, at } of placed) {
				const from = Math.max(start, at);
				const to = Math.min(end, at + part.size);
				if (from >= to) continue;
				for await (const run of part.runs(from - at, to - at)) yield moved(run, at);
			}
		},
		payload(run, input) {
			const owner = placed.findLast(({ at }) => at <= run.unit.at);
			return owner?.part.payload?.(moved(run, -owner.at), input) ?? input;
		},
	};
}

function moved<R extends Run>(run: R, by: number): R {
	if (by === 0) return run;
	const at = run.at + by;
	return run.kind === "compressed" ? { ...run, at, unit: { ...run.unit, at: run.unit.at + by } } : { ...run, at };
}
