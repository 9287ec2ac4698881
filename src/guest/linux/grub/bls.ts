import type { GuestTree } from "../../../filesystem/tree.js";
import { lines } from "../text.js";
import { compareVersions } from "../version.js";

/** A boot loader entry file: https://uapi-group.org/specifications/specs/boot_loader_specification/ */
export interface BlsEntry {
	/** File name without `.conf`: what GRUB's `default` calls it. */
	readonly id: string;
	readonly title: string;
	readonly linux: string;
	readonly initrds: readonly string[];
	readonly options: readonly string[];
}

const folder = "/boot/loader/entries";
const mostEntries = 1000;
/** Bytes. */
const largestEntry = 64 * 1024;

/** Entries of this guest that boot Linux, newest first, as GRUB's blscfg sorts them. */
export async function readBlsEntries(tree: GuestTree): Promise<readonly BlsEntry[]> {
	const names = (await tree.listIfExists(folder)).map(({ name }) => name).filter((name) => name.endsWith(".conf"));
	const entries: BlsEntry[] = [];
	for (const name of names.sort(compareVersions).reverse().slice(0, mostEntries)) {
		const text = await tree.readText(`${folder}/${name}`, largestEntry);
		if (text !== undefined) entries.push(parseBlsEntry(name.slice(0, -".conf".length), text));
	}
	return entries.filter(({ linux }) => linux !== "");
}

export function parseBlsEntry(id: string, text: string): BlsEntry {
	const values = new Map<string, string[]>();
	for (const line of lines(text)) {
		const [, key, value] = /^([A-Za-z0-9_-]+)[ \t]+(\S.*)$/.exec(line.trim()) ?? [];
		if (key === undefined || value === undefined) continue;
		const list = values.get(key);
		if (list) list.push(value);
		else values.set(key, [value]);
	}
	const last = (key: string) => values.get(key)?.at(-1) ?? "";
	return {
		id,
		title: last("title") || id,
		linux: last("linux"),
		initrds: values.get("initrd") ?? [],
		options: values.get("options") ?? [],
	};
}
