import type * as promises from "node:fs/promises";
import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { fileSink, outputFolder, removePartialOutputs } from "../../src/source/index.js";
import { partialPath } from "../../src/source/partial.js";
import { temporaryFolder } from "../support/tools.js";

const root = await temporaryFolder();
let count = 0;
/** A new empty folder. */
async function folder(): Promise<string> {
	const made = path.join(root, String(count++));
	await mkdir(made);
	return made;
}

const text = (content: string) => new TextEncoder().encode(content);

describe("fileSink", () => {
	test("holds what was written in any order, zeros elsewhere, cut or filled to its size", async () => {
		const pieces = fc.array(fc.tuple(fc.nat(5000), fc.uint8Array({ maxLength: 700 })), { maxLength: 8 });
		await fc.assert(
			fc.asyncProperty(pieces, fc.nat(7000), async (all, size) => {
				const target = path.join(await folder(), "out.img");
				const model = new Uint8Array(8000);
				{
					await using sink = await fileSink(target);
					for (const [at, bytes] of all) {
						await sink.write(at, bytes);
						model.set(bytes, at);
					}
					await sink.commit(size);
				}
				expect(Buffer.compare(await readFile(target), model.subarray(0, size))).toBe(0);
				expect(await readdir(path.dirname(target))).toEqual(["out.img"]);
			}),
			{ numRuns: 20 },
		);
	});

	test("leaves holes where nothing was written", async () => {
		const target = path.join(await folder(), "sparse.img");
		await using sink = await fileSink(target);
		await sink.write(500_000_000, text("end"));
		await sink.commit(1_000_000_000);
		const { size, blocks } = await stat(target);
		expect(size).toBe(1_000_000_000);
		expect(blocks * 512).toBeLessThan(1_000_000);
	});

	test("shows nothing under its name before the commit, and leaves nothing without one", async () => {
		const home = await folder();
		const target = path.join(home, "a.ova");
		{
			await using sink = await fileSink(target);
			await sink.write(0, text("half"));
			expect(await readdir(home)).toEqual([path.basename(partialPath("a.ova"))]);
		}
		expect(await readdir(home)).toEqual([]);
	});

	test("refuses what exists, and keeps it", async () => {
		const home = await folder();
		const target = path.join(home, "a.ova");
		await writeFile(target, "old");
		await expect(fileSink(target)).rejects.toMatchObject({ kind: "refused", file: target, hint: expect.any(String) });
		await symlink("nowhere", path.join(home, "dangling"));
		await expect(fileSink(path.join(home, "dangling"))).rejects.toMatchObject({ kind: "refused" });

		await using late = await fileSink(path.join(home, "late"));
		await writeFile(path.join(home, "late"), "somebody else's");
		await expect(late.commit(0)).rejects.toMatchObject({ kind: "refused" });
		expect(await readFile(path.join(home, "late"), "utf8")).toBe("somebody else's");
		expect(await readFile(target, "utf8")).toBe("old");
	});

	test("overwrites only when it is complete", async () => {
		const target = path.join(await folder(), "a.ova");
		await writeFile(target, "old");
		{
			await using sink = await fileSink(target, { overwrite: true });
			await sink.write(0, text("new"));
			expect(await readFile(target, "utf8")).toBe("old");
			await sink.commit(3);
		}
		expect(await readFile(target, "utf8")).toBe("new");
	});

	test("does not write through a link that waits at its temporary name", async () => {
		const home = await folder();
		await writeFile(path.join(home, "victim"), "old");
		await symlink("victim", path.join(home, path.basename(partialPath("a.ova"))));
		await using sink = await fileSink(path.join(home, "a.ova"));
		await sink.write(0, text("new"));
		await sink.commit(3);
		expect(await readFile(path.join(home, "a.ova"), "utf8")).toBe("new");
		expect(await readFile(path.join(home, "victim"), "utf8")).toBe("old");
	});

	test("says which folder is missing", async () => {
		const target = path.join(await folder(), "absent", "a.ova");
		await expect(fileSink(target)).rejects.toMatchObject({ kind: "not-found", file: target });
	});
});

describe("what cannot be replaced is refused before anything is written:", () => {
	test.each([
		["a folder", async (home: string) => mkdir(path.join(home, "x")), "x"],
		["a device", async () => undefined, "/dev/null"],
		["a link to a device", async (home: string) => symlink("/dev/null", path.join(home, "x")), "x"],
	])("%s", async (_, make, name) => {
		const home = await folder();
		await make(home);
		const target = path.resolve(home, name);
		await expect(fileSink(target, { overwrite: true })).rejects.toMatchObject({ kind: "refused", file: target });
	});
});

