import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { FileType } from "../../src/filesystem/filesystem.js";
import { type FileContexts, readFileContexts } from "../../src/guest/linux/selinux.js";
import { because, missing, run, temporaryFolder, trials } from "../support/tools.js";
import { memoryTree } from "./support/memory.js";

const config = "# This file controls the state of SELinux.\nSELINUX=enforcing\nSELINUXTYPE=test\n";
const suffixes = ["", ".homedirs", ".local", ".subs", ".subs_dist"];
type Files = Readonly<Record<string, string>>;

/** A guest with a policy of these files, by the ends of their names. */
const guestWith = (files: Files, settings = config) =>
	memoryTree({
		"/etc/selinux/config": settings,
		...Object.fromEntries(
			Object.entries(files).map(([suffix, text]) => [`/etc/selinux/test/contexts/files/file_contexts${suffix}`, text]),
		),
	});

async function contextsOf(files: Files): Promise<FileContexts> {
	const contexts = await readFileContexts(guestWith(files));
	if (contexts === undefined) throw new Error("no policy");
	return contexts;
}

const base = "/etc(/.*)? system_u:object_r:etc_t:s0\n/etc/none(/.*)? <<none>>\n/etc/.*\\.conf -- u:r:conf_t:s0\n";

describe("the file contexts of a guest", () => {
	it("are asked for where SELinux is on, and only there", async () => {
		expect(await readFileContexts(memoryTree({ "/etc/fstab": "" }))).toBeUndefined();
		expect(await readFileContexts(guestWith({ "": base }, "SELINUX=disabled\nSELINUXTYPE=test\n"))).toBeUndefined();
		expect(await readFileContexts(guestWith({ "": base }, "SELINUX=enforcing\nSELINUXTYPE=../../x\n"))).toBeUndefined();
		expect(await readFileContexts(guestWith({ "": base }, "SELINUX=enforcing\n"))).toBeUndefined();
		const permissive = await readFileContexts(guestWith({ "": base }, " SELINUX=permissive\nSELINUXTYPE=test\n"));
		expect(permissive?.contextOf("/etc/fstab", "file")).toBe("system_u:object_r:etc_t:s0");
	});

	it("give nothing where a pattern that is not understood might say something else", async () => {
		const contexts = await contextsOf({ "": `${base}/etc/(?=x).* -- u:r:unknown_t:s0\n/etc/known u:r:known_t:s0\n` });
		expect(contexts.contextOf("/etc/xyz", "file")).toBeUndefined();
		expect(contexts.contextOf("/etc/known", "file")).toBe("u:r:known_t:s0");
		expect(contexts.contextOf("/etc/xyz", "directory")).toBe("system_u:object_r:etc_t:s0");
	});

	it("take linear time and bounded memory, whatever the patterns are", async () => {
		const evil = [
			"/(a*)*b",
			"/(a|a)*b",
			"/(a|aa)+$",
			"/((a{1000}){1000}){1000}",
			`/${"a?".repeat(1900)}`,
			"/(.*.*.*.*)*x",
		];
		const contexts = await contextsOf({ "": evil.map((pattern) => `${pattern} -- u:r:t:s0\n`).join("") });
		const start = performance.now();
		contexts.contextOf(`/${"a".repeat(4000)}`, "file");
		expect(performance.now() - start).toBeLessThan(2000);
		const many = await contextsOf({ "": `/(${"x".repeat(4000)}) u:r:t:s0\n`.repeat(2000) });
		expect(() => many.contextOf("/y", "file")).toThrow(expect.objectContaining({ kind: "refused" }));
		expect(performance.now() - start).toBeLessThan(8000);
	});
});

