import { damaged, refused } from "../bytes/errors.js";
import { type ByteSource, readBytes, readUpTo, slice } from "../bytes/source.js";
import { isTar, TAR_BLOCK, TarHeader, type TarHeaderFields, untilNul } from "./tar-header.js";
import { MOST_RUNS, oldGnuSparse, PaxSparse, type SparseMap, sparseSource } from "./tar-sparse.js";

export { isTar, tarHeader } from "./tar-header.js";

/** Something in a tar archive. */
export interface TarMember {
	/** As the archive has it, hostile or not: {@link safeMemberName} before it becomes a path. */
	readonly name: string;
	readonly type: "file" | "folder" | "symlink" | "hardlink" | "other";
	/** Bytes of content. */
	readonly size: number;
	/** Offset of the content in the archive; of a sparse member, of what is stored of it. */
	readonly at: number;
	/** The content, named `archive:member` in messages. */
	readonly source: ByteSource;
}

/** More than an XVA of 512 GiB has, which keeps each MiB of its disks in two members. */
const MOST_MEMBERS = 1 << 20;
/** Headers before one member that say something of it; no program writes more than three. */
const MOST_EXTENSIONS = 16;
/** Names and attributes of one member. */
const LONGEST_EXTENSION = 1 << 20;

/** Headers that say something of the member after them. */
const EXTENSIONS = ["g", "x", "K", "L"];
/** GNU tar's first way to store a sparse file. */
const OLD_SPARSE = "S";

const types: Readonly<Record<string, TarMember["type"]>> = {
	"": "file",
	"0": "file",
	"7": "file",
	S: "file",
	"1": "hardlink",
	"2": "symlink",
	"5": "folder",
};

/**
 * Lists a tar archive: ustar, and the long names, large sizes and sparse members of GNU tar and pax. Only headers are read.
 *
 * @throws `damaged`; `refused` for more than a million members, or holes in sparse ones
 */
export async function readTar(archive: ByteSource): Promise<TarMember[]> {
	const members: TarMember[] = [];
	let extended: Attributes = {};
	let extensions = 0;
	let runs = 0;
	for (let at = 0; at < archive.size; ) {
		const block = await readUpTo(archive, at, TAR_BLOCK);
		if (block.every((byte) => byte === 0)) break;
		const header = parseHeader(archive, at, block);
		const isExtension = EXTENSIONS.includes(header.typeflag);
		const known = types[header.typeflag] ?? "other";
		// Links, folders and devices have no content, whatever their size says.
		const hasContent = known === "file" || !/[1-6]/.test(header.typeflag);
		const stated = isExtension ? header.size : (extended.size ?? header.size);
		const stored = hasContent ? stated : 0;
		const oldSparse = header.typeflag === OLD_SPARSE ? await oldGnuSparse(archive, at, block) : undefined;
		const content = at + TAR_BLOCK + (oldSparse?.length ?? 0);
		if (stated < 0) {
			const what = `${archive.name}: the member at byte ${at} is said to have ${stated} bytes`;
			throw damaged(what, { file: archive.name, offset: at });
		}
		if (content + stored > archive.size) throw cutOff(archive, at, header.name);

		if (isExtension) {
			if (++extensions > MOST_EXTENSIONS) throw tooMany(archive, at, "headers before one member", MOST_EXTENSIONS);
			Object.assign(extended, await readExtension(archive, content, stored, header));
		} else {
			if (members.length === MOST_MEMBERS) throw tooMany(archive, at, "members", MOST_MEMBERS);
			const map = oldSparse?.map ?? (await extended.sparse?.map(archive, content, stored));
			runs += map?.runs.length ?? 0;
			if (runs > MOST_RUNS) throw tooMany(archive, at, "holes in sparse members", MOST_RUNS);
			const name = extended.sparse?.name ?? extended.path ?? ownName(header);
			members.push(new Member(archive, name, known, content, stored, map));
			extended = {};
			extensions = 0;
		}
		at = content + Math.ceil(stored / TAR_BLOCK) * TAR_BLOCK;
	}
	// A long name, and no member that it belongs to.
	if (Object.keys(extended).length > 0) throw cutOff(archive, archive.size);
	return members;
}

const tooMany = (archive: ByteSource, offset: number, what: string, most: number) =>
	refused(`${archive.name} has more than ${most} ${what}`, { file: archive.name, offset });

/** There may be hundreds of thousands of these: the window on the archive is made when it is asked for. */
class Member implements TarMember {
	readonly name: string;
	readonly type: TarMember["type"];
	readonly size: number;
	readonly at: number;
	readonly #archive: ByteSource;
	readonly #stored: number;
	readonly #map: SparseMap | undefined;

