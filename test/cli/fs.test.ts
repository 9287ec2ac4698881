import { createHash } from "node:crypto";
import {
	chmod,
	lstat,
	mkdir,
	readdir,
	readFile,
	realpath,
	symlink,
	truncate,
	utimes,
	writeFile,
} from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { exitCodes } from "../../src/cli/exit-codes.js";
import { staysInside } from "../../src/cli/fs/copy-out.js";
import { modeText } from "../../src/cli/fs/entry.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { anyvisor, COMMAND } from "./support.js";

const MIB = 2 ** 20;
const ESCAPE = "red\u001b[31m";

describe.skipIf(missing("mke2fs", "debugfs", "mkfifo"))(`fs ${because("mke2fs", "debugfs", "mkfifo")}`, () => {
	let folder = "";
	let image = "";
	const at = (...names: string[]) => path.join(folder, ...names);

	beforeAll(async () => {
		folder = await temporaryFolder();
		image = at("disk.raw");
		await mkdir(at("tree", "etc", "deep", "er"), { recursive: true });
		await mkdir(at("tree", "empty"));
		await writeFile(at("tree", "etc", "text"), "hello\n");
		await writeFile(at("tree", "etc", "deep", "er", "a\\b c"), Buffer.alloc(3 * MIB, "0123456789"));
		await writeFile(at("tree", "etc", ESCAPE), "x");
		await writeFile(at("tree", "etc", "setuid"), "x");
		await chmod(at("tree", "etc", "setuid"), 0o4755);
		await writeFile(at("tree", "etc", "sparse"), "head");
		await truncate(at("tree", "etc", "sparse"), 8 * MIB);
		await symlink("text", at("tree", "etc", "near"));
		await symlink("../text", at("tree", "etc", "deep", "up"));
		await symlink("../../empty", at("tree", "etc", "deep", "outside-of-etc"));
		await symlink("/etc/passwd", at("tree", "etc", "absolute"));
		await run("mkfifo", at("tree", "etc", "pipe"));
		await utimes(at("tree", "etc", "text"), 1_000_000_000, 1_000_000_000);
		await run("mke2fs", "-q", "-t", "ext4", "-d", at("tree"), image, "32M");
	});

	async function ok(...args: string[]): Promise<string> {
		const { code, stdout, stderr } = await anyvisor(args);
		expect(code, stderr).toBe(0);
		return stdout;
	}

	it("lists names, and escapes what a terminal would obey", async () => {
		const names = (await ok("fs", "ls", image, "/etc")).split("\n");
		expect(names).toEqual(expect.arrayContaining(["text", "near", "pipe", "red\\x1b[31m"]));
		expect((await ok("fs", "ls", image)).split("\n")).toEqual(["empty", "etc", "lost+found", ""]);
	});

	it("tells of files what stat(1) says of their originals", async () => {
		const documents = JSON.parse(await ok("fs", "ls", "--json", image, "/etc")) as Record<string, unknown>[];
		const originals = await readdir(at("tree", "etc"));
		expect(new Set(documents.map(({ path }) => path))).toEqual(new Set(originals.map((name) => `/etc/${name}`)));
		for (const document of documents) {
			const format = ["stat", "-c", "%s %04a %u %g %Y", at("tree", String(document["path"]))] as const;
			const [size, mode, uid, gid, mtime] = (await run(...format)).trim().split(" ");
			const told = [document["mode"], document["uid"], document["gid"], Date.parse(String(document["mtime"])) / 1000];
			expect(told.map((value, i) => (i === 3 ? Math.floor(Number(value)) : value))).toEqual([
				mode?.padStart(4, "0"),
				Number(uid),
				Number(gid),
				Number(mtime),
			]);
			// A folder is as large as its file system makes it.
			const comparable = document["type"] === "file" || document["type"] === "link";
			expect(comparable ? document["size"] : Number(size)).toBe(Number(size));
		}
		const link = JSON.parse(await ok("fs", "stat", "--json", image, "/etc/deep/up"));
		expect(link).toMatchObject({
			type: "link",
			target: "../text",
			resolved: "/etc/text",
			filesystem: "ext4",
			mount: "/",
			attributes: {},
		});
		expect(await ok("fs", "stat", image, "/etc/absolute")).toMatch(/leads to +nothing/);
	});

	it("writes a file to standard output byte for byte", async () => {
		const command = [`"$1" "$2" fs cat "$3" "/etc/deep/er/a\\b c" | sha256sum`, "sh", process.execPath, COMMAND];
		const [sum] = (await run("sh", "-c", ...command, image)).split(" ");
		const original = await readFile(at("tree", "etc", "deep", "er", "a\\b c"));
		expect(sum).toBe(createHash("sha256").update(original).digest("hex"));
	});

	it("copies a folder out as diff(1) finds it, and names what it leaves out", async () => {
		const into = at("copied");
		await mkdir(into);
		const [result] = JSON.parse(await ok("fs", "cp-out", "--json", image, "/etc", into));
		expect(result).toMatchObject({ path: "/etc", files: 5, folders: 3, links: 2 });
		const left = result.left.map(({ path }: { path: string }) => path).toSorted();
		expect(left).toEqual(["/etc/absolute", "/etc/deep/outside-of-etc", "/etc/pipe"]);
		const excluded = ["absolute", "outside-of-etc", "pipe"].flatMap((name) => ["-x", name]);
		await run("diff", "-r", "--no-dereference", ...excluded, at("tree", "etc"), path.join(into, "etc"));
		const text = await lstat(path.join(into, "etc", "text"));
		expect([text.mtimeMs, text.mode & 0o7777]).toEqual([1e12, 0o644]);
		expect((await lstat(path.join(into, "etc", "setuid"))).mode & 0o7777).toBe(0o755);
		expect((await lstat(path.join(into, "etc", "sparse"))).blocks).toBeLessThanOrEqual(512);
		expect(await readdir(into)).toEqual(["etc"]);
	});

	it("copies links as they are when told to, and single files", async () => {
		const into = at("links");
		await mkdir(into);
		await ok("fs", "cp-out", "--links", "--no-sync", image, "/etc", "/etc/near", "/empty", into);
		await run("diff", "-r", "--no-dereference", "-x", "pipe", at("tree", "etc"), path.join(into, "etc"));
		expect(await readFile(path.join(into, "near"), "utf8")).toBe("hello\n");
		expect((await readdir(into)).toSorted()).toEqual(["empty", "etc", "near"]);
	});

	it("replaces nothing, and says what is not there", async () => {
		const into = at("taken");
		await mkdir(into);
		await writeFile(path.join(into, "text"), "mine");
		const taken = await anyvisor(["fs", "cp-out", image, "/etc/text", into]);
		expect([taken.code, await readFile(path.join(into, "text"), "utf8")]).toEqual([exitCodes.refused, "mine"]);
		for (const args of [
			["ls", image, "/nothing"],
			["stat", image, "/nothing"],
			["cat", image, "/etc"],
			["cp-out", image, "/nothing", into],
			["ls", image, "--volume", "/dev/sdz9"],
		]) {
			expect((await anyvisor(["fs", ...args])).code, args.join(" ")).toBe(exitCodes["not-found"]);
		}
		expect((await anyvisor(["fs", "cp-out", image, "/etc"])).code).toBe(exitCodes.usage);
		expect(await readdir(into)).toEqual(["text"]);
	});

	it("ends where a folder contains itself, and leaves nothing", async () => {
		const looping = at("looping.raw");
		await run("cp", image, looping);
		await run("debugfs", "-w", "-R", "link /empty /empty/again", looping);
		const into = at("looped");
		await mkdir(into);
		const { code, stderr } = await anyvisor(["fs", "cp-out", "--no-sync", looping, "/empty", into]);
		expect(code, stderr).toBe(exitCodes.refused);
		expect(stderr).toContain("contain itself");
		expect(await readdir(into)).toEqual([]);
	});

	it("lists volumes as blkid(8) knows them", async () => {
		await run("tune2fs", "-L", "my label", image);
		const [volume] = JSON.parse(await ok("volumes", "--json", image));
		const known = await run("blkid", "-o", "value", "-s", "UUID", image);
		expect(volume).toMatchObject({ device: "/dev/sda", filesystem: "ext4", label: "my label", uuid: known.trim() });
		expect(await ok("volumes", image)).toMatch(/device .*\n\/dev\/sda +32\.0 MiB +whole-disk +ext4 +my label/);
		expect(await ok("fs", "ls", image, "--volume", "LABEL=my label", "/empty")).toBe("");
	});
});

