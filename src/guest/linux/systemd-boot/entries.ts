import type { GuestTree } from "../../../filesystem/tree.js";
import type { BootEntry } from "../../guest.js";
import { attempt } from "../attempt.js";
import { type BlsEntry, readEntryFiles } from "../grub/bls.js";
import { locateFile } from "../loader-path.js";
import { findInitrdAddOns } from "../uki/add-ons.js";
import { readUnifiedKernel, type UnifiedKernel } from "../uki/uki.js";
import { compareSystemdVersions } from "./version.js";

/** An entry, with what it is sorted and found by. */
export interface SortedEntry {
	/** File name without its boot counter, in lower case. */
	readonly id: string;
	readonly sortKey: string;
	readonly machineId: string;
	readonly version: string;
	/** Undefined where boots are not counted. */
	readonly triesLeft: number | undefined;
	readonly triesDone: number;
	/** Undefined where it boots something else than Linux. */
	readonly entry: BootEntry | undefined;
}

const mostImages = 100;

/**
 * Type #1 and Type #2 entries of one partition, sorted below by {@link compareEntries}.
 * https://uapi-group.org/specifications/specs/boot_loader_specification/
 */
export async function readEntries(tree: GuestTree, base: string): Promise<SortedEntry[]> {
	const entries: SortedEntry[] = [];
	for (const file of await readEntryFiles(tree, `${base}/loader/entries`)) {
		const entry = await typeOne(tree, base, file);
		if (entry && !/^auto-/i.test(file.id)) entries.push(entry);
	}
	const images = (await tree.listIfExists(`${base}/EFI/Linux`)).filter(({ name }) => /^[^.].*\.efi$/i.test(name));
	for (const { name } of images.slice(0, mostImages)) {
		const path = `${base}/EFI/Linux/${name}`;
		const image = await attempt([], () => openUnifiedKernel(tree, path));
		if (image) entries.push(await typeTwo(tree, name, path, image));
	}
	return entries;
}

async function typeOne(tree: GuestTree, base: string, { id, values }: BlsEntry): Promise<SortedEntry | undefined> {
	const last = (key: string) => values.get(key)?.at(-1);
	const [linux, program] = [last("linux"), last("uki") ?? last("efi")];
	const loader = linux ?? program;
	if (loader === undefined || (linux !== undefined && program !== undefined)) return undefined;
	const kernel = await inPartition(tree, base, loader);
	const image = await attempt([], () => openUnifiedKernel(tree, kernel));
	const title = last("title") ?? id;
	const cmdline = (values.get("options") ?? []).join(" ");
	let entry: BootEntry | undefined;
	if (image) entry = await unifiedEntry(tree, title, kernel, image, cmdline);
	else if (linux !== undefined) {
		const initrds: string[] = [];
		for (const path of values.get("initrd") ?? []) initrds.push(await inPartition(tree, base, path));
		entry = { title, kernel, initrds, cmdline };
	}
	return {
		...counted(`${id}.conf`),
		sortKey: last("sort-key") ?? "",
		machineId: last("machine-id") ?? "",
		version: last("version") ?? "",
		entry,
	};
}

async function typeTwo(tree: GuestTree, name: string, path: string, image: UnifiedKernel): Promise<SortedEntry> {
	const first = (...keys: string[]) => keys.map((key) => image.osRelease.get(key)).find((value) => value) ?? "";
	const title = first("PRETTY_NAME", "IMAGE_ID", "NAME", "ID") || name;
	return {
		...counted(name),
		sortKey: first("IMAGE_ID", "ID"),
		machineId: "",
		version: first("IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID"),
		entry: await unifiedEntry(tree, title, path, image, ""),
	};
}

/** A command line from outside counts where the image has none. */
async function unifiedEntry(
	tree: GuestTree,
	title: string,
	path: string,
	image: UnifiedKernel,
	cmdline: string,
): Promise<BootEntry> {
	const { release, stub, signed, initrd } = image;
	return {
		title,
		kernel: path,
		initrds: [...(initrd ? [path] : []), ...(await findInitrdAddOns(tree, path, image))],
		cmdline: image.cmdline || cmdline,
		uki: { release, stub, signed },
	};
}

/** A boot entry for a program that is a unified kernel image; `undefined` where it is not. */
export async function readUnifiedEntry(tree: GuestTree, title: string, path: string): Promise<BootEntry | undefined> {
	const image = await attempt([], () => openUnifiedKernel(tree, path));
	return image && unifiedEntry(tree, title, path, image, "");
}

async function openUnifiedKernel(tree: GuestTree, path: string): Promise<UnifiedKernel | undefined> {
	return (await tree.stat(path))?.type === "file" ? readUnifiedKernel(await tree.open(path)) : undefined;
}

/** Paths of an entry start at its own partition; some guests have the partition elsewhere than the entries say. */
async function inPartition(tree: GuestTree, base: string, path: string): Promise<string> {
	const own = `${base}/${path.replaceAll("\\", "/").replace(/^\/+/, "")}`;
	return (await tree.stat(own))?.type === "file"
		? ((await tree.resolve(own))?.guestPath ?? own)
		: locateFile(tree, path);
}

/** `name+3-1.conf`: three boots left to try, one tried. */
function counted(file: string): Pick<SortedEntry, "id" | "triesLeft" | "triesDone"> {
	const [, name, left, done, end] = /^(.*)\+(\d+)(?:-(\d+))?(\.[a-z]+)$/is.exec(file) ?? [];
	if (name === undefined || left === undefined) return { id: file.toLowerCase(), triesLeft: undefined, triesDone: 0 };
	return { id: (name + (end ?? "")).toLowerCase(), triesLeft: Number(left), triesDone: Number(done ?? 0) };
}

/** The order of systemd-boot's menu: https://www.freedesktop.org/software/systemd/man/latest/systemd-boot.html */
export function compareEntries(a: SortedEntry, b: SortedEntry): number {
	const text = (one: string, other: string) => (one < other ? -1 : Number(one > other));
	const sorted = a.sortKey !== "" && b.sortKey !== "";
	return (
		Number(a.triesLeft === 0) - Number(b.triesLeft === 0) ||
		Number(a.sortKey === "") - Number(b.sortKey === "") ||
		(sorted
			? text(a.sortKey, b.sortKey) || text(a.machineId, b.machineId) || compareSystemdVersions(b.version, a.version)
			: 0) ||
		compareSystemdVersions(b.id, a.id) ||
		(a.triesLeft === undefined || b.triesLeft === undefined
			? 0
			: b.triesLeft - a.triesLeft || a.triesDone - b.triesDone)
	);
}
