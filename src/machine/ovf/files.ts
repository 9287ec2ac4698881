import { type Codec, recogniseCodec } from "../../bytes/codec/index.js";
import { concatenation } from "../../bytes/concatenation.js";
import { AnyvisorError, damaged, refused, unsupported } from "../../bytes/errors.js";
import { type ByteSource, readUpTo } from "../../bytes/source.js";
import { statedNumber } from "../units.js";
import { attribute, child, childrenOf, type XmlElement } from "../xml-read.js";

/** Opens a file of a package by the name that stands in it. */
export type Open = (name: string) => Promise<ByteSource>;

/** Opens the content of a file that is compressed as a whole. */
export type Decompress = (source: ByteSource, codec: Codec) => Promise<ByteSource>;

/** A `<File>` of the References. DSP0243 1.1, 7.1 */
export interface FileReference {
	readonly href: string;
	/** Of the file as it is stored. */
	readonly size: number | undefined;
	readonly compression: string | undefined;
	/** Bytes of each of the files that it is stored in, the last one excepted. */
	readonly chunkSize: number | undefined;
}

export const fileReferences = (envelope: XmlElement): ReadonlyMap<string, FileReference> =>
	new Map(
		childrenOf(child(envelope, "References"), "File").flatMap((entry) => {
			const href = attribute(entry, "href");
			if (href === undefined) return [];
			const compression = attribute(entry, "compression");
			const reference = {
				href,
				size: statedNumber(attribute(entry, "size")),
				compression: compression === "identity" ? undefined : compression,
				chunkSize: statedNumber(attribute(entry, "chunkSize")),
			};
			return [[attribute(entry, "id") ?? "", reference]];
		}),
	);

/** More than any file is cut into: each is an open file, and of 2 GiB they make 8 TiB. */
const MOST_CHUNKS = 4096;

/** What a reference means: chunks joined, and what is compressed as a whole decompressed. */
export async function openContent(
	reference: FileReference,
	descriptor: string,
	open: Open,
	decompress: Decompress | undefined,
): Promise<ByteSource> {
	const { href, compression, chunkSize } = reference;
	const stored =
		chunkSize === undefined
			? await openReference(href, descriptor, open)
			: await openChunks(reference, chunkSize, descriptor, open);
	// Packagers forget to state it.
	if (compression === undefined && !/\.gz$/i.test(href)) return stored;
	const codec = recogniseCodec(await readUpTo(stored, 0, 16));
	if (codec !== undefined && decompress !== undefined) return decompress(stored, codec);
	if (compression === undefined && codec === undefined) return stored;
	if (codec === undefined && /^gzip$/i.test(compression ?? "")) {
		throw damaged(`${descriptor} says that ${href} is compressed (${compression}), and it is not`, { file: href });
	}
	throw unsupported(`${descriptor} refers to ${href}, a disk compressed as a whole`, {
		file: descriptor,
		hint: `Decompress ${href.replace(/^.*\//, "")}, and name the result in the <File> entry without ovf:compression.`,
	});
}

/** The files of a chunked reference: `name.000000000`, `name.000000001`, … */
async function openChunks(
	{ href, size }: FileReference,
	chunkSize: number,
	descriptor: string,
	open: Open,
): Promise<ByteSource> {
	if (!(chunkSize >= 1))
		throw damaged(`${descriptor} gives ${href} chunks of an impossible size`, { file: descriptor });
	const chunks: ByteSource[] = [];
	let length = 0;
	for (let last = false; !last; ) {
		if (chunks.length === MOST_CHUNKS) {
			throw refused(`${href} has more than ${MOST_CHUNKS} chunks`, {
				file: descriptor,
				hint: "Join them in order, and remove ovf:chunkSize from its <File> entry.",
			});
		}
		const name = chunkName(href, chunks.length);
		const chunk = await openReference(name, descriptor, open).catch((error: unknown) => {
			// Where the size is not stated, the last one shows by this.
			if (size === undefined && chunks.length > 0 && isNotFound(error)) return undefined;
			throw error;
		});
		if (chunk === undefined) break;
		chunks.push(chunk);
		length += chunk.size;
		last = size === undefined ? chunk.size < chunkSize : length >= size;
		if (chunk.size !== chunkSize && !(last && chunk.size <= chunkSize)) {
			throw damaged(`${name} has ${chunk.size} bytes, and each chunk but the last has ${chunkSize}`, { file: name });
		}
	}
	if (size !== undefined && length !== size) {
		throw damaged(`the chunks of ${href} have ${length} bytes, and ${descriptor} says ${size}`, { file: href });
	}
	return concatenation(chunks, (chunks[0]?.name ?? href).replace(/\.0{9}$/, ""));
}

const chunkName = (href: string, index: number) => `${href}.${String(index).padStart(9, "0")}`;

/** References are URIs: `%20` may stand for a space, or for itself where the packager did not know. */
export async function openReference(href: string, descriptor: string, open: Open): Promise<ByteSource> {
	if (/^[a-z][a-z0-9+.-]*:/i.test(href) || href.startsWith("/") || /\\|(^|\/)\.\.(\/|$)/.test(decoded(href))) {
		throw refused(`${descriptor} refers to ${href}, which is outside of its package`, {
			file: descriptor,
			hint: "Put that file beside the descriptor, and its plain name into the <File> entry.",
		});
	}
	try {
		return await open(href);
	} catch (error) {
		const plain = decoded(href);
		if (!isNotFound(error) || plain === href) throw error;
		return open(plain);
	}
}

export const isNotFound = (error: unknown) => error instanceof AnyvisorError && error.kind === "not-found";

export function decoded(href: string): string {
	try {
		return decodeURIComponent(href);
	} catch {
		return href;
	}
}
