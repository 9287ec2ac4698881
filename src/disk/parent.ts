import { AnyvisorError, notFound } from "../bytes/errors.js";
import type { ByteSource } from "../bytes/source.js";
import type { Disk, Neighbours } from "./disk.js";

/** What to do about a missing parent of Hyper-V's formats. */
export const MERGE_HINT = "Put the parent beside it, or merge both on the hypervisor first (Hyper-V: Merge-VHD).";

export interface ParentLink {
	/** Name of the image that continues its parent. */
	readonly child: string;
	/** {@link DiskFormat} id of the parent. */
	readonly format: string;
	/** The parent's paths as the image has them, the likeliest first. Of absolute ones only the last part is of use. */
	readonly paths: readonly string[];
	/** Throws `damaged` when a file of the parent's name is not the parent. */
	readonly verify: (file: ByteSource) => Promise<void>;
	/** What to do where there is none of them. */
	readonly hint: string;
}

/** Opens the first file that is the parent; `not-found` where none of the names leads to a file. */
export async function openParent(neighbours: Neighbours, link: ParentLink): Promise<Disk> {
	let name: string;
	try {
		name = await findParent(neighbours, link);
	} catch (error) {
		if (neighbours.standIn === undefined || !(error instanceof AnyvisorError)) throw error;
		return neighbours.standIn(lastPart(link.paths[0] ?? ""));
	}
	return neighbours.openDisk(name, link.format);
}

/** The name under which `neighbours` has the parent; {@link openParent} tells what is thrown. */
export async function findParent(neighbours: Neighbours, { child, paths, verify, hint }: ParentLink): Promise<string> {
	const failures: AnyvisorError[] = [];
	const relative = paths.filter((path) => !ABSOLUTE.test(path)).map((path) => path.replace(/^(\.[\\/])+/, ""));
	// A path is as it was on the machine that made the image: its last part may be here all the same.
	const names = new Set([...relative, ...paths.map(lastPart)]);
	for (const name of names) {
		if (name === "") continue;
		try {
			await withFile(neighbours, name, verify);
			return name;
		} catch (error) {
			if (!(error instanceof AnyvisorError)) throw error;
			failures.push(error);
		}
	}
	const another = failures.find(({ kind }) => kind !== "not-found" && kind !== "refused");
	if (another !== undefined) throw another;
	const [refusal] = failures;
	if (refusal !== undefined && failures.every(({ kind }) => kind === "refused")) throw refusal;
	const wanted = lastPart(paths[0] ?? "");
	const what = wanted === "" ? "a parent that it does not name" : `"${wanted}", which is not in its folder`;
	throw notFound(`${child} is a differencing disk: it holds only what changed since ${what}`, {
		file: wanted === "" ? child : wanted,
		hint,
	});
}

/** A folder from the root on, a drive, a URL. */
const ABSOLUTE = /^[\\/]|^[\w+.-]+:/;

async function withFile(neighbours: Neighbours, name: string, use: (file: ByteSource) => Promise<void>): Promise<void> {
	const file = await neighbours.open(name);
	try {
		await use(file);
	} finally {
		await file[Symbol.asyncDispose]?.();
	}
}

const lastPart = (path: string) => path.split(/[\\/]/).at(-1) ?? "";
