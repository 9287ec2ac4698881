import { createHash } from "node:crypto";
import { mkdir, rm } from "node:fs/promises";
import * as fc from "fast-check";
import { expect } from "vitest";
import type { Editor } from "../../src/filesystem/filesystem.js";
import { run } from "../support/tools.js";
import { folderTree, noise, type Tree } from "./ext-images.js";

const names = ["a", "b", "Long Name One.conf", "d", "žluť"];
const time = 1_750_000_000;

const pathTo = fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 3 }).map((list) => `/${list.join("/")}`);
const mode = fc.constantFrom(0o644, 0o755, 0o4711, 0o600, 0o1777);
const owner = fc.constantFrom(0, 8, 1000, 70_000);
const length = fc.oneof(fc.constantFrom(0, 1, 59, 60, 61, 150, 1023, 1024, 4096), fc.nat(30_000));
const value = fc.constantFrom(0, 1, 27, 60, 200, 700);

/** One edit; which of them can succeed is for {@link carryOut} to say. */
const step = fc.oneof(
	{ weight: 4, arbitrary: fc.record({ do: fc.constant("write" as const), path: pathTo, length, mode, owner }) },
	fc.record({ do: fc.constant("append" as const), path: pathTo, length }),
	{ weight: 4, arbitrary: fc.record({ do: fc.constant("directory" as const), path: pathTo, mode, owner }) },
	{
		weight: 2,
		arbitrary: fc.record({
			do: fc.constant("link" as const),
			path: pathTo,
			length: fc.constantFrom(1, 59, 60, 61, 200, 900),
			owner,
		}),
	},
	{ weight: 3, arbitrary: fc.record({ do: fc.constant("rename" as const), path: pathTo, to: pathTo }) },
	{ weight: 2, arbitrary: fc.record({ do: fc.constant("remove" as const), path: pathTo }) },
	{ weight: 2, arbitrary: fc.record({ do: fc.constant("attributes" as const), path: pathTo, mode, owner }) },
	{
		weight: 3,
		arbitrary: fc.record({
			do: fc.constant("extended" as const),
			path: pathTo,
			name: fc.constantFrom("security.selinux", "trusted.a", "trusted.another one", "security.b"),
			length: value,
		}),
	},
);
export type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
export const steps = fc.array(step, { minLength: 5, maxLength: 50 });

export interface Node {
	type: "file" | "directory" | "link";
	mode: number;
	uid: number;
	gid: number;
	mtime: number;
	contents: Uint8Array;
	target: string;
	extended: Map<string, Uint8Array>;
}
export type Model = Map<string, Node>;
export const node = (type: Node["type"], values: Partial<Node>): Node => ({
	...{ type, mode: 0o644, uid: 0, gid: 0, mtime: time, contents: new Uint8Array(), target: "", extended: new Map() },
	...values,
});

/** What file systems differ in. */
interface Abilities {
	/** Links, owners, permissions and extended attributes. */
	readonly unix: boolean;
	/** Whether it refuses to remove a directory that is not empty before it has tried. */
	readonly knowsEmptiness?: boolean;
}

const parentOf = (path: string) => path.slice(0, path.lastIndexOf("/"));
const below = (model: Model, path: string) => [...model.keys()].filter((key) => key.startsWith(`${path}/`));

