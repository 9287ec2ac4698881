import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fileSink, outputFolder, removePartialOutputs } from "../../src/source/index.js";
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
			expect(await readdir(home)).toEqual([`.a.ova.partial-${process.pid}`]);
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
		await symlink("victim", path.join(home, `.a.ova.partial-${process.pid}`));
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
		expect(await readdir(home)).toEqual([`.vmware.partial-${process.pid}`]);
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

	test.each(["", ".", "..", "a/b", "/etc/passwd", "a\\b", "a\0b"])(
		"takes no path for a file's name: %j",
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
