import { cached } from "../../bytes/cache.js";
import type { ByteSource } from "../../bytes/source.js";
import type { ExtVolume } from "./blocks.js";
import { type Recovery, readJournal } from "./journal.js";
import { Incompat, SUPERBLOCK_AT } from "./layout.js";
import { replayed } from "./replayed.js";
import { corrupt, readSuperblock } from "./superblock.js";

export interface OpenedExt {
	/** As it is, or as it would be with its journal written back. */
	readonly volume: ExtVolume;
	/** What that takes; undefined where it was unmounted. */
	readonly recovery: Recovery | undefined;
}

/** `undefined` where `source` is none. */
export async function openExt(source: ByteSource): Promise<OpenedExt | undefined> {
	const parameters = await readSuperblock(source);
	if (parameters === undefined) return undefined;
	const asStored = { name: source.name, parameters, source, metadata: cached(source) };
	if (!(parameters.features.incompat & Incompat.RECOVER)) return { volume: asStored, recovery: undefined };
	const recovery = await readJournal(asStored);
	const current = replayed(source, parameters.blockSize, recovery.replacements);
	const replayedParameters = await readSuperblock(current);
	if (replayedParameters?.blockSize !== parameters.blockSize) {
		throw corrupt(source.name, SUPERBLOCK_AT, "the journal replaces the superblock by something else");
	}
	const volume = { name: source.name, parameters: replayedParameters, source: current, metadata: cached(current) };
	return { volume, recovery };
}
