import type { ByteSource } from "./source.js";

/** A run of a source, in bytes. */
export interface DataExtent {
	readonly at: number;
	readonly length: number;
	/** `zero`: a hole, which reads as zero. `data`: may hold anything, zeros included. */
	readonly kind: "data" | "zero";
}

/** A source that knows where its holes are, as a sparse file does. */
export interface HoleAware extends ByteSource {
	/** The whole source in ascending order without gaps or overlaps. */
	extents(): AsyncIterable<DataExtent>;
}

export const isHoleAware = (source: ByteSource): source is HoleAware => "extents" in source;