describe("modeText", () => {
	it.each([
		[0o644, "file", "-rw-r--r--"],
		[0o7777, "directory", "drwsrwsrwt"],
		[0o7000, "file", "---S--S--T"],
		[0o4711, "file", "-rws--x--x"],
		[0o777, "link", "lrwxrwxrwx"],
	] as const)("%o of a %s is %s", (mode, type, text) => {
		expect(modeText({ mode, type })).toBe(text);
	});
});

describe("staysInside", () => {
	it("is false of what climbs out", () => {
		for (const target of ["/", "/etc", "..", "a/..", "a/../../b", "./../x", "../.."]) {
			expect(staysInside(target, 0), target).toBe(false);
		}
		for (const target of ["a", "a/b", "./a", "..a", "a..", "."]) expect(staysInside(target, 0), target).toBe(true);
		expect([staysInside("../../a", 2), staysInside("../../a", 1)]).toEqual([true, false]);
	});

	it("keeps every link inside that the kernel follows, however they are chained", async () => {
		const word = fc.constantFrom("a", "b", "c", "..", ".");
		const place = fc.array(fc.constantFrom("a", "b", "c"), { minLength: 1, maxLength: 3 });
		const links = fc.array(fc.tuple(place, fc.array(word, { minLength: 1, maxLength: 5 })), { maxLength: 12 });
		await fc.assert(
			fc.asyncProperty(links, async (all) => {
				const home = await realpath(await temporaryFolder());
				const root = path.join(home, "root");
				await mkdir(root);
				for (const [names, words] of all) {
					const target = words.join("/");
					if (!staysInside(target, names.length - 1)) continue;
					// Folders come into being as a copy makes them: never through a link.
					const made = await mkdir(path.join(root, ...names.slice(0, -1)), { recursive: true }).then(
						async () =>
							(await realpath(path.dirname(path.join(root, ...names)))) === path.join(root, ...names.slice(0, -1)),
						() => false,
					);
					if (made) await symlink(target, path.join(root, ...names)).catch(() => undefined);
				}
				for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
					const real = await realpath(path.join(entry.parentPath, entry.name)).catch(() => root);
					expect(`${real}/`.startsWith(`${root}/`), entry.name).toBe(true);
				}
			}),
			{ seed: Number(process.env["FC_SEED"] ?? 1), numRuns: 100 },
		);
	});
});
