import type { Qcow2Header } from "./header.js";
import {
	COMPRESSED_HIGH,
	COPIED_HIGH,
	compressedRun,
	L2_RESERVED_HIGH,
	offsetOf,
	RESERVED_LOW,
	ZERO_LOW,
} from "./layout.js";

/** What an L2 entry uses of the file, or what is wrong with it; an entry can have both. */
export type ClusterUse =
	| { readonly kind: "wrong"; readonly entryAt: number; readonly what: string }
	| { readonly kind: "compressed"; readonly entryAt: number; readonly offset: number; readonly length: number }
	| {
			readonly kind: "standard";
			readonly entryAt: number;
			readonly offset: number;
			readonly length: number;
			/** Upper half of the entry, with its flags. */
			readonly high: number;
	  };

/** Looks through an L2 table; `entryAt` are offsets in it. */
export function* clusterUses(table: DataView, header: Qcow2Header): Generator<ClusterUse> {
	const { entrySize, clusterSize, clusterBits, extendedL2, dataFile } = header;
	for (let entryAt = 0; entryAt < table.byteLength; entryAt += entrySize) {
		const high = table.getUint32(entryAt);
		const low = table.getUint32(entryAt + 4);
		const zero = extendedL2 ? table.getUint32(entryAt + 8) : 0;
		const allocated = extendedL2 ? table.getUint32(entryAt + 12) : 0;
		if (high === 0 && low === 0 && allocated === 0) continue;
		const wrong = (what: string) => ({ kind: "wrong", entryAt, what }) as const;

		if ((high & COMPRESSED_HIGH) !== 0) {
			if ((high & COPIED_HIGH) !== 0) yield wrong("a compressed cluster is marked as used once");
			if (dataFile !== undefined) yield wrong("a cluster is compressed, although its data lies in another file");
			else if (zero !== 0 || allocated !== 0) yield wrong("a compressed cluster has subclusters");
			else yield { kind: "compressed", entryAt, ...compressedRun(high, low, clusterBits) };
			continue;
		}
		if ((high & L2_RESERVED_HIGH) !== 0 || (low & (RESERVED_LOW - ZERO_LOW)) !== 0) {
			yield wrong("an L2 entry has reserved bits set");
		}
		const offset = offsetOf(high, low);
		if (offset === 0 && (dataFile === undefined || (high & COPIED_HIGH) === 0)) {
			if (allocated !== 0) yield wrong("a cluster has allocated subclusters, but no place for them");
			continue;
		}
		if ((zero & allocated) !== 0) yield wrong("subclusters are both allocated and zero");
		if (offset % clusterSize !== 0) yield wrong(`the cluster at ${offset} is not at the start of a cluster`);
		yield { kind: "standard", entryAt, offset, length: clusterSize, high };
	}
}