	/** @param stored bytes from `at` on */
	constructor(
		archive: ByteSource,
		name: string,
		type: TarMember["type"],
		at: number,
		stored: number,
		map: SparseMap | undefined,
	) {
		const before = map?.before ?? 0;
		this.#archive = archive;
		this.#stored = stored - before;
		this.#map = map;
		this.name = name;
		this.type = type;
		this.size = map?.size ?? stored;
		this.at = at + before;
	}

	get source(): ByteSource {
		const stored = slice(this.#archive, this.at, this.#stored, `${this.#archive.name}:${this.name}`);
		return this.#map === undefined ? stored : sparseSource(stored, this.#map);
	}
}

function parseHeader(archive: ByteSource, at: number, block: Uint8Array): TarHeaderFields {
	if (block.length < TAR_BLOCK) throw cutOff(archive, at);
	if (!isTar(block)) {
		throw damaged(`${archive.name}: the tar header at byte ${at} is damaged`, {
			file: archive.name,
			offset: at,
			hint: "Copy or download the archive again and compare its checksum with the original's.",
		});
	}
	return TarHeader.parse(block, 0, archive.name, at);
}

const cutOff = (archive: ByteSource, at: number, name = "header") =>
	damaged(`${archive.name} ends within the tar ${name === "header" ? name : `member "${name}"`} at byte ${at}`, {
		file: archive.name,
		offset: at,
		hint: "It was not copied or downloaded completely: compare its size with the original's.",
	});

const ownName = ({ magic, prefix, name }: TarHeaderFields) =>
	// GNU's own format ("ustar  ") keeps times where POSIX has the prefix.
	magic === "ustar" && prefix !== "" ? `${prefix}/${name}` : name;

/** What headers of their own say of the member that follows them. */
interface Attributes {
	readonly path?: string;
	readonly size?: number;
	readonly sparse?: PaxSparse;
}

async function readExtension(
	archive: ByteSource,
	at: number,
	size: number,
	{ typeflag }: TarHeaderFields,
): Promise<Attributes> {
	// g: for all members, of which nothing concerns us. K: a long link target.
	if (typeflag === "g" || typeflag === "K") return {};
	if (size > LONGEST_EXTENSION) {
		throw refused(`${archive.name}: a name of ${size} bytes`, { file: archive.name, offset: at });
	}
	const content = await readBytes(archive, at, size);
	return typeflag === "L" ? { path: untilNul(content) } : paxAttributes(archive, at, content);
}

/** Records of "LENGTH KEY=VALUE\n", the length counting all of that in bytes. */
function paxAttributes(archive: ByteSource, at: number, content: Uint8Array): Attributes {
	const attributes: { path?: string; size?: number; sparse?: PaxSparse } = {};
	const decoder = new TextDecoder();
	for (let start = 0; start < content.length; ) {
		const space = content.indexOf(0x20, start);
		const digits = decoder.decode(content.subarray(start, Math.max(start, space)));
		const end = start + Number(digits);
		if (!/^\d{1,7}$/.test(digits) || end > content.length || end <= space) throw badPax(archive, at + start);
		const [key = "", ...rest] = decoder.decode(content.subarray(space + 1, end - 1)).split("=");
		const value = rest.join("=");
		if (key === "path") attributes.path = value;
		if (key === "size") attributes.size = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN;
		if (key.startsWith("GNU.sparse.")) {
			attributes.sparse ??= new PaxSparse();
			attributes.sparse.take(archive, at + start, key, value);
		}
		start = end;
	}
	if (attributes.size !== undefined && !Number.isSafeInteger(attributes.size)) throw badPax(archive, at);
	return attributes;
}

const badPax = (archive: ByteSource, offset: number) =>
	damaged(`${archive.name}: the pax header at byte ${offset} is damaged`, { file: archive.name, offset });

/**
 * A member's name as a relative path below the folder that it is unpacked into.
 *
 * @throws `refused` for a name that leads out of it, or that is none
 */
export function safeMemberName(name: string): string {
	const parts = name.split("/").filter((part) => part !== "" && part !== ".");
	if (/^\/|^[A-Za-z]:|[\\\0]/.test(name) || parts.length === 0 || parts.includes("..")) {
		throw refused(`the archive has a member named "${name}", which would leave its folder`, {
			file: name,
			hint: "The archive is hostile or was made by mistake; ask whoever made it.",
		});
	}
	return parts.join("/");
}
