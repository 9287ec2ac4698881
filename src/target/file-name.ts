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

/** The file of each disk: the first bears the machine's name, the others their number too. */
export const diskFiles = (base: string, extension: string) => (index: number) =>
	index === 0 ? `${base}.${extension}` : `${base}-disk${index + 1}.${extension}`;

/**
 * A machine's name as a label that every cloud takes: at most 50 lower-case letters, digits and hyphens, of which the
 * first is a letter and the last is none of the hyphens. (RFC 1035, 2.3.1, with room for an ending.)
 */
export function label(name: string): string {
	const plain = fileBase(name)
		.toLowerCase()
		.replaceAll(/[^a-z0-9]+/g, "-")
		.replace(/^-+/, "");
	const lettered = /^[a-z]/.test(plain) ? plain : `vm-${plain}`;
	return lettered.slice(0, 50).replace(/-+$/, "");
}
