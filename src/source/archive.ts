import { recogniseCodec } from "../bytes/codec/index.js";
import { type AnyvisorError, notFound, refused } from "../bytes/errors.js";
import { type ByteSource, readUpTo } from "../bytes/source.js";
import { choose } from "./archive-choice.js";
import { HEAD, type Likeness, listed, type Member } from "./archive-member.js";
import { leadOf, type OpenNeighbour, outside, withoutCredentials } from "./confine.js";
import { isContainer, isZip } from "./container.js";
import { decompressed, stemOf } from "./decompressed.js";
import { Spooler, type SpoolOptions } from "./spool.js";
import { readTar, type TarMember } from "./tar.js";
import { openXzBlocks } from "./xz-blocks.js";
import { readZip } from "./zip.js";

export interface ContainedOptions {
	/** Path of a member as the archive lists it, or its last part; the only likely one where left out. */
	readonly member?: string | undefined;
	readonly likeness: Likeness;
	/** Tells what is not looked into, though it is an archive: a package of its own. */
	readonly isWhole?: ((source: ByteSource) => Promise<boolean>) | undefined;
	readonly spool?: SpoolOptions | Spooler | undefined;
	/** Opens what lies beside the archive itself, for what is compressed as one file, and what the user allows. */
	readonly beside?: OpenNeighbour | undefined;
	/** Members of other folders that a member may refer to: see {@link folderNeighbours}. */
	readonly allow?: readonly string[] | undefined;
	/** Other folders of the archive whose members are as if they were in that one. Both end in "/". */
	readonly disksOf?: ((folder: string) => readonly string[]) | undefined;
}

/** A file out of an archive, and a way to the members beside it. */
export interface Contained {
	/** Named `archive:member`. */
	readonly source: ByteSource;
	/** What it opens is closed together with the source. */
	readonly neighbour: OpenNeighbour;
	/** Closes what was opened for it, never the archive. */
	[Symbol.asyncDispose](): Promise<void>;
}

/** An archive in a compressed file in an archive … */
const DEEPEST = 4;
/**
 * Opens a file inside a tar, zip, gzip, xz, zstd, bzip2 or lz4 file, also one inside another; undefined for what is none
 * of these. Stored members, and those of xz files that were compressed in blocks, are read in place; the rest is spooled.
 *
 * @throws `usage` where several members are as likely, `not-found` where none is; `refused` for encrypted members and
 * beyond limits; `damaged`, `unsupported`
 */
export async function openContained(source: ByteSource, options: ContainedOptions): Promise<Contained | undefined> {
	const search = new Search(options);
	try {
		const found = await search.within(source, options.member, options.beside ?? nowhere, DEEPEST);
		if (found === undefined) return undefined;
		return { ...found, [Symbol.asyncDispose]: () => search.close() };
	} catch (error) {
		await search.close();
		throw error;
	}
}

const nowhere: OpenNeighbour = (name) =>
	Promise.reject(refused(`the image needs a second file, "${name}", but was opened by itself`, { file: name }));

type Found = Pick<Contained, "source" | "neighbour">;

class Search {
	readonly #likeness: Likeness;
	readonly #isWhole: (source: ByteSource) => Promise<boolean>;
	readonly #spooler: Spooler;
	readonly #allow: readonly string[];
	readonly #disksOf: (folder: string) => readonly string[];
	readonly #opened: ByteSource[] = [];

	constructor({ likeness, isWhole = async () => false, spool, allow = [], disksOf = () => [] }: ContainedOptions) {
		this.#likeness = likeness;
		this.#isWhole = isWhole;
		this.#spooler = spool instanceof Spooler ? spool : new Spooler(spool);
		this.#allow = allow;
		this.#disksOf = disksOf;
	}

