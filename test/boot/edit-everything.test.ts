import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { ByteStore } from "../../src/bytes/source.js";
import type { Attributes, Editor } from "../../src/filesystem/filesystem.js";
import { openFilesystem } from "../../src/filesystem/registry.js";
import { ExternalEditing } from "../../src/prepare/external-editing.js";
import { editByGuestfish } from "../../src/source/guestfish.js";
import { before, editEverything, exactModelTimes, exactTimes, grow } from "../filesystem/edit-everything.js";
import { type Model, modelTree, mountedTree } from "../filesystem/edit-model.js";
import { folderTree, mkfs, noise } from "../filesystem/ext-images.js";
import { mkntfs, mounted as mountedNtfs, unmountable as ntfsReason } from "../filesystem/ntfs-images.js";
import { memoryStore, openStore } from "../filesystem/store.js";
import { mkfsXfs, mounted, unmountable } from "../filesystem/xfs-images.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { emptyImage } from "../volume/images.js";
import { assembledFrom, Lvm, lastName, withoutLvm } from "../volume/lvm.js";

const mebibyte = 2 ** 20;
const made: Attributes = { mode: 0o640, uid: 5, gid: 6, mtime: 1_750_000_000.5 };

const folder = await temporaryFolder();
const tools = ["guestfish", "mke2fs", "e2fsck", "xfs_repair", "mkfs.btrfs", "btrfs", "setfattr", "getfattr"];
const reason = missing(...tools) ? because(...tools) : unmountable(folder) || withoutLvm();
await mkdir(path.join(folder, "ntfs"));
const noNtfs = ntfsReason(path.join(folder, "ntfs"));
const at = path.join(folder, "mounted");
const file = (name: string) => path.join(folder, name);
const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

/** A volume of three pieces that change places on a physical volume, with `image` in it. */
async function stacked(image: string) {
	const lvm = await Lvm.on(48);
	await lvm.command("vgcreate", "-s", "1m", "vg", ...lvm.devices);
	const create = (name: string, size: string) =>
		lvm.command("lvcreate", "-an", "-Zn", "-Wn", "-y", "-L", size, "-n", name, "vg");
	await create("root", "8m");
	await create("other", "4m");
	await lvm.command("lvextend", "-L", "24m", "vg/root");
	const [disk] = await lvm.bytes();
	if (disk === undefined) throw new Error("no physical volume");
	const [{ pe_start } = {}] = await lvm.report("pvs", "pe_start");
	const pieces = (await lvm.report("lvs", "lv_name,seg_start,seg_size,seg_pe_ranges"))
		.filter(({ lv_name }) => lv_name === "root")
		.map(({ seg_start, seg_size, seg_pe_ranges }) => ({
			from: Number(seg_start),
			length: Number(seg_size),
			at: Number(pe_start) + Number(/:(\d+)-/.exec(seg_pe_ranges ?? "")?.[1]) * mebibyte,
		}));
	expect(pieces.length).toBe(2);
	const bytes = new Uint8Array(await readFile(image));
	for (const { from, length, at } of pieces) disk.set(bytes.subarray(from, from + length), at);
	const { volumes } = await assembledFrom([disk], memoryStore);
	const root = volumes.find((volume) => lastName(volume) === "root");
	if (root === undefined) throw new Error("no logical volume");
	/** By what LVM's own tools say. */
	const extract = async () => {
		const whole = new Uint8Array(24 * mebibyte);
		for (const { from, length, at } of pieces) whole.set(disk.subarray(at, at + length), from);
		await writeFile(image, whole);
	};
	return { store: root.source as ByteStore, extract };
}