/** Does what can be done of `list`, and expects a typed refusal of what cannot; returns what is to be there. */
export async function carryOut(
	editor: Editor,
	list: readonly Step[],
	{ unix, knowsEmptiness = true }: Abilities,
	before: Model = new Map(),
): Promise<Model> {
	const model: Model = new Map(before);
	const kinds = (...allowed: string[]) =>
		expect.objectContaining({ name: "AnyvisorError", kind: expect.toBeOneOf(allowed) });
	for (const [i, one] of list.entries()) {
		const { path } = one;
		const old = model.get(path);
		const hasParent = parentOf(path) === "" || model.get(parentOf(path))?.type === "directory";
		const mtime = time + (before.size * 100 + i) * 2;
		switch (one.do) {
			case "write": {
				const contents = noise(one.length, i);
				const attributes = { mode: one.mode, uid: one.owner, gid: one.owner, mtime };
				if (!hasParent || (old && old.type !== "file")) break;
				await editor.writeFile(path, contents, attributes);
				model.set(path, old ? { ...old, contents, mtime } : node("file", { ...attributes, contents }));
				break;
			}
			case "append": {
				if (old?.type !== "file") break;
				const more = noise(one.length, i);
				await editor.appendFile(path, more, mtime);
				model.set(path, { ...old, contents: new Uint8Array(Buffer.concat([old.contents, more])), mtime });
				break;
			}
			case "directory": {
				if (!hasParent || old) break;
				const attributes = { mode: one.mode, uid: one.owner, gid: one.owner, mtime };
				await editor.makeDirectory(path, attributes);
				model.set(path, node("directory", attributes));
				break;
			}
			case "link": {
				const attributes = { uid: one.owner, gid: one.owner, mtime };
				const target = "t".repeat(one.length);
				const make = editor.makeLink(path, target, attributes);
				if (!unix || old || !hasParent) {
					await expect(make).rejects.toEqual(kinds("unsupported", "refused", "not-found"));
					break;
				}
				await make;
				model.set(path, node("link", { ...attributes, target }));
				break;
			}
			case "rename": {
				const { to } = one;
				const toParent = parentOf(to) === "" || model.get(parentOf(to))?.type === "directory";
				const move = editor.rename(path, to);
				const replaced = model.get(to);
				const fits =
					replaced === undefined ||
					((replaced.type === "directory") === (old?.type === "directory") && below(model, to).length === 0);
				if (old && to === path) {
					await move;
					break;
				}
				if (!old || !fits || !toParent || to.startsWith(`${path}/`)) {
					await expect(move).rejects.toEqual(kinds("refused", "not-found"));
					break;
				}
				await move;
				model.delete(to);
				for (const key of [path, ...below(model, path)]) {
					const moved = model.get(key);
					model.delete(key);
					if (moved) model.set(to + key.slice(path.length), moved);
				}
				break;
			}
			case "remove": {
				if (old && below(model, path).length > 0) {
					if (knowsEmptiness) await expect(editor.remove(path)).rejects.toEqual(kinds("refused"));
					break;
				}
				if (old) await editor.remove(path);
				else await expect(editor.remove(path)).rejects.toEqual(kinds("not-found"));
				model.delete(path);
				break;
			}
			case "attributes": {
				if (!old || old.type === "link") break;
				const changes = unix ? { mode: one.mode, uid: one.owner, mtime } : { mode: one.mode, mtime };
				await editor.setAttributes(path, changes);
				model.set(path, { ...old, ...changes });
				break;
			}
			case "extended": {
				const bytes = Buffer.alloc(one.length, `value ${i}.`);
				if (one.name === "security.selinux" && one.length > 0) bytes[one.length - 1] = 0;
				if (!unix)
					await expect(editor.setExtendedAttribute(path, one.name, bytes)).rejects.toEqual(kinds("unsupported"));
				else if (old) {
					await editor.setExtendedAttribute(path, one.name, bytes);
					model.set(path, { ...old, extended: new Map(old.extended).set(one.name, new Uint8Array(bytes)) });
				}
			}
		}
	}
	return model;
}

/** As {@link mountedTree} shows it. */
export function modelTree(model: Model): Tree {
	const tree: Tree = {};
	for (const [path, { type, mode, uid, gid, mtime, contents, target, extended }] of model) {
		const bits = type === "link" ? 0o777 : mode;
		const hash = createHash("sha256").update(contents).digest("hex");
		const rest = type === "file" ? `${contents.length} ${hash}` : target;
		tree[path] = `${type} ${bits.toString(8)} ${uid}:${gid} ${type === "directory" ? "" : Math.floor(mtime)} ${rest}`;
		for (const [name, bytes] of extended) tree[`${path} ${name}`] = `0x${Buffer.from(bytes).toString("hex")}`;
	}
	return tree;
}

/** What a kernel's mount shows, without the times of directories. */
export async function mountedTree(at: string): Promise<Tree> {
	await rm(`${at}/lost+found`, { recursive: true, force: true });
	const tree = await folderTree(at);
	for (const [name, line] of Object.entries(tree)) tree[name] = line.replace(/^(directory \d+ \d+:\d+) -?\d+/, "$1 ");
	const listed = await run("getfattr", "-hR", "-m", "-", "-d", "-e", "hex", "--absolute-names", at);
	for (const block of listed.split("\n\n")) {
		const [head = "", ...lines] = block.split("\n");
		for (const line of lines) {
			const cut = line.indexOf("=");
			const name = cut < 0 ? line : line.slice(0, cut);
			const file = head.replace(`# file: ${at}`, "");
			// Another name of XFS for a list that is there by its usual one.
			if (line !== "" && !name.startsWith("trusted.SGI_ACL_"))
				tree[`${file} ${name}`] = cut < 0 ? "0x" : line.slice(cut + 1);
		}
	}
	return tree;
}

/** What mtools extracts from a FAT volume: contents, and times of files. */
export async function mtoolsTree(image: string, into: string): Promise<Tree> {
	await rm(into, { recursive: true, force: true });
	await mkdir(into, { recursive: true });
	const listed = await run("mdir", "-b", "-i", image, "::/").catch(() => "");
	if (listed.includes("::")) await run("mcopy", "-s", "-n", "-m", "-i", image, "::/*", into);
	return plain(await folderTree(into));
}

/** Without what FAT does not keep. */
export const plain = (tree: Tree): Tree =>
	Object.fromEntries(
		Object.entries(tree).map(([name, line]) => [
			name,
			line.replace(/ \d+ \d+:\d+ /, " ").replace(/^(directory).*/, "$1"),
		]),
	);