test("one process writes an output once at a time", async () => {
	const target = path.join(await folder(), "a.ova");
	const both = await Promise.allSettled([fileSink(target), fileSink(target)]);
	expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
	const [first] = both.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
	await first?.write(0, text("whole"));
	await first?.commit(5);
	expect(await readFile(target, "utf8")).toBe("whole");
});

describe("siblings", () => {
	/** An output of three files; `before` runs when all are complete but none is published. */
	async function write(target: string, overwrite: boolean, before = async () => {}) {
		await using sink = await fileSink(target, { overwrite });
		for (const name of ["disk-s001.vmdk", "disk-s002.vmdk"]) {
			await using sibling = await sink.sibling(name);
			await sibling.write(0, text(name));
			await sibling.commit(name.length);
		}
		await sink.write(0, text("descriptor"));
		await before();
		await sink.commit(10);
	}

	test("appear together with the file that refers to them", async () => {
		const home = await folder();
		const target = path.join(home, "disk.vmdk");
		const partial = path.basename(partialPath("disk.vmdk"));
		await write(target, false, async () => {
			expect((await readdir(home)).sort()).toEqual([partial, `${partial}.1`, `${partial}.2`]);
		});
		expect((await readdir(home)).sort()).toEqual(["disk-s001.vmdk", "disk-s002.vmdk", "disk.vmdk"]);
		expect(await readFile(path.join(home, "disk-s002.vmdk"), "utf8")).toBe("disk-s002.vmdk");
	});

	test("leave nothing without their file's commit", async () => {
		const home = await folder();
		{
			await using sink = await fileSink(path.join(home, "disk.vmdk"));
			const whole = await sink.sibling("disk-s001.vmdk");
			await whole.commit(10);
			await (await sink.sibling("disk-s002.vmdk")).write(0, text("half"));
		}
		expect(await readdir(home)).toEqual([]);
	});

	test("that exist are refused, at once or at the end, and nothing else appears", async () => {
		const home = await folder();
		const target = path.join(home, "disk.vmdk");
		const taken = path.join(home, "disk-s002.vmdk");
		await expect(write(target, false, () => writeFile(taken, "mine"))).rejects.toMatchObject({ kind: "refused" });
		expect(await readdir(home)).toEqual(["disk-s002.vmdk"]);
		await expect(write(target, false)).rejects.toMatchObject({ kind: "refused", file: taken });
		expect(await readdir(home)).toEqual(["disk-s002.vmdk"]);
		expect(await readFile(taken, "utf8")).toBe("mine");
		await write(target, true);
		expect(await readFile(taken, "utf8")).toBe("disk-s002.vmdk");
	});

	test("that were never completed fail the commit", async () => {
		const home = await folder();
		await using sink = await fileSink(path.join(home, "disk.vmdk"));
		await sink.sibling("disk-flat.vmdk");
		await expect(sink.commit(0)).rejects.toThrow("never completed");
		expect((await readdir(home)).filter((name) => !name.startsWith("."))).toEqual([]);
	});

	test.each(["", "..", "a/b", "/etc/passwd", "a\\b", "disk.vmdk"])("are not called %j", async (name) => {
		await using sink = await fileSink(path.join(await folder(), "disk.vmdk"));
		await expect(sink.sibling(name)).rejects.toMatchObject({ kind: "usage" });
	});
});

describe("on a file system without links", () => {
	afterEach(() => {
		vi.doUnmock("node:fs/promises");
		vi.resetModules();
	});

	test("outputs appear as well, and what has their name is kept", async () => {
		vi.doMock("node:fs/promises", async (original) => ({
			...(await original<typeof promises>()),
			link: async () => {
				throw Object.assign(new Error("EPERM: operation not permitted, link"), { code: "EPERM" });
			},
		}));
		vi.resetModules();
		const fresh = await import("../../src/source/index.js");
		const home = await folder();
		await using sink = await fresh.fileSink(path.join(home, "a"));
		await sink.commit(3);
		await using late = await fresh.fileSink(path.join(home, "b"));
		await writeFile(path.join(home, "b"), "mine");
		await expect(late.commit(0)).rejects.toMatchObject({ kind: "refused" });
		await late[Symbol.asyncDispose]();
		expect(await readdir(home)).toEqual(["a", "b"]);
		expect(await readFile(path.join(home, "b"), "utf8")).toBe("mine");
	});
});

