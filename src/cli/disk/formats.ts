/**
 * Every disk format with the variants it writes, the usual one first: for help and completion, which load no format. A
 * test compares it with the registry.
 */
export const formatVariants = {
	qcow2: ["plain", "compressed"],
	vmdk: ["streamOptimized", "monolithicSparse"],
	vhdx: ["dynamic", "fixed"],
	vhd: ["dynamic", "fixed"],
	raw: ["plain"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export const formatNames = Object.keys(formatVariants);

const written = Object.entries<readonly string[]>(formatVariants).filter(([, variants]) => variants.length > 0);

export const writtenFormats = written.map(([id]) => id);

export const everyVariant = [...new Set(written.flatMap(([, variants]) => variants))];

/** For help: a line for each format that can be written. */
export const variantLines = written.map(([id, variants]) => `  ${id.padEnd(6)} ${variants.join(", ")}`).join("\n");

/** What is written from its first byte to its last, without going back. */
export const streamedVariants: readonly string[] = ["raw/plain", "vmdk/streamOptimized", "vhd/fixed"];
