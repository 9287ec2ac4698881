import { type ByteSource, checkRange } from "../../bytes/source.js";
import { u32, viewOf } from "../../bytes/struct.js";
import type { Replacements } from "./journal.js";
import { JOURNAL_MAGIC } from "./journal-layout.js";

/** The volume as it would be with its journal written back; nothing is. */
export function replayed(volume: ByteSource, blockSize: number, replacements: Replacements): ByteSource {
	if (replacements.size === 0) return volume;
	const source: ByteSource = {
		name: volume.name,
		size: volume.size,
		async read(at, into) {
			checkRange(source, at, into.length);
			for (let done = 0; done < into.length; ) {
				const block = Math.floor((at + done) / blockSize);
				const within = (at + done) % blockSize;
				const replacement = replacements.get(block);
				let blocks = 1;
				if (replacement === undefined) {
					const most = Math.ceil((within + into.length - done) / blockSize);
					while (blocks < most && !replacements.has(block + blocks)) blocks++;
				}
				const length = Math.min(blocks * blockSize - within, into.length - done);
				const part = into.subarray(done, done + length);
				await volume.read((replacement?.block ?? block) * blockSize + within, part);
				if (replacement?.escaped) restoreMagic(part, within);
				done += length;
			}
		},
	};
	return source;
}

/** @param within where `part` begins in its block */
export function restoreMagic(part: Uint8Array, within: number) {
	const magic = new Uint8Array(u32.size);
	viewOf(magic).setUint32(0, JOURNAL_MAGIC, false);
	if (within < magic.length) part.set(magic.subarray(within, within + part.length));
}
