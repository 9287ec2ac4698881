import path from "node:path";
import { notFound, refused } from "../../bytes/errors.js";
import type { FileStat } from "../../filesystem/filesystem.js";
import type { GuestTree } from "../../filesystem/tree.js";
import { OutputTree } from "../../source/output-tree.js";

/** Folders in each other; one that contains itself ends here. */
const DEEPEST = 200;
/** Files and folders of one copy, and of those that are left out, how many are told. */
const MOST = 10_000_000;
const MOST_TOLD = 10_000;

export interface CopyOptions {
	/** Also copies links that lead out of what is copied. */
	readonly links?: boolean;
	readonly sync?: boolean;
}

/** What `--json` prints of each path. */
export interface CopyResult {
	readonly path: string;
	readonly output: string;
	files: number;
	folders: number;
	links: number;
	/** Of files. */
	bytes: number;
	readonly left: { readonly path: string; readonly why: string }[];
}

/** Copies `from` with all that is in it to a file or folder of the same name in `into`. */
export async function copyOut(
	tree: GuestTree,
	from: string,
	into: string,
	{ links = false, sync = true }: CopyOptions = {},
): Promise<CopyResult> {
	const stat = await tree.stat(from);
	if (stat === undefined) {
		throw notFound(`There is no ${from} in this VM`, { file: from, hint: "List the folder above it: anyvisor fs ls." });
	}
	// The last name is a link's own, what it leads to is copied, as cp does with what it is given.
	const root = (await tree.resolve(from))?.guestPath ?? from;
	const target = path.join(into, path.posix.basename(path.posix.normalize(from)) || "root");
	await using output = await OutputTree.create(target, { sync });
	const result: CopyResult = { path: from, output: target, files: 0, folders: 0, links: 0, bytes: 0, left: [] };
	const copy = new Copy(tree, output, result, links);
	if (stat.type === "other") throw refused(`${from} is a device, a pipe or a socket`, { file: from });
	await copy.take(root, [], stat);
	await output.commit();
	return result;
}

class Copy {
	readonly #tree: GuestTree;
	readonly #output: OutputTree;
	readonly #result: CopyResult;
	readonly #links: boolean;
	#count = 0;

	constructor(tree: GuestTree, output: OutputTree, result: CopyResult, links: boolean) {
		this.#tree = tree;
		this.#output = output;
		this.#result = result;
		this.#links = links;
	}

	/** @param at path in the guest, `place` in the output */
	async take(at: string, place: readonly string[], stat: FileStat): Promise<void> {
		if (place.length > DEEPEST || ++this.#count > MOST) {
			const [file, hint] = [shortened(at), "Check the file system, or copy the folders inside of it one by one."];
			throw refused(`${file} lies too deep, or is one file too many: does a folder contain itself?`, { file, hint });
		}
		if (stat.type === "directory") await this.#folder(at, place, stat);
		else if (stat.type === "file") {
			const content = await this.#tree.open(at);
			await this.#output.file(place, content, stat);
			this.#result.files++;
			this.#result.bytes += content.size;
		} else if (stat.type === "link") await this.#link(at, place, stat.target ?? "");
		else this.#leave(at, "a device, a pipe or a socket");
	}

	async #folder(at: string, place: readonly string[], stat: FileStat): Promise<void> {
		await this.#output.folder(place);
		this.#result.folders++;
		for (const { name } of await this.#tree.list(at)) {
			const inside = `${at === "/" ? "" : at}/${name}`;
			const found = await this.#tree.lstat(inside);
			if (found === undefined) this.#leave(inside, "its name cannot be read");
			else await this.take(inside, [...place, name], found);
		}
		await this.#output.finishFolder(place, stat);
	}

	async #link(at: string, place: readonly string[], target: string): Promise<void> {
		if (target === "") this.#leave(at, "a link to nothing");
		else if (this.#links || staysInside(target, place.length - 1)) {
			await this.#output.link(place, target);
			this.#result.links++;
		} else this.#leave(at, `it leads to ${target} (--links copies it all the same)`);
	}

	#leave(at: string, why: string): void {
		if (this.#result.left.length < MOST_TOLD) this.#result.left.push({ path: at, why });
	}
}

const shortened = (path: string) => (path.length > 200 ? `${path.slice(0, 200)}…` : path);

/**
 * Whether a link leads to what lies `depth` folders up, or below that. Only its beginning may lead upwards: behind a name
 * that is a link itself, `..` is not the folder above.
 */
export function staysInside(target: string, depth: number): boolean {
	const [, up = "", down = ""] = /^((?:\.\.(?:\/+|$)|\.(?:\/+|$))*)(.*)$/s.exec(target) ?? [];
	const ups = up.split("/").filter((name) => name === "..").length;
	return !target.startsWith("/") && ups <= depth && !down.split("/").includes("..");
}
