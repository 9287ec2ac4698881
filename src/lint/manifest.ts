import { type HashAlgorithm, hasher } from "../bytes/checksum/index.js";
import type { ByteSource } from "../bytes/source.js";
import type { DescriptorFile } from "../machine/machine.js";
import type { ManifestLine, ManifestView } from "./subject.js";

const LINE = /^([\w-]{1,32})(\s*)\((.+)\)\s*=\s*([0-9a-f]{32,128})$/i;

/** By their labels, also wrong ones whose digest is right. */
const ALGORITHMS: ReadonlyMap<string, HashAlgorithm> = new Map([
	["SHA1", "sha1"],
	["SHA256", "sha256"],
	["SHA2-256", "sha256"],
]);

interface Found {
	readonly source: ByteSource;
}

/** The lines of a manifest; with `verify`, also which files differ from it. What is not there is said elsewhere. */
export async function manifestView(
	file: string,
	bytes: Uint8Array,
	descriptor: DescriptorFile,
	open: (name: string) => Promise<Found | undefined>,
	{ verify = false, signal }: { readonly verify?: boolean; readonly signal?: AbortSignal },
): Promise<ManifestView> {
	const lines = new TextDecoder()
		.decode(bytes)
		.split("\n")
		.map(lineOf)
		.filter(({ text }) => text !== "");
	if (!verify) return { file, lines };
	const wrong: string[] = [];
	for (const { label, name, digest } of lines) {
		const algorithm = ALGORITHMS.get(label?.toUpperCase() ?? "");
		if (algorithm === undefined || name === undefined || digest === undefined) continue;
		const hash = await hasher(algorithm);
		if (name === descriptor.name.replace(/^.*\//, "")) hash.update(descriptor.bytes);
		else {
			const found = await open(name);
			if (found === undefined) continue;
			await eachPiece(found.source, signal, (piece) => hash.update(piece));
		}
		if (hash.digest().toLowerCase() !== digest) wrong.push(name);
	}
	return { file, lines, wrong };
}

function lineOf(raw: string, index: number): ManifestLine {
	const text = raw.trim();
	const [, label, space, name, digest] = LINE.exec(text) ?? [];
	if (label === undefined || name === undefined || digest === undefined) return { line: index + 1, text };
	return { line: index + 1, text, label, name, digest: digest.toLowerCase(), spaced: space !== "" };
}

const PIECE = 1 << 20;

/** Reads all of a file in pieces; the array is reused. */
export async function eachPiece(
	source: ByteSource,
	signal: AbortSignal | undefined,
	use: (piece: Uint8Array, at: number) => void | Promise<void>,
): Promise<void> {
	const buffer = new Uint8Array(Math.min(PIECE, source.size));
	for (let at = 0; at < source.size; at += PIECE) {
		signal?.throwIfAborted();
		const piece = buffer.subarray(0, Math.min(PIECE, source.size - at));
		await source.read(at, piece);
		await use(piece, at);
	}
}
