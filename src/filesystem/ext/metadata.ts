import { type ByteSource, checkRange, readUpTo } from "../../bytes/source.js";

/** In bytes; a multiple of most block sizes, and small enough that a lone inode is cheap. */
const PAGE = 16 << 10;
const PAGES = 512;

/** `source` through a cache of 8 MiB, for small reads that come back to the same places. */
export function metadataCache(source: ByteSource): ByteSource {
	/** By number, the least recently used first. */
	const pages = new Map<number, Promise<Uint8Array>>();

	const load = (number: number): Promise<Uint8Array> => {
		const known = pages.get(number);
		const page = known ?? readUpTo(source, number * PAGE, PAGE);
		pages.delete(number);
		pages.set(number, page);
		if (known === undefined) {
			// What could not be read is not remembered; whoever asked gets the error.
			page.catch(() => pages.delete(number));
			const [oldest] = pages.keys();
			if (pages.size > PAGES && oldest !== undefined) pages.delete(oldest);
		}
		return page;
	};

	const through: ByteSource = {
		name: source.name,
		size: source.size,
		async read(at, into) {
			checkRange(through, at, into.length);
			for (let done = 0; done < into.length; ) {
				const within = (at + done) % PAGE;
				const page = await load(Math.floor((at + done) / PAGE));
				const part = page.subarray(within, within + into.length - done);
				into.set(part, done);
				done += part.length;
			}
		},
	};
	return through;
}