describe.skipIf(reason !== "")(`every edit, in one run of libguestfs' appliance ${reason}`, async () => {
	const models = new Map<string, Model>();
	let wasDirty = false;
	const checks: Readonly<Record<string, readonly string[]>> = {
		xfs: ["xfs_repair", "-n", file("xfs")],
		btrfs: ["btrfs", "check", "--readonly", file("btrfs")],
		ext4: ["e2fsck", "-fn", file("ext4")],
	};
	const editing = new ExternalEditing(editByGuestfish);

	async function editorOf(store: ByteStore): Promise<Editor> {
		const filesystem = await openFilesystem(store);
		const open = filesystem && editing.editorFor(filesystem, store);
		if (open === undefined) throw new Error(`${store.name} cannot be edited`);
		return open();
	}

	beforeAll(async () => {
		await mkdir(at, { recursive: true });
		await mkfsXfs(file("xfs"), "", 64);
		await emptyImage(file("btrfs"), 128 * mebibyte);
		await run("mkfs.btrfs", "-q", file("btrfs"));
		// What libext2fs would not keep in order, so that it falls to libguestfs.
		await mkfs(file("ext4"), 24, ["-t", "ext4", "-O", "bigalloc"]);
		for (const kind of Object.keys(checks)) {
			const model = before();
			models.set(kind, model);
			await mounted(file(kind), at, () => grow(at, model));
		}
		// Left as it is by a machine that is switched off.
		await mounted(file("xfs"), at, async () => {
			await writeFile(path.join(at, "bin/late"), "late");
			await run("xfs_io", "-x", "-c", "shutdown -f", at);
		});
		wasDirty = await run("xfs_repair", "-n", file("xfs")).then(
			() => false,
			() => true,
		);

		const logical = await stacked(file("ext4"));
		for (const [kind, model] of models) {
			const editor = await editorOf(kind === "ext4" ? logical.store : await fileStoreOf(kind));
			if (kind === "xfs") await editor.remove("/bin/late");
			await editEverything(editor, model);
		}
		if (noNtfs === "") await editNtfs(await prepareNtfs());
		await editing.finish();
		await logical.extract();
		for (const close of handles) await close();
	}, 600_000);

	const handles: (() => Promise<void>)[] = [];
	async function fileStoreOf(name: string): Promise<ByteStore> {
		const { store, close } = await openStore(file(name));
		handles.push(close);
		return store;
	}

	async function prepareNtfs(): Promise<Editor> {
		await mkntfs(file("ntfs.img"), "", 16);
		await mountedNtfs(file("ntfs.img"), at, async () => {
			await mkdir(path.join(at, "Users/Public"), { recursive: true });
			await mkdir(path.join(at, "Windows"));
			await writeFile(path.join(at, "Windows/Win.ini"), noise(3000, 1));
			await writeFile(path.join(at, "Windows/setup.log"), noise(3000, 2));
			await writeFile(path.join(at, "Windows/gone.txt"), noise(300_000, 3));
		});
		return editorOf(await fileStoreOf("ntfs.img"));
	}

	async function editNtfs(editor: Editor): Promise<void> {
		await editor.writeFile("/WINDOWS/win.INI", noise(100_000, 4), made);
		await editor.appendFile("/Windows/setup.log", noise(100, 5), made.mtime + 1);
		await editor.makeDirectory("/windows/New Folder", made);
		await editor.writeFile("/Windows/new folder/žluť.txt", noise(50, 6), made);
		await editor.rename("/users/public", "/Users/Moved");
		await editor.remove("/windows/GONE.txt");
		await editor.setAttributes("/Users", { mode: 0o700, uid: 5, mtime: made.mtime });
		const unsupported = expect.objectContaining({ kind: "unsupported" });
		await expect(editor.makeLink("/Windows/link", "x", made)).rejects.toEqual(unsupported);
		await expect(editor.setExtendedAttribute("/Windows", "user.x", new Uint8Array())).rejects.toEqual(unsupported);
		await expect(editor.removeExtendedAttribute("/Windows", "user.x")).rejects.toEqual(unsupported);
		await expect(editor.remove("/windows")).rejects.toMatchObject({ kind: "refused" });
		await expect(editor.writeFile("/Windows/a:b", new Uint8Array(), made)).rejects.toMatchObject({ kind: "refused" });
	}

	it.each(Object.entries(checks))(
		"%s: its checker finds nothing, and a kernel sees what was asked for",
		async (kind, check) => {
			const [command = "", ...words] = check;
			const model = models.get(kind) ?? new Map();
			await run(command, ...words);
			await mounted(file(kind), at, async () => {
				expect(await mountedTree(at)).toEqual(modelTree(model));
				expect(await exactTimes(at)).toEqual(exactModelTimes(model));
			});
		},
	);

	it("xfs: its log had to be replayed", () => {
		expect(wasDirty).toBe(true);
	});

	it.skipIf(noNtfs !== "")(
		`ntfs: ntfs-3g sees what was asked for, and that nothing is to be repaired ${noNtfs}`,
		async () => {
			await run("ntfsfix", "-n", file("ntfs.img"));
			const tree = await mountedNtfs(file("ntfs.img"), at, () => folderTree(at));
			const without = (bytes: Uint8Array) => expect.stringContaining(` ${bytes.length} ${hashOf(bytes)}`);
			expect(tree).toEqual({
				"/Users": expect.stringContaining("directory"),
				"/Users/Moved": expect.stringContaining("directory"),
				"/Windows": expect.stringContaining("directory"),
				"/Windows/New Folder": expect.stringContaining("directory"),
				"/Windows/New Folder/žluť.txt": without(noise(50, 6)),
				"/Windows/Win.ini": without(noise(100_000, 4)),
				"/Windows/setup.log": without(Buffer.concat([noise(3000, 2), noise(100, 5)])),
			});
			expect(tree["/Windows/setup.log"]).toContain(` ${Math.floor(made.mtime) + 1} `);
		},
	);
});