describe.skipIf(missing("matchpathcon"))(`file contexts, against libselinux ${because("matchpathcon")}`, async () => {
	const folder = await temporaryFolder();
	const types: readonly (readonly [FileType, string])[] = [
		["file", "file"],
		["directory", "dir"],
		["link", "lnk_file"],
	];

	async function compare(files: Files, paths: readonly string[], label: string): Promise<number> {
		const at = path.join(folder, label);
		await mkdir(at, { recursive: true });
		for (const suffix of suffixes) await writeFile(path.join(at, `file_contexts${suffix}`), files[suffix] ?? "");
		const contexts = await contextsOf(files);
		let labelled = 0;
		for (const [type, name] of types) {
			const said = await run("matchpathcon", "-m", name, "-f", path.join(at, "file_contexts"), ...paths);
			const expected = said.trimEnd().split("\n");
			const found = paths.map((one) => `${one}\t${contexts.contextOf(one, type) ?? "<<none>>"}`);
			expect(found).toEqual(expected);
			labelled += expected.filter((line) => !line.endsWith("<<none>>")).length;
		}
		return labelled;
	}

	it("agree on policies made of everything that policies use", async () => {
		const word = fc.constantFrom("etc", "usr", "lib", "lib64", "a", "ab", "x.conf");
		const part = fc.oneof(
			{ weight: 4, arbitrary: word },
			fc.constantFrom(
				"[^/]*",
				"[^/]+",
				".*",
				"(a|ab)?",
				"a{1,2}",
				"[a-c]+",
				"x\\.conf",
				"lib(64|32)?",
				"\\.?a",
				".",
				"l[^i]b",
			),
		);
		const pattern = fc
			.tuple(fc.array(part, { minLength: 1, maxLength: 3 }), fc.constantFrom("", "(/.*)?", "/.*", "/[^/]*", "(/a)*"))
			.map(([parts, end]) => `/${parts.join("/")}${end}`);
		const context = fc.nat(999).map((n) => `system_u:object_r:t${n}_t:s0`);
		const spec = fc
			.tuple(
				pattern,
				fc.constantFrom("", "", "", "\t--", " -d", " -l", " -b"),
				fc.oneof({ weight: 6, arbitrary: context }, fc.constant("<<none>>")),
			)
			.map((fields) => fields.join(fields[1] === "" ? "\t" : "  ").replace("\t\t", "\t"));
		const specs = fc.uniqueArray(spec, {
			maxLength: 25,
			selector: (line) =>
				line
					.split(/\s+/)
					.slice(0, -1)
					.join(" ")
					.replace(/ \S*:.*/, ""),
		});
		const substitution = fc
			.tuple(word, word, word)
			.filter(([from, to]) => from !== to)
			.map(([from, to, sub]) => `/${from} /${to}/${sub}\n`);
		const paths = fc.array(
			fc
				.array(fc.oneof({ weight: 8, arbitrary: word }, fc.constant("ž")), { minLength: 1, maxLength: 4 })
				.map((words) => `/${words.join("/")}`),
			{ minLength: 30, maxLength: 30 },
		);
		let labelled = 0;
		await fc.assert(
			fc.asyncProperty(
				specs,
				specs,
				specs,
				fc.array(substitution, { maxLength: 3 }),
				fc.array(substitution, { maxLength: 3 }),
				paths,
				async (first, homes, local, own, shipped, list) => {
					const lines = (some: readonly string[]) => some.map((line) => `${line}\n`).join("");
					const files = {
						"": `# a comment\n\n${lines(first)}`,
						".homedirs": lines(homes),
						".local": lines(local),
						".subs": own.join(""),
						".subs_dist": shipped.join(""),
					};
					labelled += await compare(files, list, "random");
				},
			),
			{ numRuns: trials(25) },
		);
		expect(labelled).toBeGreaterThan(300);
	});

	const real = "/etc/selinux/default/contexts/files/file_contexts";
	const absent = existsSync(real) ? "" : "(skipped: no policy in /etc/selinux/default; Debian: selinux-policy-default)";
	it.skipIf(absent !== "")(`agree on thousands of paths in the policy of Debian ${absent}`, async () => {
		const files: Record<string, string> = {};
		for (const suffix of suffixes) {
			if (existsSync(real + suffix)) files[suffix] = await readFile(real + suffix, "utf8");
		}
		const listed = await run(
			"find",
			"/etc",
			"/boot",
			"/usr/lib/systemd",
			"/usr/lib/dracut",
			"/var/lib",
			"/root",
			"-xdev",
			"-maxdepth",
			"4",
		);
		const some = listed
			.split("\n")
			.filter((one) => /^\/[!-~]+$/.test(one))
			.filter((_, i) => i % 4 === 0)
			.slice(0, 2000);
		const paths = [
			"/boot/initramfs-5.img",
			"/etc/dracut.conf.d/90-x.conf",
			"/etc/initramfs-tools/conf.d/x",
			"/lib/modules/5/kernel/x.ko",
			"/lib64/x",
			"/var/run/x",
			"/home/joe/.ssh/authorized_keys",
			"/etc/systemd/network/10-x.link",
			"/",
			"/usr/local/lib/x",
			...some,
		];
		expect(await compare(files, paths, "debian")).toBeGreaterThan(1000);
	});
});
