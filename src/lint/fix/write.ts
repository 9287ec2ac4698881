import { type Hasher, hasher } from "../../bytes/checksum/index.js";
import { refused } from "../../bytes/errors.js";
import type { ByteSink, OutputFolder } from "../../bytes/sink.js";
import { type ByteSource, bytesSource } from "../../bytes/source.js";
import { tarHeader } from "../../source/tar.js";
import { eachPiece } from "../manifest.js";
import type { Part, Parts } from "../open.js";

export interface WritePackageOptions {
	/** Recorded in the archive; seconds since 1970. */
	readonly now: number;
	/** Gets the bytes copied since its last call. */
	readonly onProgress?: (bytes: number) => void;
	readonly signal?: AbortSignal;
}

const BLOCK = 512;
const padded = (size: number) => Math.ceil(size / BLOCK) * BLOCK;
const encode = (text: string) => new TextEncoder().encode(text);

/**
 * Writes a package as one archive: the descriptor, the manifest made anew where there was one, the files. A certificate
 * is left out: what it signs is another manifest. Returns the length.
 */
export async function writeArchive(parts: Parts, sink: ByteSink, options: WritePackageOptions): Promise<number> {
	const { descriptor, manifest } = parts;
	const files = parts.files.filter(isKept);
	let position = 0;
	const append = async ({ name, source }: Part): Promise<string> => {
		await sink.write(position, tarHeader(name, source.size, options.now));
		const digest = await copy(source, sink, position + BLOCK, options);
		position += BLOCK + padded(source.size);
		return digest;
	};
	const first = await append({ name: descriptor.name, source: bytesSource(descriptor.bytes, descriptor.name) });
	if (manifest === undefined) {
		for (const file of files) await append(file);
		return position + 2 * BLOCK;
	}
	// Digests are known at the end, and how long they are already now.
	const folder = manifest.slice(0, manifest.lastIndexOf("/") + 1);
	const listed = (name: string) => (name.startsWith(folder) ? name.slice(folder.length) : name);
	const size = encode(
		files.map(({ name }) => lineOf(listed(name), first)).join("") + lineOf(listed(descriptor.name), first),
	).length;
	const manifestAt = position;
	position += BLOCK + padded(size);
	const lines = [lineOf(listed(descriptor.name), first)];
	for (const file of files) lines.push(lineOf(listed(file.name), await append(file)));
	await sink.write(manifestAt, tarHeader(manifest, size, options.now));
	await sink.write(manifestAt + BLOCK, encode(lines.join("")));
	return position + 2 * BLOCK;
}

/** Writes an OVF with its files into a folder, which the caller commits. */
export async function writeFolder(parts: Parts, folder: OutputFolder, options: WritePackageOptions): Promise<void> {
	const { descriptor, manifest } = parts;
	const nested = parts.files.find(({ name }) => name.includes("/"));
	if (nested !== undefined) {
		throw refused(`${nested.name} is in a folder of its own, which importers do not look into`, {
			file: nested.name,
			hint: "Put the file beside the descriptor, and its plain name into the <File> entry.",
		});
	}
	const lines: string[] = [];
	for (const { name, source } of [
		{ name: descriptor.name, source: bytesSource(descriptor.bytes, descriptor.name) },
		...parts.files.filter(isKept),
	]) {
		await using sink = await folder.file(name);
		lines.push(lineOf(name, await copy(source, sink, 0, options)));
		await sink.commit(source.size);
	}
	if (manifest === undefined) return;
	await using sink = await folder.file(manifest);
	const text = encode(lines.join(""));
	await sink.write(0, text);
	await sink.commit(text.length);
}

const isKept = ({ name }: Part) => !/\.cert$/i.test(name);

/** As every importer matches it. */
const lineOf = (name: string, digest: string) => `SHA256(${name})= ${digest}\n`;

async function copy(source: ByteSource, sink: ByteSink, start: number, options: WritePackageOptions): Promise<string> {
	const hash: Hasher = await hasher("sha256");
	await eachPiece(source, options.signal, async (piece, at) => {
		hash.update(piece);
		await sink.write(start + at, piece);
		options.onProgress?.(piece.length);
	});
	return hash.digest();
}
