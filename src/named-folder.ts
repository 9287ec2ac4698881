import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { notFound, refused } from "./bytes/errors.js";
import { readBytes, readUpTo } from "./bytes/source.js";
import { descriptorRank, isLeftOver } from "./descriptor-likeness.js";
import { HYPERV } from "./hyperv-folders.js";
import { bearsDiskMark, DESCRIPTOR_LIMIT, isPackage } from "./open.js";
import { guarded } from "./source/failure.js";
import { openFile } from "./source/file.js";
import { ofOneName } from "./source/one-name.js";
import { isTar } from "./source/tar-header.js";

/** What describes the disk in a Parallels folder, which macOS shows as a single file. */
const PARALLELS_DESCRIPTOR = "DiskDescriptor.xml";
/** Whoever names a folder of more files means another one. */
const MOST_FILES = 1000;
const MOST_LISTED = 8;

/** What a file in a folder is, the first of them what rather stands for a VM. */
const kinds = ["descriptor", "package", "disk image"] as const;
type Kind = (typeof kinds)[number];

/** What a folder is opened as. */
export interface FolderContent {
	readonly file: string;
	/** Where its disks are looked for if they do not lie beside it. */
	readonly disks?: string;
}

/**
 * The one file by which a folder is a VM: its descriptor, in an export of Hyper-V one folder further down; else its only
 * OVA, XVA or VMA; else its only disk image.
 *
 * @throws `refused` where there are several, `not-found` where there is none
 */
export async function contentOf(folder: string): Promise<FolderContent> {
	const names = await guarded("listing", folder, () => readdir(folder));
	if (!names.includes(HYPERV.machines)) return { file: await fileInFolder(folder) };
	const file = await fileInFolder(path.join(folder, HYPERV.machines));
	return names.includes(HYPERV.disks) ? { file, disks: path.join(folder, HYPERV.disks) } : { file };
}

async function fileInFolder(folder: string): Promise<string> {
	const names = await guarded("listing", folder, () => readdir(folder));
	if (names.includes(PARALLELS_DESCRIPTOR)) return path.join(folder, PARALLELS_DESCRIPTOR);
	if (names.length > MOST_FILES) {
		throw refused(`${folder} has ${names.length} files; a VM's folder has at most ${MOST_FILES}`, {
			file: folder,
			hint: "Name the descriptor or the disk image in it.",
		});
	}
	const found = new Map<Kind, Map<string, number>>(kinds.map((kind) => [kind, new Map()]));
	for (const name of names.toSorted()) {
		const { kind, rank = 0 } = (await kindOf(path.join(folder, name))) ?? {};
		if (kind !== undefined) found.get(kind)?.set(name, rank);
	}
	for (const [kind, ranks] of found) {
		const [first, ...others] = ranks.keys();
		if (first === undefined) continue;
		const [best, next] = ofOneName(Array.from(ranks, ([name, rank]) => ({ path: name, likely: -rank })));
		if (best !== undefined && next === undefined) return path.join(folder, best.path);
		const list = [first, ...others].slice(0, MOST_LISTED).join(", ");
		throw refused(`${folder} has ${others.length + 1} files that are a ${kind}: ${list}`, {
			file: folder,
			hint: `Name the one that is meant: ${path.join(folder, first)}.`,
		});
	}
	throw notFound(`${folder} has no descriptor, package or disk image in it`, {
		file: folder,
		hint: "Name the file itself; a raw disk is recognised in a folder if its name ends with .raw or .img.",
	});
}

async function kindOf(file: string): Promise<{ readonly kind: Kind; readonly rank?: number } | undefined> {
	if (
		isLeftOver(file) ||
		!(await stat(file).then(
			(found) => found.isFile(),
			() => false,
		))
	)
		return undefined;
	await using source = await openFile(file);
	if (await isPackage(source)) return { kind: "package" };
	if (isTar(await readUpTo(source, 0, 512))) return undefined;
	if (await bearsDiskMark(source)) return { kind: "disk image" };
	if (source.size <= DESCRIPTOR_LIMIT) {
		const bytes = await readBytes(source, 0, source.size);
		const rank = descriptorRank({ name: path.basename(file), bytes });
		if (rank !== undefined) return { kind: "descriptor", rank };
	}
	return /\.(?:raw|img)$/i.test(file) ? { kind: "disk image" } : undefined;
}
