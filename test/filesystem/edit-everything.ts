import { chmod, lchown, lutimes, mkdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { expect } from "vitest";
import type { Editor } from "../../src/filesystem/filesystem.js";
import { run } from "../support/tools.js";
import { type Model, type Node, node } from "./edit-model.js";
import { noise } from "./ext-images.js";

const time = 1_750_000_000;
const hex = (text: string) => new Uint8Array(Buffer.from(text, "hex"));

/** cap_net_raw=ep. */
const capability = hex("0100000200200000000000000000000000000000");
const label = new TextEncoder().encode("system_u:object_r:bin_t:s0\0");
/** user::rwx user:1000:r-x group::r-x mask::r-x other::r-x */
const acl = hex(
	["02000000", "01000700ffffffff", "02000500e8030000", "04000500ffffffff", "10000500ffffffff", "20000500ffffffff"].join(
		"",
	),
);

const program = (seed: number, uid: number, mode = 0o4755): Node =>
	node("file", {
		mode,
		uid,
		gid: 1000,
		mtime: time - 5000,
		contents: noise(20_000, seed),
		extended: new Map([
			["security.capability", capability],
			["security.selinux", label],
			["system.posix_acl_access", acl],
			["trusted.overlay.x", hex("00ff00")],
		]),
	});
const folder = (extended: Node["extended"] = new Map()) => node("directory", { mode: 0o755, extended });
const link = (target: string) => node("link", { target, mtime: time });
const text = (contents: string, extended: Node["extended"] = new Map()) =>
	node("file", { mtime: time, contents: new TextEncoder().encode(contents), extended });

/** What is left of {@link acl} under the mode 0700. */
const closed = acl.with(4 + 4 * 8 + 2, 0).with(4 + 3 * 8 + 2, 0);

/** What is there before {@link editEverything}. */
export const before = (): Model =>
	new Map([
		["/bin", folder()],
		["/bin/written", program(1, 0)],
		["/bin/appended", program(2, 1000)],
		["/bin/owned", program(3, 0, 0o6755)],
		["/bin/owned and changed", program(4, 0)],
		["/bin/shrunk", program(5, 70_000, 0o755)],
		["/etc", folder(new Map([["trusted.folder", hex("61")]]))],
		["/etc/fstab", text("/dev/sda1 / auto defaults 0 1\n", new Map([["security.selinux", label]]))],
		["/etc/gone", text("gone", new Map([["trusted.gone", hex("62")]]))],
		["/etc/link", link("/etc/passwd")],
		["/etc/inner", link("../bin")],
		["/etc/passwd", text("root:x:0:0::/root:/bin/sh\n")],
		["/full", folder()],
		["/full/deep", folder()],
		["/full/deep/file", text("deep")],
		["/full/deep/other", text("other")],
		["/empty", folder()],
	]);

/** Makes what a model says in a mounted file system. */
export async function grow(root: string, model: Model): Promise<void> {
	for (const [name, { type, mode, uid, gid, mtime, contents, target, extended }] of model) {
		const file = path.join(root, name);
		if (type === "directory") await mkdir(file);
		else if (type === "link") await symlink(target, file);
		else await writeFile(file, contents);
		await lchown(file, uid, gid);
		if (type !== "link") await chmod(file, mode);
		for (const [key, value] of extended) {
			await run("setfattr", "-h", "-n", key, "-v", `0x${Buffer.from(value).toString("hex")}`, file);
		}
		await lutimes(file, mtime, mtime);
	}
}

const strange = "/new/a \"name\" with 'quotes', $HOME, #, \\x41, ~ and\n\tžluť";

/** Every operation, and what every editor refuses alike; changes `model` to what is to be there. */
export async function editEverything(editor: Editor, model: Model): Promise<void> {
	const at = (name: string) => model.get(name) ?? node("file", {});
	const change = (name: string, values: Partial<Node>) => model.set(name, { ...at(name), ...values });
	const kind = (kind: string) => expect.objectContaining({ name: "AnyvisorError", kind });
	const mtime = time + 0.25;

	for (const name of ["/bin/written", "/bin/shrunk", "/etc/fstab"]) {
		const contents = noise(name === "/bin/shrunk" ? 10 : 90_000, name.length);
		await editor.writeFile(name, contents, { mode: 0o600, uid: 5, gid: 5, mtime });
		change(name, { contents, mtime });
	}
	const more = noise(50_001, 9);
	await editor.appendFile("/bin/appended", more, mtime);
	await editor.appendFile("/bin/appended", more, mtime + 1);
	change("/bin/appended", {
		contents: new Uint8Array(Buffer.concat([at("/bin/appended").contents, more, more])),
		mtime: mtime + 1,
	});
	await editor.setAttributes("/bin/owned", { uid: 70_000 });
	change("/bin/owned", { uid: 70_000 });
	await editor.setAttributes("/bin/owned and changed", { gid: 8, mode: 0o4700, mtime: time - 0.5 });
	change("/bin/owned and changed", { gid: 8, mode: 0o4700, mtime: time - 0.5 });
	at("/bin/owned and changed").extended.set("system.posix_acl_access", closed);
	await editor.setAttributes("/etc/passwd", { mode: 0o1604 });
	change("/etc/passwd", { mode: 0o1604 });
	await editor.setAttributes("/etc/link", { uid: 3, gid: 4, mtime });
	change("/etc/link", { uid: 3, gid: 4, mtime });
	await editor.setAttributes("/empty", { mode: 0o1777, uid: 9 });
	change("/empty", { mode: 0o1777, uid: 9 });

	const made = { mode: 0o2750, uid: 70_000, gid: 65_537, mtime };
	await editor.makeDirectory("/new", made);
	await editor.makeDirectory("/new", { ...made, mode: 0o700 });
	await editor.makeDirectory("/etc", made);
	model.set("/new", node("directory", made));
	for (const [name, mode] of [
		[strange, 0o4711],
		["/new/plain", 0o600],
		["/new/empty", 0o400],
	] as const) {
		const contents = noise(name === "/new/empty" ? 0 : 5000, 11);
		await editor.writeFile(name, contents, { ...made, mode });
		model.set(name, node("file", { ...made, mode, contents }));
	}
	await editor.setExtendedAttribute("/new/plain", "security.selinux", label);
	await editor.setExtendedAttribute("/new/plain", "user.x", new Uint8Array());
	await editor.setExtendedAttribute("/new/plain", "user.short", hex("20"));
	await editor.removeExtendedAttribute("/new/plain", "user.x");
	change("/new/plain", { extended: new Map().set("security.selinux", label).set("user.short", hex("20")) });
	await editor.makeLink("/new/link", "/etc/no where", made);
	await editor.setExtendedAttribute("/new/link", "security.selinux", label);
	model.set(
		"/new/link",
		node("link", { ...made, target: "/etc/no where", extended: new Map().set("security.selinux", label) }),
	);
	await editor.setExtendedAttribute("/etc", "trusted.more", hex("6d6f7265"));
	await editor.removeExtendedAttribute("/etc", "trusted.folder");
	change("/etc", { extended: new Map().set("trusted.more", hex("6d6f7265")) });
	await editor.removeExtendedAttribute("/bin/shrunk", "trusted.overlay.x");
	at("/bin/shrunk").extended.delete("trusted.overlay.x");
	await editor.removeExtendedAttribute("/bin/written", "security.capability");
	at("/bin/written").extended.delete("security.capability");

	const move = async (from: string, to: string) => {
		await editor.rename(from, to);
		for (const [name, moved] of [...model]) {
			if (name !== from && !name.startsWith(`${from}/`)) continue;
			model.delete(name);
			model.set(to + name.slice(from.length), moved);
		}
	};
	await editor.remove("/full/deep/other");
	model.delete("/full/deep/other");
	await move("/full/deep", "/etc/deep");
	await move("/etc/deep/file", "/etc/deep/another");
	await editor.appendFile("/etc/deep/another", more, mtime);
	change("/etc/deep/another", { contents: new Uint8Array(Buffer.concat([Buffer.from("deep"), more])), mtime });
	await move("/new/empty", "/full/moved");
	for (const [name, value] of [
		["/new/under", "replaced"],
		["/new/over", "replaces"],
		["/new/hidden", "under a link"],
	] as const) {
		await editor.writeFile(name, Buffer.from(value.repeat(2000)), made);
		model.set(name, node("file", { ...made, contents: Buffer.from(value.repeat(2000)) }));
	}
	await editor.setExtendedAttribute("/new/under", "user.gone", new Uint8Array(200).fill(0x67));
	await move("/new/over", "/new/under");
	await editor.makeLink("/new/veil", "over", made);
	model.set("/new/veil", node("link", { ...made, target: "over" }));
	await move("/new/veil", "/new/hidden");
	for (const name of ["/new/room", "/new/tenant"]) {
		await editor.makeDirectory(name, { ...made, mode: 0o755 });
		model.set(name, node("directory", { ...made, mode: 0o755 }));
	}
	await move("/new/under", "/new/tenant/under");
	await move("/new/tenant", "/new/room");
	await editor.remove("/etc/gone");
	model.delete("/etc/gone");
	await editor.remove("/etc/inner");
	await editor.makeDirectory("/etc/inner", { ...made, mode: 0o755 });
	model.set("/etc/inner", node("directory", { ...made, mode: 0o755 }));
	await editor.remove("/etc/inner");
	await editor.makeLink("/etc/inner", "../bin", made);
	model.set("/etc/inner", node("link", { ...made, target: "../bin" }));

	const contents = new Uint8Array(1);
	for (const name of ["/etc/link", "/etc"]) {
		await expect(editor.writeFile(name, contents, made)).rejects.toEqual(kind("refused"));
		await expect(editor.appendFile(name, contents, 0)).rejects.toEqual(kind("refused"));
	}
	for (const name of ["/etc/inner/new", "/no/new", "/bin/written/new"]) {
		await expect(editor.writeFile(name, contents, made)).rejects.toEqual(kind("not-found"));
		await expect(editor.makeDirectory(name, made)).rejects.toEqual(kind("not-found"));
		await expect(editor.makeLink(name, "x", made)).rejects.toEqual(kind("not-found"));
	}
	for (const name of ["/etc/inner/written", "/no", "/full/deep/file"]) {
		await expect(editor.appendFile(name, contents, 0)).rejects.toEqual(kind("not-found"));
		await expect(editor.remove(name)).rejects.toEqual(kind("not-found"));
		await expect(editor.rename(name, "/elsewhere")).rejects.toEqual(kind("not-found"));
		await expect(editor.setAttributes(name, { uid: 1 })).rejects.toEqual(kind("not-found"));
	}
	for (const name of ["/", "/etc/..", "/etc//x", `/${"x".repeat(256)}`, "/nul\0"]) {
		await expect(editor.writeFile(name, contents, made)).rejects.toEqual(kind("refused"));
		await expect(editor.remove(name)).rejects.toEqual(kind("refused"));
	}
	await expect(editor.makeDirectory("/etc/fstab", made)).rejects.toEqual(kind("refused"));
	await expect(editor.makeLink("/etc/fstab", "x", made)).rejects.toEqual(kind("refused"));
	await expect(editor.makeLink("/etc/long", "x".repeat(4096), made)).rejects.toEqual(kind("refused"));
	await expect(editor.rename("/etc/fstab", "/new")).rejects.toEqual(kind("refused"));
	await expect(editor.rename("/new", "/etc/fstab")).rejects.toEqual(kind("refused"));
	await expect(editor.rename("/new", "/etc")).rejects.toEqual(kind("refused"));
	await expect(editor.rename("/etc", "/etc/deep/etc")).rejects.toEqual(kind("refused"));
	await expect(editor.remove("/etc/deep")).rejects.toEqual(kind("refused"));
	await expect(editor.setAttributes("/etc/link", { mode: 0o600 })).rejects.toEqual(kind("refused"));
	await expect(editor.removeExtendedAttribute("/etc/passwd", "user.none")).rejects.toEqual(kind("not-found"));
	await expect(editor.removeExtendedAttribute("/bin/written", "security.capability")).rejects.toEqual(
		kind("not-found"),
	);
}

/** Times of last change of all but directories, to the nanosecond, as `find` prints them. */
export async function exactTimes(root: string): Promise<string[]> {
	return (await run("find", root, "!", "-type", "d", "-printf", "%P %T@\\0")).split("\0").filter(Boolean).sort();
}

export const exactModelTimes = (model: Model): string[] =>
	[...model]
		.filter(([, { type }]) => type !== "directory")
		.map(([name, { mtime }]) => `${name.slice(1)} ${mtime.toFixed(9)}0`)
		.sort();
