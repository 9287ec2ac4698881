import { notFound, refused, unsupported } from "../bytes/errors.js";
import { checkPath, checkRegular, checkReplaced, checkTarget, parentOf } from "../filesystem/edit-path.js";
import { nameProblem } from "../filesystem/fat/names.js";
import type { Attributes, Editor, Filesystem, FileType } from "../filesystem/filesystem.js";
import type { FileOperation } from "../source/guestfish.js";

/** What will be at a path. */
interface Node {
	readonly type: FileType;
	readonly size: number;
	/** Where it is now in the file system; undefined for what will be made. */
	readonly origin: string | undefined;
	/** Names of extended attributes where they change. */
	readonly extended?: ReadonlySet<string>;
}

/** A link on XFS is shorter than its blocks. */
const targetLimits: Readonly<Record<string, number>> = { xfs: 1024 };

/**
 * Only notes what is to be done, and refuses at once what could not be. Of NTFS only contents, names and times are
 * changed, as of FAT, and names are found whatever their case.
 */
export class NotingEditor implements Editor {
	readonly #filesystem: Filesystem;
	/** For messages. */
	readonly #name: string;
	readonly #operations: FileOperation[];
	/** By path: what differs from the file system as it is; undefined where nothing will be. */
	readonly #changed = new Map<string, Node | undefined>();

	constructor(filesystem: Filesystem, name: string, operations: FileOperation[]) {
		this.#filesystem = filesystem;
		this.#name = name;
		this.#operations = operations;
	}

