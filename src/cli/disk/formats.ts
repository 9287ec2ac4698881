/** Options of `convert` that only some formats have. */
export type Tuning = "unitSize" | "compression" | "level" | "preallocation" | "sectorSize" | "backing";

interface FormatFacts {
	/** What it writes, the usual variant first; empty where it is only read. */
	readonly variants: readonly string[];
	/** The variant whose data is compressed. */
	readonly compressed?: string;
	readonly takes: readonly Tuning[];
}

/**
 * Every disk format, for help and completion, which load none of them. A test compares this with the registry.
 */
export const formatFacts: Readonly<Record<string, FormatFacts>> = {
	qcow2: {
		variants: ["plain", "compressed"],
		compressed: "compressed",
		takes: ["unitSize", "compression", "level", "preallocation", "backing"],
	},
	vmdk: {
		variants: [
			"streamOptimized",
			"monolithicSparse",
			"monolithicFlat",
			"twoGbMaxExtentSparse",
			"twoGbMaxExtentFlat",
			"vmfs",
		],
		compressed: "streamOptimized",
		takes: ["unitSize", "level", "preallocation", "sectorSize"],
	},
	vhdx: { variants: ["dynamic", "fixed"], takes: ["unitSize", "preallocation", "sectorSize"] },
	vdi: { variants: ["dynamic", "static"], takes: ["preallocation", "sectorSize"] },
	parallels: { variants: [], takes: [] },
	qed: { variants: [], takes: [] },
	dmg: { variants: [], takes: [] },
	vhd: { variants: ["dynamic", "fixed"], takes: ["unitSize", "preallocation", "sectorSize"] },
	raw: { variants: ["plain"], takes: ["preallocation"] },
};

export const formatNames = Object.keys(formatFacts);

const written = Object.entries(formatFacts).filter(([, { variants }]) => variants.length > 0);

export const writtenFormats = written.map(([id]) => id);

export const everyVariant = [...new Set(written.flatMap(([, { variants }]) => variants))];

/** For help: a line for each format that can be written. */
export const variantLines = written.map(([id, { variants }]) => `  ${id.padEnd(6)} ${variants.join(", ")}`).join("\n");

/** What is written from its first byte to its last, without going back. */
export const streamedVariants: readonly string[] = ["raw/plain", "vmdk/streamOptimized", "vhd/fixed"];
