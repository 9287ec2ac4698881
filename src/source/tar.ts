import { damaged, refused, unsupported } from "../bytes/errors.js";
import { type ByteSource, readBytes, readUpTo, slice } from "../bytes/source.js";
import { isTar, TAR_BLOCK, TarHeader, type TarHeaderFields, untilNul } from "./tar-header.js";

export { isTar, tarHeader } from "./tar-header.js";

/** Something in a tar archive. */
export interface TarMember {
	/** As the archive has it, hostile or not: {@link safeMemberName} before it becomes a path. */
	readonly name: string;
	readonly type: "file" | "folder" | "symlink" | "hardlink" | "other";
	/** Bytes of content. */
	readonly size: number;
	/** Offset of the content in the archive. */
	readonly at: number;
	/** The content, named `archive:member` in messages. */
	readonly source: ByteSource;
}

/** More than an XVA of 512 GiB has, which keeps each MiB of its disks in two members. */
const MOST_MEMBERS = 1 << 20;
/** Names and attributes of one member. */
const LONGEST_EXTENSION = 1 << 20;

/** Headers that say something of the member after them. */
const EXTENSIONS = ["g", "x", "K", "L"];

const types: Readonly<Record<string, TarMember["type"]>> = {
	"": "file",
	"0": "file",
	"7": "file",
	"1": "hardlink",
	"2": "symlink",
	"5": "folder",
};

/**
 * Lists a tar archive: ustar, and the long names and large sizes of GNU tar and pax. Only headers are read.
 *
 * @throws `damaged`; `unsupported` for sparse members; `refused` for more than a million members
 */
export async function readTar(archive: ByteSource): Promise<TarMember[]> {
	const members: TarMember[] = [];
	let extended: Attributes = {};
	for (let at = 0; at < archive.size; ) {
		const block = await readUpTo(archive, at, TAR_BLOCK);
		if (block.every((byte) => byte === 0)) break;
		const header = parseHeader(archive, at, block);
		const content = at + TAR_BLOCK;
		const known = types[header.typeflag] ?? "other";
		// Links, folders and devices have no content, whatever their size says.
		const hasContent = known === "file" || !/[1-6]/.test(header.typeflag);
		const stated = EXTENSIONS.includes(header.typeflag) ? header.size : (extended.size ?? header.size);
		const size = hasContent ? stated : 0;
		if (content + size > archive.size) throw cutOff(archive, at, header.name);

		const extension = await readExtension(archive, content, size, header);
		if (extension !== undefined) {
			Object.assign(extended, extension);
		} else {
			if (members.length === MOST_MEMBERS) {
				throw refused(`${archive.name} has more than ${MOST_MEMBERS} members`, { file: archive.name, offset: at });
			}
			members.push(new Member(archive, extended.path ?? ownName(header), known, size, content));
			extended = {};
		}
		at = content + Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
	}
	// A long name, and no member that it belongs to.
	if (Object.keys(extended).length > 0) throw cutOff(archive, archive.size);
	return members;
}

/** There may be hundreds of thousands of these: the window on the archive is made when it is asked for. */
class Member implements TarMember {
	readonly name: string;
	readonly type: TarMember["type"];
	readonly size: number;
	readonly at: number;
	readonly #archive: ByteSource;

	constructor(archive: ByteSource, name: string, type: TarMember["type"], size: number, at: number) {
		this.#archive = archive;
		this.name = name;
		this.type = type;
		this.size = size;
		this.at = at;
	}

	get source(): ByteSource {
		return slice(this.#archive, this.at, this.size, `${this.#archive.name}:${this.name}`);
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
}

/** What the header at hand says of the next member; undefined where it is a member itself. */
async function readExtension(
	archive: ByteSource,
	at: number,
	size: number,
	{ typeflag }: TarHeaderFields,
): Promise<Attributes | undefined> {
	if (typeflag === "S") throw sparse(archive, at);
	if (!EXTENSIONS.includes(typeflag)) return undefined;
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
	const attributes: { path?: string; size?: number } = {};
	const decoder = new TextDecoder();
	for (let start = 0; start < content.length; ) {
		const space = content.indexOf(0x20, start);
		const digits = decoder.decode(content.subarray(start, Math.max(start, space)));
		const end = start + Number(digits);
		if (!/^\d{1,7}$/.test(digits) || end > content.length || end <= space) throw badPax(archive, at + start);
		const [key = "", ...value] = decoder.decode(content.subarray(space + 1, end - 1)).split("=");
		if (key === "path") attributes.path = value.join("=");
		if (key === "size") attributes.size = Number(value[0]);
		if (key.startsWith("GNU.sparse.")) throw sparse(archive, at);
		start = end;
	}
	if (attributes.size !== undefined && !Number.isSafeInteger(attributes.size)) throw badPax(archive, at);
	return attributes;
}

const badPax = (archive: ByteSource, offset: number) =>
	damaged(`${archive.name}: the pax header at byte ${offset} is damaged`, { file: archive.name, offset });

const sparse = (archive: ByteSource, offset: number) =>
	unsupported(`${archive.name}: the member at byte ${offset} is stored sparsely`, {
		file: archive.name,
		offset,
		hint: "Unpack the archive (tar -xf) and name the files in it.",
	});

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
