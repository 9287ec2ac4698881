import { chmod, readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { anyvisor } from "./support.js";

/** A disk of 1 MiB in a zip archive, which is read by a package. */
const ZIP = "import sys, zipfile; zipfile.ZipFile(sys.argv[1], 'w').writestr('disk.raw', bytes(1 << 20))";

const posix = process.platform !== "win32";

async function models(caches: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
	const { code, stdout, stderr } = await anyvisor(["models", "list"], { env: { XDG_CACHE_HOME: caches, ...env } });
	expect(code, stderr).toBe(0);
	return stdout;
}

/** What is kept, and since when. */
async function kept(caches: string): Promise<Record<string, number>> {
	const folder = path.join(caches, "anyvisor", "compiled");
	const names = await readdir(folder);
	return Object.fromEntries(
		await Promise.all(names.map(async (name) => [path.join(folder, name), (await stat(path.join(folder, name))).ino])),
	) as Record<string, number>;
}

describe("compiled code", async () => {
	const temporary = await temporaryFolder();

	it("is kept for its user, and taken back by the next run", async () => {
		const caches = path.join(temporary, "kept");
		const answer = await models(caches);
		const files = await kept(caches);
		expect(Object.keys(files).map((file) => path.basename(file))).toContain(`program.js.${process.arch}`);
		expect(await models(caches)).toBe(answer);
		// What V8 had not accepted would have been replaced.
		expect(await kept(caches)).toEqual(files);
	});

	it.skipIf(missing("python3"))(`can still load packages when it is taken back ${because("python3")}`, async () => {
		const caches = path.join(temporary, "packages");
		const archive = path.join(temporary, "disk.zip");
		await run("python3", "-c", ZIP, archive);
		const info = () => anyvisor(["disk", "info", "--json", archive], { env: { XDG_CACHE_HOME: caches } });
		const first = await info();
		expect(first.code, first.stderr).toBe(0);
		expect(await kept(caches)).toHaveProperty([path.join(caches, "anyvisor/compiled", `archive.js.${process.arch}`)]);
		expect(await info()).toEqual(first);
	});

	it.each([
		["of another version", (bytes: Buffer) => bytes.fill(0x39, 4, 5)],
		[
			"with a byte turned",
			(bytes: Buffer) => bytes.fill((bytes.at(-100) ?? 0) ^ 1, bytes.length - 100, bytes.length - 99),
		],
		["cut off", (bytes: Buffer) => bytes.subarray(0, bytes.length >> 1)],
		["empty", () => Buffer.alloc(0)],
	])("%s is not run, but replaced", async (what, spoil) => {
		const caches = path.join(temporary, what);
		const answer = await models(caches);
		for (const file of Object.keys(await kept(caches))) await writeFile(file, spoil(await readFile(file)));
		const spoilt = await kept(caches);
		expect(await models(caches)).toBe(answer);
		const after = await kept(caches);
		for (const [file, inode] of Object.entries(spoilt)) expect(after[file], file).not.toBe(inode);
	});

	it.skipIf(!posix)("that others can write to is not run, but replaced by what only its user can read", async () => {
		const caches = path.join(temporary, "open");
		const answer = await models(caches);
		for (const file of Object.keys(await kept(caches))) await chmod(file, 0o620);
		expect(await models(caches)).toBe(answer);
		for (const file of Object.keys(await kept(caches))) expect((await stat(file)).mode & 0o777, file).toBe(0o600);
	});

	it("is not kept where that cannot be or is not wanted", async () => {
		const file = path.join(temporary, "file");
		await writeFile(file, "");
		const answer = await models(file);
		const caches = path.join(temporary, "unwanted");
		expect(await models(caches, { NODE_DISABLE_COMPILE_CACHE: "1" })).toBe(answer);
		await expect(stat(caches)).rejects.toThrow("ENOENT");
	});
});