describe("outputFolder", () => {
	test("appears as a whole", async () => {
		const home = await folder();
		const target = path.join(home, "vmware");
		await using output = await outputFolder(target);
		for (const name of ["a.vmx", "b.vmdk"]) {
			await using sink = await output.file(name);
			await sink.write(0, text(name));
			await sink.commit(name.length);
		}
		{
			await using abandoned = await output.file("c.tmp");
			await abandoned.write(0, text("c"));
		}
		expect(await readdir(home)).toEqual([path.basename(partialPath("vmware"))]);
		await output.commit();
		expect(await readdir(home)).toEqual(["vmware"]);
		expect((await readdir(target)).sort()).toEqual(["a.vmx", "b.vmdk"]);
		expect(await readFile(path.join(target, "b.vmdk"), "utf8")).toBe("b.vmdk");
	});

	test("leaves nothing without a commit", async () => {
		const home = await folder();
		{
			await using output = await outputFolder(path.join(home, "x"));
			await using sink = await output.file("a");
			await sink.commit(100);
		}
		expect(await readdir(home)).toEqual([]);
	});

	test("takes over an empty folder and refuses a filled one", async () => {
		const home = await folder();
		await mkdir(path.join(home, "empty"));
		await using first = await outputFolder(path.join(home, "empty"));
		await first.commit();
		await writeFile(path.join(home, "empty", "mine"), "mine");
		await expect(outputFolder(path.join(home, "empty"))).rejects.toMatchObject({ kind: "refused" });
		expect(await readdir(home)).toEqual(["empty"]);
	});

	test("overwriting replaces files of the same name and keeps the others", async () => {
		const target = path.join(await folder(), "x");
		await mkdir(target);
		await writeFile(path.join(target, "mine"), "mine");
		await writeFile(path.join(target, "disk"), "old");
		await using output = await outputFolder(target, { overwrite: true });
		await using sink = await output.file("disk");
		await sink.write(0, text("new"));
		await sink.commit(3);
		await output.commit();
		expect(await readFile(path.join(target, "mine"), "utf8")).toBe("mine");
		expect(await readFile(path.join(target, "disk"), "utf8")).toBe("new");
		expect(await readdir(path.dirname(target))).toEqual(["x"]);
	});

	test.each([false, true])("has folders inside, new and replaced: overwriting %j", async (overwrite) => {
		const target = path.join(await folder(), "x");
		if (overwrite) {
			await mkdir(path.join(target, "vm.utm", "Data"), { recursive: true });
			await writeFile(path.join(target, "vm.utm", "Data", "mine"), "mine");
			await writeFile(path.join(target, "vm.utm", "config"), "old");
		}
		await using output = await outputFolder(target, { overwrite });
		for (const name of ["vm.utm/Data/disk", "vm.utm/config", "note"]) {
			await using sink = await output.file(name);
			await sink.write(0, text(name));
			await sink.commit(name.length);
		}
		expect(await readdir(path.dirname(target))).toEqual([path.basename(partialPath("x")), ...(overwrite ? ["x"] : [])]);
		await output.commit();
		expect(await readdir(path.dirname(target))).toEqual(["x"]);
		const files = await readdir(target, { recursive: true });
		const mine = overwrite ? ["vm.utm/Data/mine"] : [];
		expect(files.sort()).toEqual(["note", "vm.utm", "vm.utm/Data", "vm.utm/Data/disk", ...mine, "vm.utm/config"]);
		expect(await readFile(path.join(target, "vm.utm", "config"), "utf8")).toBe("vm.utm/config");
	});

	test.each(["", ".", "..", "a/../b", "../a", "a//b", "a/", "/etc/passwd", "a\\b", "a\0b"])(
		"takes no path that leads elsewhere for a file's name: %j",
		async (name) => {
			await using output = await outputFolder(path.join(await folder(), "x"));
			await expect(output.file(name)).rejects.toMatchObject({ kind: "usage" });
		},
	);
});

test("a signal handler can remove all that is not complete, at once", async () => {
	const home = await folder();
	await using one = await fileSink(path.join(home, "one"));
	await one.write(0, text("1"));
	await using two = await outputFolder(path.join(home, "two"));
	await using inside = await two.file("inside");
	await inside.write(0, text("2"));
	await using done = await fileSink(path.join(home, "done"));
	await done.commit(0);
	const removed = removePartialOutputs();
	expect(removed).toEqual(expect.arrayContaining([path.join(home, "one"), path.join(home, "two")]));
	expect(removed).not.toContain(path.join(home, "done"));
	expect(await readdir(home)).toEqual(["done"]);
	expect(removePartialOutputs()).toEqual([]);
});
