/** Device names of DOS, which Windows refuses as file names whatever follows the first dot. */
const RESERVED = /^(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)/i;

/**
 * A machine's name as the beginning of file names that every system, archive and importer takes: at most 60 ASCII
 * letters, digits, dots, underscores and hyphens.
 */
export function fileBase(name: string): string {
	const plain = name
		.normalize("NFKD")
		.replaceAll(/\p{Mark}/gu, "")
		.replaceAll(/[^\w.-]+/g, "-")
		.slice(0, 60)
		.replace(/^[.-]+/, "")
		.replace(/[.-]+$/, "");
	if (plain === "") return "machine";
	return RESERVED.test(plain) ? `vm-${plain}` : plain;
}