	async close(): Promise<void> {
		for (const each of this.#opened.splice(0).reverse()) await each[Symbol.asyncDispose]?.();
	}

	async within(
		source: ByteSource,
		wanted: string | undefined,
		beside: OpenNeighbour,
		depth: number,
	): Promise<Found | undefined> {
		const head = await readUpTo(source, 0, HEAD);
		if (!isContainer(head) || (await this.#isWhole(source))) return undefined;
		if (depth === 0) {
			throw refused(`${source.name} has more than ${DEEPEST} archives inside each other`, {
				file: source.name,
				hint: "Unpack it yourself and name the disk image.",
			});
		}
		const codec = recogniseCodec(head);
		if (codec === undefined) {
			const members = isZip(head) ? await readZip(source) : (await readTar(source)).map(ofTar);
			return this.#among(source, files(members), wanted, beside, depth);
		}
		const name = stemOf(source.name);
		const content = this.#hold(
			(codec.id === "xz" ? await openXzBlocks(source, `${source.name}:${name}`) : undefined) ??
				(await this.#spooler.spool(decompressed(source, codec), `${source.name}:${name}`)),
		);
		const inside = wanted?.startsWith(`${name}:`) === true ? wanted.slice(name.length + 1) : wanted;
		const inner = await this.within(content, inside, beside, depth - 1);
		if (inner !== undefined) return inner;
		if (wanted !== undefined && wanted !== name) throw noMember(source, wanted, [name]);
		return { source: content, neighbour: beside };
	}

	async #among(
		archive: ByteSource,
		members: ReadonlyMap<string, Member>,
		wanted: string | undefined,
		beside: OpenNeighbour,
		depth: number,
	): Promise<Found> {
		const chosen = wanted === undefined ? await choose(archive, members, this.#likeness) : named(members, wanted);
		if (chosen === undefined) throw noMember(archive, wanted ?? "", [...members.keys()]);
		const [path, member, inside] = chosen;
		const source = this.#hold(await member.open(this.#spooler));
		const folder = path.slice(0, path.lastIndexOf("/") + 1);
		const neighbour = this.#neighbours(archive, members, folder, beside);
		const found = await this.within(source, inside, neighbour, depth - 1);
		if (found === undefined && inside !== undefined) throw noMember(source, inside, []);
		return found ?? { source, neighbour };
	}

	/** The members of a folder of the archive and of the folders in it. */
	#neighbours(
		archive: ByteSource,
		members: ReadonlyMap<string, Member>,
		folder: string,
		beside: OpenNeighbour,
	): OpenNeighbour {
		const open = async (path: string, mention: string) => {
			const member = members.get(path);
			if (member !== undefined) return this.#hold(await member.open(this.#spooler));
			throw notFound(`${archive.name} has no member ${path}, to which another one refers`, {
				file: archive.name,
				hint: `The archive is incomplete, or ${mention} has another name in it.`,
			});
		};
		const elsewhere = async (path: string, mention: string) => {
			const isRelative = path.startsWith("../");
			const inArchive = isRelative ? leadOf(folder, path) : undefined;
			const names = [mention, path, inArchive?.path ?? path].map(withoutCredentials);
			// Also what lies beside the archive: nobody who unpacks it would expect it to be read.
			if (this.#allow.some((each) => names.includes(withoutCredentials(each)))) {
				if (inArchive?.inside === true) return open(inArchive.path, mention);
				if (!isRelative && beside.elsewhere !== undefined) return beside.elsewhere(path, mention);
			}
			throw outside(mention, archive.name, path);
		};
		const folders = [folder, ...this.#disksOf(folder)];
		const neighbour = async (name: string) => {
			const { path, inside } = leadOf("", name);
			if (!inside) return elsewhere(path, name);
			return open(folders.map((each) => each + path).find((each) => members.has(each)) ?? folder + path, name);
		};
		return Object.assign(neighbour, { elsewhere });
	}

	#hold<S extends ByteSource>(source: S): S {
		this.#opened.push(source);
		return source;
	}
}

const ofTar = (member: TarMember) => ({
	name: member.name,
	type: member.type,
	size: member.size,
	head: (length: number) => readUpTo(member.source, 0, length),
	open: () => Promise.resolve(member.source),
});

/** By their paths: without "./", and with "/" where a program of Windows wrote "\\". */
const pathOf = (name: string) => name.replaceAll("\\", "/").replace(/^(\.?\/)+/, "");

/** Of two files with the same name the later one counts, as when a tar is unpacked. */
const files = (members: readonly (Member & { readonly type: string })[]): ReadonlyMap<string, Member> =>
	new Map(members.filter(({ type }) => type === "file").map((member) => [pathOf(member.name), member]));

/** A member, its path, and what is wanted inside of it. */
type Named = readonly [path: string, member: Member, inside?: string];

/** By its path, or by the last part of it where that is the only one; after a ":", what is wanted inside of it. */
function named(members: ReadonlyMap<string, Member>, wanted: string): Named | undefined {
	const path = pathOf(wanted);
	const member = members.get(path);
	if (member !== undefined) return [path, member];
	const alike = [...members].filter(([name]) => name.endsWith(`/${path}`));
	if (alike.length === 1) return alike[0];
	const colon = path.lastIndexOf(":");
	const outer = colon < 0 ? undefined : named(members, path.slice(0, colon));
	if (outer === undefined) return undefined;
	const [name, archive, inside] = outer;
	const last = path.slice(colon + 1);
	return [name, archive, inside === undefined ? last : `${inside}:${last}`];
}

function noMember(archive: ByteSource, wanted: string, names: readonly string[]): AnyvisorError {
	return notFound(`${archive.name} has no file "${wanted}" in it`, {
		file: archive.name,
		hint: names.length === 0 ? "Leave that name out." : `It has ${listed(names)}.`,
	});
}
