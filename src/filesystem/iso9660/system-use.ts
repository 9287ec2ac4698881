import type { AnyvisorError } from "../../bytes/errors.js";
import { readBytes } from "../../bytes/source.js";
import { viewOf } from "../../bytes/struct.js";
import { Continuation, NameFlag, PosixAttributes, SystemUseHeader, TimeFlag } from "./layout.js";
import { longTime, shortTime } from "./time.js";
import { corrupt, type IsoVolume } from "./volume.js";

/** What Rock Ridge says of a file; each part only where it does. */
export interface RockRidge {
	name?: string;
	mode?: number;
	uid?: number;
	gid?: number;
	mtime?: number;
	target?: string;
	/** Block of the directory that stands here; it was put elsewhere because it is too deep. */
	child?: number;
	/** This directory is shown in another place. */
	isRelocated?: boolean;
	/** Why the data are not what a program reads. */
	unread?: string;
	/** The rest is not to be understood: genisoimage breaks off long targets of links. */
	damage?: AnyvisorError;
}

const MOST_CONTINUATIONS = 64;
/** A directory's record ends with its sector; more than that is no continuation. */
const LONGEST_CONTINUATION = 64 << 10;
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** The bytes that every entry of the volume skips; `undefined` where the root directory has no mark of SUSP. */
export function suspSkip(bytes: Uint8Array): number | undefined {
	const mark = [0x53, 0x50, 7, 1, 0xbe, 0xef];
	return mark.every((byte, i) => bytes[i] === byte) ? bytes[6] : undefined;
}

/** @param at where `bytes` stand on the volume */
export async function readRockRidge(volume: IsoVolume, bytes: Uint8Array, at: number): Promise<RockRidge> {
	const found: RockRidge = {};
	const link = new LinkTarget();
	let [part, place] = [bytes, at];
	for (let parts = 0; ; parts++) {
		let next: { block: number; offset: number; length: number } | undefined;
		for (let offset = 0; offset + SystemUseHeader.size <= part.length; ) {
			const { signature, length } = SystemUseHeader.parse(part, offset, volume.name, place);
			// Padding.
			if (length === 0 || signature === "ST") break;
			if (length < SystemUseHeader.size || offset + length > part.length) {
				return { ...found, damage: corrupt(volume.name, place + offset, `an entry of Rock Ridge has ${length} bytes`) };
			}
			const data = part.subarray(offset + SystemUseHeader.size, offset + length);
			if (signature === "CE") next = Continuation.parse(data, 0, volume.name, place + offset);
			else if (signature === "SL") link.add(data);
			else parseEntry(found, signature, data, volume.name, place + offset);
			offset += length;
		}
		if (next === undefined) break;
		if (parts === MOST_CONTINUATIONS || next.length > LONGEST_CONTINUATION) {
			throw corrupt(volume.name, place, "the entries of Rock Ridge have no end");
		}
		place = next.block * volume.blockSize + next.offset;
		part = await readBytes(volume.metadata, place, next.length);
	}
	if (link.target !== undefined) found.target = link.target;
	return found;
}

function parseEntry(found: RockRidge, signature: string, data: Uint8Array, file: string, at: number): void {
	switch (signature) {
		case "PX": {
			const { mode, uid, gid } = PosixAttributes.parse(data, 0, file, at);
			Object.assign(found, { mode, uid, gid });
			break;
		}
		case "NM":
			found.name = (found.name ?? "") + decoder.decode(data.subarray(1));
			break;
		case "TF": {
			const flags = data[0] ?? 0;
			if (!(flags & TimeFlag.MODIFY)) break;
			const isLong = (flags & TimeFlag.LONG_FORM) !== 0;
			const size = isLong ? 17 : 7;
			const begin = 1 + (flags & TimeFlag.CREATION ? size : 0);
			found.mtime = (isLong ? longTime : shortTime)(data.subarray(begin, begin + size));
			break;
		}
		case "CL":
			if (data.length >= 4) found.child = viewOf(data).getUint32(0, true);
			break;
		case "RE":
			found.isRelocated = true;
			break;
		case "ZF":
			found.unread = "is compressed (zisofs)";
			break;
		case "SF":
			found.unread = "is stored as a sparse file of Rock Ridge";
			break;
		default:
	}
}

/** The target of a link, which comes in components, and these in pieces. */
class LinkTarget {
	target: string | undefined;
	#goesOn = true;

	add(data: Uint8Array): void {
		for (let at = 1; at + 2 <= data.length; at += 2 + (data[at + 1] ?? 0)) {
			const flags = data[at] ?? 0;
			const content = decoder.decode(data.subarray(at + 2, at + 2 + (data[at + 1] ?? 0)));
			const separator = this.#goesOn || this.target === "/" ? "" : "/";
			this.target = (this.target ?? "") + separator + component(flags, content);
			this.#goesOn = (flags & NameFlag.CONTINUE) !== 0;
		}
	}
}

function component(flags: number, content: string): string {
	if (flags & NameFlag.ROOT) return "/";
	if (flags & NameFlag.PARENT) return "..";
	return flags & NameFlag.CURRENT ? "." : content;
}
