import { AnyvisorError, notFound } from "../bytes/errors.js";
import type { ByteSource } from "../bytes/source.js";
import { HEAD, type Likeness, listed, type Member, NUANCE } from "./archive-member.js";
import { isContainer } from "./container.js";
import { ofOneName } from "./one-name.js";

/** Members whose content is looked at; an archive with a disk in it has a handful. */
const MOST_LOOKED_AT = 4096;
/** What macOS puts beside each file. */
const CLUTTER = /(^|\/)(__MACOSX\/|\._)/;
/** What may be in a file's name: next to it, a name goes on. */
const IN_NAMES = /[\w.-]/;

interface Candidate {
	readonly path: string;
	readonly member: Member;
	readonly head: string;
	readonly likely: number;
}

/**
 * The one member that is likely what is searched for. One that another likely member mentions, as the extent of a VMDK or
 * a backing file, is a part of that. Archives and compressed files count, but less than anything else.
 *
 * @throws `usage` where several are as likely; `not-found`
 */
export async function choose(
	archive: ByteSource,
	members: ReadonlyMap<string, Member>,
	likeness: Likeness,
): Promise<readonly [path: string, member: Member]> {
	if (members.size > MOST_LOOKED_AT) {
		throw new AnyvisorError("usage", `${archive.name} has ${members.size} files in it, too many to look through`, {
			file: archive.name,
			hint: `Name the one: ${archive.name}:MEMBER`,
		});
	}
	const likely = await mostLikely(archive, members, likeness);
	const whole = likely.filter(({ path }) => !likely.some((other) => other.path !== path && mentions(other, path)));
	const [one, ...others] = ofOneName(whole.length > 0 ? whole : likely);
	if (one !== undefined && others.length === 0) return [one.path, one.member];
	throw new AnyvisorError("usage", `${archive.name} has several machines or disks in it`, {
		file: archive.name,
		hint: `Name the one, as in ${archive.name}:${likely[0]?.path ?? ""}: it has ${listed(likely.map(({ path }) => path))}.`,
	});
}

async function mostLikely(
	archive: ByteSource,
	members: ReadonlyMap<string, Member>,
	likeness: Likeness,
): Promise<readonly Candidate[]> {
	let best = 0;
	let candidates: Candidate[] = [];
	let failure: AnyvisorError | undefined;
	for (const [path, member] of members) {
		if (CLUTTER.test(path) || member.size === 0) continue;
		try {
			const head = await member.head(HEAD);
			// Half a point: an archive is searched only when nothing else is there.
			const likely = isContainer(head) ? 0.5 : likeness(head, member.size, path);
			if (likely < best - NUANCE || likely === 0) continue;
			if (likely > best + NUANCE) candidates = [];
			best = Math.max(best, likely);
			candidates.push({ path, member, head: String.fromCharCode(...head), likely });
		} catch (error) {
			if (!(error instanceof AnyvisorError)) throw error;
			failure ??= error;
		}
	}
	if (candidates.length > 0) return candidates;
	if (failure !== undefined) throw failure;
	throw notFound(`${archive.name} has no disk image in it`, {
		file: archive.name,
		hint: members.size === 0 ? "It is empty." : `It has ${listed([...members.keys()])}.`,
	});
}

/** Whether the beginning of a file, where descriptors and names of backing files are, has the name of another one. */
function mentions({ head }: Candidate, path: string): boolean {
	const name = String.fromCharCode(...new TextEncoder().encode(path.slice(path.lastIndexOf("/") + 1)));
	for (let at = head.indexOf(name); at >= 0; at = head.indexOf(name, at + 1)) {
		if (!IN_NAMES.test(head.charAt(at - 1)) && !IN_NAMES.test(head.charAt(at + name.length))) return true;
	}
	return false;
}
