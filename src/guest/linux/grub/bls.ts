import type { GuestTree } from "../../../filesystem/tree.js";
import { lines } from "../text.js";
import { compareVersions } from "../version.js";

/** A boot loader entry file: https://uapi-group.org/specifications/specs/boot_loader_specification/ */
export interface BlsEntry {
	/** File name without `.conf`: what GRUB's `default` calls it. */
	readonly id: string;
	/** Values of each key, in order. */
	readonly values: ReadonlyMap<string, readonly string[]>;
}

const folder = "/boot/loader/entries";
const mostEntries = 1000;
/** Bytes. */
const largestEntry = 16 * 1024;

/** Entries of this guest, as GRUB's blscfg sorts them. */
export async function readBlsEntries(tree: GuestTree): Promise<readonly BlsEntry[]> {
	const entries = await readEntryFiles(tree, folder);
	return entries.sort((one, other) => compareAsPackages(other.id, one.id));
}

/** The entry files of a folder, in no particular order. */
export async function readEntryFiles(tree: GuestTree, path: string): Promise<BlsEntry[]> {
	const entries: BlsEntry[] = [];
	for (const { name } of await tree.listIfExists(path)) {
		if (!/^[^.].*\.conf$/i.test(name) || entries.length >= mostEntries) continue;
		const stat = await tree.stat(`${path}/${name}`);
		if (stat?.type !== "file" || stat.size > largestEntry) continue;
		const text = (await tree.readText(`${path}/${name}`, largestEntry)) ?? "";
		entries.push({ id: name.slice(0, -".conf".length), values: parseEntryFile(text) });
	}
	return entries;
}

export function parseEntryFile(text: string): ReadonlyMap<string, readonly string[]> {
	const values = new Map<string, string[]>();
	for (const line of lines(text)) {
		const [, key, value] = /^([A-Za-z0-9_-]+)[ \t]+(\S.*)$/.exec(line.trim()) ?? [];
		if (key === undefined || value === undefined) continue;
		const list = values.get(key);
		if (list) list.push(value);
		else values.set(key, [value]);
	}
	return values;
}

/**
 * blscfg takes an entry's name for that of a package, `name-version-release`, and compares part by part.
 * https://github.com/rhboot/grub2/blob/fedora-41/grub-core/commands/blscfg.c
 */
function compareAsPackages(one: string, other: string): number {
	const left = splitPackage(one);
	const right = splitPackage(other);
	for (const [i, part] of left.entries()) {
		const order = compareVersions(part, right[i] ?? "");
		if (order !== 0) return order;
	}
	return 0;
}

/** Where there are fewer parts the last ones are missing. */
function splitPackage(id: string): readonly [name: string, version: string, release: string] {
	const [, name, version, release] = /^(.*)-([^-]*)-([^-]*)$/s.exec(id) ?? [];
	if (name !== undefined) return [name, version ?? "", release ?? ""];
	const [, first, second] = /^(.*)-([^-]*)$/s.exec(id) ?? [];
	return first === undefined ? [id, "", ""] : [first, second ?? "", ""];
}