	async writeFile(given: string, contents: Uint8Array, { mode, uid, gid, mtime }: Attributes): Promise<void> {
		const { path, node } = await this.#find(given);
		if (node) checkRegular(this.#name, path, node.type);
		else await this.#checkParent(path);
		const created = this.#isUnix ? { mode, uid, gid } : {};
		this.#operations.push({ kind: "write", path, contents, mtime, ...(!node && { created }) });
		this.#changed.set(path, { origin: undefined, ...node, type: "file", size: contents.length });
	}

	async appendFile(given: string, contents: Uint8Array, mtime: number): Promise<void> {
		const { path, node } = await this.#existing(given);
		checkRegular(this.#name, path, node.type);
		this.#operations.push({ kind: "append", path, contents, mtime, at: node.size });
		this.#changed.set(path, { ...node, size: node.size + contents.length });
	}

	async makeDirectory(given: string, { mode, uid, gid, mtime }: Attributes): Promise<void> {
		const { path, node } = await this.#find(given);
		if (node?.type === "directory") return;
		if (node) throw refused(`${this.#name}:${path} exists and is not a directory`, { file: path });
		await this.#checkParent(path);
		this.#operations.push({ kind: "folder", path, mtime, ...(this.#isUnix && { mode, uid, gid }) });
		this.#changed.set(path, { type: "directory", size: 0, origin: undefined });
	}

	async makeLink(given: string, target: string, { uid, gid, mtime }: Omit<Attributes, "mode">): Promise<void> {
		this.#checkUnix(given, "symbolic links");
		const { path } = await this.#checkNew(given);
		const size = checkTarget(this.#name, path, target, targetLimits[this.#filesystem.kind]);
		this.#operations.push({ kind: "link", path, target, uid, gid, mtime });
		this.#changed.set(path, { type: "link", size, origin: undefined });
	}

	async rename(from: string, given: string): Promise<void> {
		const { path, node } = await this.#existing(from);
		const { path: to, node: old } = await this.#find(given);
		if (given === path) return;
		// On NTFS this may be the same name in other letters.
		if (to === path) throw refused(`${this.#name}:${path} exists already`, { file: path });
		if (to.startsWith(`${path}/`)) throw refused(`${path} cannot be moved into itself`, { file: path });
		if (old) {
			checkReplaced(this.#name, to, old.type, node.type);
			await this.remove(to);
		} else await this.#checkParent(to);
		this.#operations.push({ kind: "rename", path, to });
		// What was removed from a directory there says nothing of this one.
		for (const below of [...this.#changed.keys()]) if (below.startsWith(`${to}/`)) this.#changed.delete(below);
		for (const [below, moved] of [...this.#changed]) {
			if (!below.startsWith(`${path}/`)) continue;
			this.#changed.delete(below);
			this.#changed.set(to + below.slice(path.length), moved);
		}
		this.#changed.set(path, undefined);
		this.#changed.set(to, node);
	}

	async remove(given: string): Promise<void> {
		checkPath(this.#name, given);
		const { path, node } = await this.#existing(given);
		const folder = node.type === "directory";
		if (folder && (await this.#names(path)).size > 0) throw refused(`${path} is not empty`, { file: path });
		this.#operations.push({ kind: "remove", path, folder });
		this.#changed.set(path, undefined);
	}

	async setAttributes(given: string, { mode, uid, gid, mtime }: Partial<Attributes>): Promise<void> {
		const { path, node } = await this.#existing(given);
		if (node.type === "link" && mode !== undefined) {
			throw refused(`${this.#name}:${path} is a symbolic link, which has no permissions`, { file: path });
		}
		const unix = this.#isUnix
			? { ...(mode !== undefined && { mode }), ...(uid !== undefined && { uid }), ...(gid !== undefined && { gid }) }
			: {};
		const time = mtime === undefined ? {} : { mtime };
		this.#operations.push({ kind: "attributes", path, file: node.type === "file", ...unix, ...time });
	}

	async setExtendedAttribute(given: string, name: string, value: Uint8Array): Promise<void> {
		this.#checkUnix(given, "extended attributes");
		const { path, node } = await this.#existing(given);
		if (value.subarray(0, -1).includes(0)) {
			throw unsupported(`libguestfs cannot set an attribute with a NUL inside, as ${name} would have`, { file: path });
		}
		this.#operations.push({ kind: "extended", path, name, value });
		this.#changed.set(path, { ...node, extended: new Set([...(await this.#extendedOf(node)), name]) });
	}

	async removeExtendedAttribute(given: string, name: string): Promise<void> {
		this.#checkUnix(given, "extended attributes");
		const { path, node } = await this.#existing(given);
		const extended = new Set(await this.#extendedOf(node));
		if (!extended.delete(name)) throw notFound(`${this.#name}:${path} has no attribute ${name}`, { file: path });
		this.#operations.push({ kind: "unset", path, name });
		this.#changed.set(path, { ...node, extended });
	}

	close(): Promise<void> {
		return Promise.resolve();
	}

	get #isUnix(): boolean {
		return this.#filesystem.kind !== "ntfs";
	}

	#checkUnix(path: string, what: string): void {
		if (!this.#isUnix) throw unsupported(`${this.#name}: ${what} of NTFS cannot be edited`, { file: path });
	}

	/** What will be at `given`, and how that is spelled. */
	async #find(given: string): Promise<{ readonly path: string; readonly node: Node | undefined }> {
		checkPath(this.#name, given);
		const problem = this.#isUnix ? undefined : given.split("/").slice(1).map(nameProblem).find(Boolean);
		if (problem !== undefined) {
			throw refused(`${this.#name}: "${given}" cannot be a path on NTFS: in a name, ${problem}`, { file: given });
		}
		const path = this.#isUnix ? given : await this.#spelled(given);
		return { path, node: await this.#look(path) };
	}

	async #existing(given: string): Promise<{ readonly path: string; readonly node: Node }> {
		const root: Node = { type: "directory", size: 0, origin: "/" };
		const { path, node } =
			given === "/" ? { path: given, node: this.#changed.get("/") ?? root } : await this.#find(given);
		if (node === undefined) throw notFound(`${this.#name}:${path} does not exist`, { file: path });
		return { path, node };
	}

	/** `refused` where `given` is taken. */
	async #checkNew(given: string): Promise<{ readonly path: string }> {
		const { path, node } = await this.#find(given);
		if (node) throw refused(`${this.#name}:${path} exists already`, { file: path });
		await this.#checkParent(path);
		return { path };
	}

	async #checkParent(path: string): Promise<void> {
		const parent = parentOf(path);
		if (parent === "/" || (await this.#look(parent))?.type === "directory") return;
		throw notFound(`${this.#name}:${parent} is not a directory`, { file: path });
	}

	async #look(path: string): Promise<Node | undefined> {
		if (this.#changed.has(path)) return this.#changed.get(path);
		const origin = this.#originOf(path);
		const stat = origin === undefined ? undefined : await this.#filesystem.stat(origin);
		return stat && { type: stat.type, size: stat.size, origin };
	}

	/** Where what will be at `path` is now: under the nearest directory that was moved, made or removed. */
	#originOf(path: string): string | undefined {
		for (let top = path; top !== "/"; top = parentOf(top)) {
			if (!this.#changed.has(top)) continue;
			const origin = this.#changed.get(top)?.origin;
			return origin === undefined ? undefined : origin + path.slice(top.length);
		}
		return path;
	}

	/** What will be in a directory. */
	async #names(directory: string): Promise<ReadonlySet<string>> {
		const origin = this.#originOf(directory);
		const inside = (name: string) => (directory === "/" ? `/${name}` : `${directory}/${name}`);
		const names = new Set<string>();
		for (const { name } of origin === undefined ? [] : await this.#filesystem.list(origin)) {
			if (!this.#changed.has(inside(name))) names.add(name);
		}
		for (const [path, node] of this.#changed) {
			if (node && path !== "/" && parentOf(path) === directory) names.add(path.slice(inside("").length));
		}
		return names;
	}

	async #spelled(given: string): Promise<string> {
		let path = "";
		for (const name of given.split("/").slice(1)) {
			const isFolder = path === "" || (await this.#look(path))?.type === "directory";
			const names = isFolder ? await this.#names(path || "/") : new Set<string>();
			const folded = name.toUpperCase();
			path += `/${names.has(name) ? name : ([...names].find((other) => other.toUpperCase() === folded) ?? name)}`;
		}
		return path;
	}

	async #extendedOf({ origin, extended }: Node): Promise<Iterable<string>> {
		if (extended) return extended;
		return origin === undefined ? [] : ((await this.#filesystem.extendedAttributes?.(origin))?.keys() ?? []);
	}
}
