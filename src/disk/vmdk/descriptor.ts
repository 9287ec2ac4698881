import { damaged, refused, unsupported } from "../../bytes/errors.js";
import { CAPACITY_LIMIT, SECTOR } from "./layout.js";

/** One line of the descriptor's extent description. */
export interface ExtentLine {
	/** Length of the extent on the disk, in bytes. */
	readonly size: number;
	/** `FLAT`, `SPARSE`, `ZERO`, `VMFS`, `VMFSSPARSE`, `VMFSRDM`, `SESPARSE`, … */
	readonly type: string;
	/** Empty for `ZERO`. */
	readonly fileName: string;
	/** Where the extent begins in its file, in bytes. */
	readonly offset: number;
}

/** The link of a snapshot to the disk that it continues. */
export interface ParentLink {
	/** The content ID that the parent had, as {@link Descriptor.cid}. */
	readonly cid: string;
	/** As the descriptor has it: a plain name, or a path on the system it comes from. */
	readonly fileName: string;
}

/** The facts of a descriptor that reading needs. */
export interface Descriptor {
	readonly createType: string;
	/** The content ID, eight hexadecimal digits in lower case; it changes with the content. */
	readonly cid: string | undefined;
	readonly parent: ParentLink | undefined;
	readonly extents: readonly ExtentLine[];
	/** All entries by their names in lower case, the disk data base's with their "ddb." in front. */
	readonly entries: ReadonlyMap<string, string>;
}

/** Longest descriptor that is read, in bytes: 1024 extents with long names fit. */
export const DESCRIPTOR_LIMIT = 256 * 1024;
export const EXTENTS_LIMIT = 1024;

export const NO_PARENT = "ffffffff";

/**
 * Parses the text of "The Descriptor File". Raw devices are `unsupported`, encrypted disks `refused`.
 *
 * @param file name for messages
 */
export function parseDescriptor(textBytes: Uint8Array, file: string): Descriptor {
	const values = new Map<string, string>();
	const extents: ExtentLine[] = [];
	for (const line of decoded(textBytes).split(/\r?\n/)) {
		const extent = /^\s*(RW|RDONLY|NOACCESS)\s+(\d+)\s+(\w+)(?:\s+"([^"]*)"(?:\s+(\d+))?)?/.exec(line);
		if (extent !== null) {
			if (extents.length === EXTENTS_LIMIT) {
				throw refused(`${file}: the disk is split into more than ${EXTENTS_LIMIT} files`, { file });
			}
			extents.push(extentLine(extent, file));
			continue;
		}
		const equals = line.indexOf("=");
		if (equals > 0) values.set(line.slice(0, equals).trim().toLowerCase(), unquoted(line.slice(equals + 1)));
	}

	const keys = [...values.keys()];
	if (keys.some((key) => key.startsWith("encryption.")) || values.get("ddb.iofilters")?.includes("vmcrypt") === true) {
		throw refused(`${file}: the disk is encrypted`, { file, hint: "Remove the VM's encryption in VMware first." });
	}
	const createType = values.get("createtype") ?? "";
	if (/device|^vmfsR(DM|aw)/i.test(createType)) throw rawDevice(file, createType);
	const cid = contentId(values.get("cid"));
	return { createType, cid, parent: parentLink(values, file), extents, entries: values };
}

/** Of a disk that is no file: `what` names the kind of map, as the descriptor does. */
export const rawDevice = (file: string, what: string) =>
	unsupported(`${file}: the disk is a device of its host (${what.slice(0, 64)})`, {
		file,
		hint: "Copy the device into an image first (on ESXi: vmkfstools -i), and use that.",
	});

/** The text up to its first NUL, in the encoding that it names itself. */
function decoded(textBytes: Uint8Array): string {
	const end = textBytes.indexOf(0);
	const text = end < 0 ? textBytes : textBytes.subarray(0, end);
	const [, encoding] = /^encoding="([\w-]{1,32})"/im.exec(new TextDecoder("latin1").decode(text)) ?? [];
	try {
		return new TextDecoder(encoding).decode(text);
	} catch {
		// An encoding that is not known here. Names in ASCII are the same in all that VMware uses.
		return new TextDecoder().decode(text);
	}
}

const unquoted = (value: string) => value.trim().replace(/^"/, "").replace(/"$/, "");

const contentId = (value: string | undefined) =>
	value !== undefined && /^[0-9a-f]{1,8}$/i.test(value) ? value.toLowerCase().padStart(8, "0") : undefined;

function parentLink(values: ReadonlyMap<string, string>, file: string): ParentLink | undefined {
	const stated = values.get("parentcid");
	if (stated === undefined) return undefined;
	const cid = contentId(stated);
	if (cid === NO_PARENT) return undefined;
	const fileName = values.get("parentfilenamehint") ?? "";
	if (cid !== undefined && fileName !== "") return { cid, fileName };
	const lacks = cid === undefined ? `has the parent content ID "${stated.slice(0, 32)}"` : "does not name its parent";
	throw damaged(`${file}: the disk is a snapshot, and its descriptor ${lacks}`, {
		file,
		hint: "Add the line parentFileNameHint with the parent's name, or consolidate the VM's snapshots in VMware.",
	});
}

function extentLine([, access, sectors, type = "", fileName = "", offset]: RegExpExecArray, file: string): ExtentLine {
	if (access === "NOACCESS") throw unsupported(`${file}: an extent of the disk is marked NOACCESS`, { file });
	const size = Number(sectors) * SECTOR;
	const start = Number(offset ?? 0) * SECTOR;
	if (size > CAPACITY_LIMIT || !Number.isSafeInteger(start)) {
		throw damaged(`${file}: an extent of ${sectors} sectors at ${offset ?? 0} is larger than any disk`, { file });
	}
	return { size, type: type.toUpperCase(), fileName, offset: start };
}
