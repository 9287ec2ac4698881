import { refused } from "../bytes/errors.js";
import type { ByteSource } from "../bytes/source.js";

/**
 * Opens a file beside another one, by its name relative to the folder that is the limit: parts separated by "/", never a
 * ".." among them.
 */
export interface OpenNeighbour {
	(name: string): Promise<ByteSource>;
	/**
	 * Opens a name that leads out of the folder where the user has allowed it, and refuses it otherwise. Without this
	 * member every such name is refused.
	 *
	 * @param path the name resolved as far as that can be done without looking: "../" first, absolute, or a URL
	 * @param mention the name as the file has it
	 */
	readonly elsewhere?: (path: string, mention: string) => Promise<ByteSource>;
}

/** Where a name leads that a file mentions. */
export interface Lead {
	/** Parts separated by "/", without "." and empty ones. Relative to the limit where the name is inside. */
	readonly path: string;
	readonly inside: boolean;
}

/**
 * Resolves a name that the file in `folder` mentions; nothing is looked at.
 *
 * @param folder relative to the limit, ending with "/"; "" is the limit itself
 * @throws `refused` for what is never followed: a pseudo-protocol of QEMU ("json:", "nbd:"), a name that is none
 */
export function leadOf(folder: string, mention: string): Lead {
	if (/^https?:\/\//i.test(mention)) return { path: mention, inside: false };
	// A letter and a colon are a drive; anything longer is a protocol.
	if (/^[\w+.-]{2,}:/.test(mention)) throw neverFollowed(mention, "which is a protocol and not a file");
	if (mention.includes("\0")) throw neverFollowed(mention, "which is not a name");
	const unified = mention.replaceAll("\\", "/");
	const absolute = /^(\/|[A-Za-z]:)/.test(unified);
	const whole = absolute ? unified : `${folder}${unified}`;
	if (/^https?:\/\//i.test(whole)) return { path: new URL(unified, folder).href, inside: false };

	const root = /^([A-Za-z]:)?\/?/.exec(whole)?.[0] ?? "";
	const parts: string[] = [];
	for (const part of whole.slice(root.length).split("/")) {
		if (part === "" || part === ".") continue;
		if (part === ".." && parts.length > 0 && parts.at(-1) !== "..") parts.pop();
		// Above the root there is nothing.
		else if (part !== ".." || root === "") parts.push(part);
	}
	if (parts.length === 0) throw neverFollowed(mention, "which is not a file");
	return { path: root + parts.join("/"), inside: root === "" && parts[0] !== ".." };
}

const neverFollowed = (mention: string, what: string) =>
	refused(`the image refers to "${shown(mention)}", ${what}`, {
		file: shown(mention),
		hint: "Put the file beside the image and name it without a folder (qemu-img rebase -u), or merge both first.",
	});

/** The error for a name that leads out of `limit`, with the option that would allow it. */
export const outside = (mention: string, limit: string, option = mention) =>
	refused(`a file in ${limit} refers to "${shown(mention)}", which is not inside of it`, {
		file: shown(mention),
		hint: `Put that file there, or allow it to be read if you trust the image: --allow-external ${quoted(option)}`,
	});

/** A URL may have a password in it, which is nobody's business. */
export const withoutCredentials = (name: string): string => name.replace(/^(\w+:\/\/)[^/@]*@/, "$1");

/** A hostile name does not get to write control characters to a terminal. */
const shown = (name: string) =>
	withoutCredentials(name)
		.replaceAll(/\p{Cc}/gu, "\u{fffd}")
		.slice(0, 1024);

/** As a shell takes it for one word. */
const quoted = (name: string) =>
	/^[\w@%+=:,./-]+$/.test(name) ? shown(name) : `'${shown(name).replaceAll("'", `'\\''`)}'`;
