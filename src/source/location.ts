import { stat } from "node:fs/promises";
import path from "node:path";
import type { Readable } from "node:stream";
import { AnyvisorError } from "../bytes/errors.js";
import { type ByteSource, readUpTo } from "../bytes/source.js";
import type { Likeness } from "./archive-member.js";
import { leadOf, type OpenNeighbour, outside } from "./confine.js";
import { openFile } from "./file.js";
import type { HttpOptions } from "./http.js";
import { folderNeighbours, type NeighbourOptions } from "./neighbours.js";
import { Spooler, type SpoolOptions } from "./spool.js";

export interface LocationOptions {
	/** Looks into archives and compressed files for what is most like this; without it, they are files like any other. */
	readonly likeness?: Likeness | undefined;
	/** What may be followed though it lies outside of the image's folder; see {@link folderNeighbours}. */
	readonly allow?: readonly string[] | undefined;
	/** What "-" stands for; without it, "-" is a `usage` error. */
	readonly stdin?: Readable | undefined;
	readonly http?: Omit<HttpOptions, "spool" | "signal"> | undefined;
	/** One limit for all that is spooled on the way. */
	readonly spool?: Omit<SpoolOptions, "signal"> | Spooler | undefined;
	readonly signal?: AbortSignal | undefined;
}

/** A file that a user named, and a way to those beside it. */
export interface Location {
	readonly source: ByteSource;
	/** What it opens is closed together with the location. */
	readonly neighbour: OpenNeighbour;
	[Symbol.asyncDispose](): Promise<void>;
}

interface Place {
	readonly source: ByteSource;
	readonly neighbour: OpenNeighbour;
	/** What was named inside of it. */
	readonly member?: string;
}

/**
 * Opens what a user named: a file, an `http://` or `https://` URL, "-", and of any of them a member of an archive:
 * `app.ova:disk1.vmdk` or `app.ova#disk1.vmdk`, of URLs `https://example.org/app.zip#disk1.vmdk`.
 *
 * @throws `usage` for a member of what is no archive; what {@link openFile}, `openUrl`, `openStdin` and `openContained`
 * throw
 */
export async function openLocation(named: string, options: LocationOptions = {}): Promise<Location> {
	const { likeness, allow, signal } = options;
	const spooler = options.spool instanceof Spooler ? options.spool : new Spooler({ ...options.spool, signal });
	const opened: ByteSource[] = [];
	const hold = <S extends ByteSource>(source: S): S => {
		opened.push(source);
		return source;
	};
	const close = async () => {
		for (const each of opened.splice(0).reverse()) await each[Symbol.asyncDispose]?.();
	};
	try {
		const { source, neighbour, member } = await openPlace(named, options, spooler, hold);
		const beside = holding(neighbour, hold);
		const mayBeArchive = likeness !== undefined && (member !== undefined || !(await isSurely(likeness, source)));
		const contained = mayBeArchive
			? await (await import("./archive.js")).openContained(source, { member, likeness, spool: spooler, beside, allow })
			: undefined;
		if (contained === undefined && member !== undefined) throw noArchive(source, member);
		if (contained === undefined) return { source, neighbour: beside, [Symbol.asyncDispose]: close };
		return {
			...contained,
			async [Symbol.asyncDispose]() {
				await contained[Symbol.asyncDispose]();
				await close();
			},
		};
	} catch (error) {
		await close();
		throw error;
	}
}

/** What bears the mark of what is searched for is no archive of it; then the readers of archives are not loaded. */
const isSurely = async (likeness: Likeness, source: ByteSource): Promise<boolean> =>
	likeness(await readUpTo(source, 0, 4096), source.size, source.name) >= 3;

async function openPlace(
	named: string,
	{ allow, stdin, http, signal }: LocationOptions,
	spooler: Spooler,
	hold: <S extends ByteSource>(source: S) => S,
): Promise<Place> {
	const remote: HttpOptions = { ...http, spool: spooler, signal };
	if (named === "-") {
		if (stdin === undefined) throw new AnyvisorError("usage", "standard input cannot be read here");
		const { spoolStream } = await import("./stdin.js");
		return { source: hold(await spoolStream(stdin, spooler, signal)), neighbour: besideStdin({ allow, http: remote }) };
	}
	if (/^https?:\/\//i.test(named)) {
		const [url = "", ...fragment] = named.split("#");
		const [{ openUrl }, { urlNeighbours }] = await Promise.all([import("./http.js"), import("./http-neighbours.js")]);
		const source = hold(await openUrl(url, remote));
		return {
			source,
			neighbour: urlNeighbours(url, { allow, http: remote }),
			...memberOf(unescaped(fragment.join("#"))),
		};
	}
	const { file, member } = await splitName(named);
	const source = hold(await openFile(file));
	return { source, neighbour: folderNeighbours(path.dirname(file), { allow, http: remote }), ...memberOf(member) };
}

const memberOf = (member: string) => (member === "" ? {} : { member });

function unescaped(fragment: string): string {
	try {
		return decodeURIComponent(fragment);
	} catch {
		return fragment;
	}
}

/** A file of that very name goes first; then the longest part before a ":" or "#" that is a file. */
async function splitName(named: string): Promise<{ file: string; member: string }> {
	const exists = (file: string) =>
		stat(file).then(
			(stats) => stats.isFile(),
			() => false,
		);
	const whole = { file: named, member: "" };
	if (!/[:#]/.test(named) || (await exists(named))) return whole;
	for (let at = named.length - 1; at > 0; at--) {
		if (!":#".includes(named.charAt(at))) continue;
		const file = named.slice(0, at);
		if (await exists(file)) return { file, member: named.slice(at + 1) };
	}
	return whole;
}

/** The same way to neighbours, with what it opens held. */
function holding(open: OpenNeighbour, hold: <S extends ByteSource>(source: S) => S): OpenNeighbour {
	const { elsewhere } = open;
	const held = async (name: string) => hold(await open(name));
	if (elsewhere === undefined) return held;
	return Object.assign(held, {
		elsewhere: async (path: string, mention: string) => hold(await elsewhere(path, mention)),
	});
}

/** What came through a pipe has no folder; what is allowed is named from the working folder. */
function besideStdin(options: NeighbourOptions): OpenNeighbour {
	const { allow = [] } = options;
	const open = async (path: string, mention: string) => {
		if (!allow.includes(mention) && !allow.includes(path)) throw outside(mention, "standard input", path);
		return folderNeighbours(".", { ...options, allow: [...allow, path] })(path);
	};
	return Object.assign(async (name: string) => open(leadOf("", name).path, name), { elsewhere: open });
}

const noArchive = (source: ByteSource, member: string) =>
	new AnyvisorError("usage", `${source.name} is no archive that could have "${member}" in it`, {
		file: source.name,
		hint: "Leave the member's name out.",
	});
