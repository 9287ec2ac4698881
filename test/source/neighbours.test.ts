import { execFileSync } from "node:child_process";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { AnyvisorError } from "../../src/bytes/errors.js";
import { type ByteSource, bytesSource, readBytes } from "../../src/bytes/source.js";
import { confinedNeighbours } from "../../src/disk/neighbours.js";
import { openDisk } from "../../src/disk/registry.js";
import { leadOf } from "../../src/source/confine.js";
import { folderNeighbours, openFile } from "../../src/source/index.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const root = await temporaryFolder();
const at = (...parts: string[]) => path.join(root, ...parts);
await mkdir(at("vm", "sub"), { recursive: true });
await mkdir(at("shared"));
await writeFile(at("vm", "base"), "base");
await writeFile(at("shared", "base"), "shared");
await writeFile(at("shared", "next"), "next");
await symlink("../shared/base", at("vm", "link"));

async function textOf(opening: Promise<ByteSource>): Promise<string> {
	await using file = await opening.then((source) => ({
		source,
		[Symbol.asyncDispose]: async () => source[Symbol.asyncDispose]?.(),
	}));
	return new TextDecoder().decode(await readBytes(file.source, 0, file.source.size));
}

const failure = (work: Promise<unknown>): Promise<AnyvisorError> =>
	work.then(
		() => Promise.reject(new Error("did not fail")),
		(error: AnyvisorError) => error,
	);

/** The option that a refusal shows, as a shell would take it apart. */
const optionIn = ({ hint = "" }: AnyvisorError) =>
	/--allow-external (?:'(.*)'|(\S+))$/.exec(hint)?.slice(1).find(Boolean);

describe("folderNeighbours", () => {
	test.each([
		["../shared/base", "the name as it is mentioned", "../shared/base"],
		[at("shared", "base"), "the absolute path", "../shared/base"],
		["../shared/base", "a relative path for an absolute name", at("shared", "base")],
		["link", "the link's own name", "link"],
		["../shared/base", "what a link leads to", "link"],
	])("allows %s: %s", async (allow, _, mention) => {
		expect(await textOf(folderNeighbours(at("vm"), { allow: [allow] })(mention))).toBe("shared");
		expect(await failure(folderNeighbours(at("vm"), { allow: [at("shared", "next")] })(mention))).toMatchObject({
			kind: "refused",
		});
	});

	test("an absolute name of a file in the folder needs no permission", async () => {
		expect(await textOf(folderNeighbours(at("vm"))(at("vm", "base")))).toBe("base");
		expect(await textOf(folderNeighbours(at("vm"))(at("vm", "sub", "..", "base")))).toBe("base");
	});

	test.each(["../shared/base", at("shared", "base"), "link", "sub/../../shared/base"])(
		"a refusal of %s shows the option that allows it",
		async (mention) => {
			const error = await failure(folderNeighbours(at("vm"))(mention));
			const option = optionIn(error);
			expect(option).toBeDefined();
			expect(await textOf(folderNeighbours(at("vm"), { allow: [option ?? ""] })(mention))).toBe("shared");
		},
	);

	test("names that a shell would take apart are quoted, and control characters are not shown", async () => {
		const odd = `../it's a $(touch x)/\u001b[31m`;
		const { hint, message } = await failure(folderNeighbours(at("vm"))(odd));
		expect(hint).toContain(`'\\''s a $(touch x)`);
		expect(`${hint}${message}`).not.toMatch(/\p{Cc}/u);
	});

	test.each([
		"json:{}",
		'json:{"driver":"nbd"}',
		"nbd://host/x",
		"nbd:unix:/x",
		"ssh://h/x",
		"file:///etc/passwd",
		"fat:x",
	])("%s is refused even when it is allowed", async (name) => {
		expect(await failure(folderNeighbours(at("vm"), { allow: [name] })(name))).toMatchObject({ kind: "refused" });
	});

	test("a URL is refused, without its password, until it is named", async () => {
		const url = "http://user:secret@127.0.0.1:1/base.raw";
		const error = await failure(folderNeighbours(at("vm"))(url));
		expect(error.kind).toBe("refused");
		expect(`${error.message}${error.file}${error.hint}`).not.toContain("secret");
		const option = optionIn(error) ?? "";
		const http = { retries: 0 };
		expect(await failure(folderNeighbours(at("vm"), { allow: [option], http })(url))).toMatchObject({ kind: "io" });
	});

	test.skipIf(missing("mkfifo"))(`pipes are not waited for ${because("mkfifo")}`, async () => {
		execFileSync("mkfifo", [at("vm", "pipe")]);
		await symlink("/dev/null", at("vm", "null"));
		expect(await failure(folderNeighbours(at("vm"))("pipe"))).toMatchObject({ kind: "unsupported" });
		expect(await failure(folderNeighbours(at("vm"), { allow: ["pipe"] })("pipe"))).toMatchObject({
			kind: "unsupported",
		});
		expect(await failure(folderNeighbours(at("vm"))("null"))).toMatchObject({ kind: "refused" });
	});
});

describe("leadOf", () => {
	test("a name that it calls inside never leaves the folder", () => {
		const part = fc.constantFrom("..", ".", "", "a", "b c", "...", "..a", "C:", "\\", "/");
		const folders = fc.array(fc.constantFrom("a/", "b c/"), { maxLength: 3 }).map((parts) => parts.join(""));
		const names = fc.array(part, { minLength: 1, maxLength: 8 }).map((parts) => parts.join("/"));
		fc.assert(
			fc.property(folders, names, (folder, name) => {
				const lead = leadOr(folder, name);
				const real = path.posix.resolve("/home/vm", lead.path);
				expect(lead.inside && !real.startsWith("/home/vm/")).toBe(false);
				expect(lead.path.includes("//")).toBe(false);
			}),
			{ numRuns: 500 },
		);
	});
});

/** A refusal leads nowhere. */
function leadOr(folder: string, name: string): ReturnType<typeof leadOf> {
	try {
		return leadOf(folder, name);
	} catch (error) {
		if ((error as AnyvisorError).kind !== "refused") throw error;
		return { path: "", inside: false };
	}
}

describe.skipIf(missing("qemu-img"))(`chains of images ${because("qemu-img")}`, () => {
	const make = async (file: string, ...backing: string[]) => {
		await run(
			"qemu-img",
			"create",
			"-q",
			"-f",
			"qcow2",
			...(backing.length > 0 ? ["-u", "-F", "qcow2", "-b", ...backing] : []),
			file,
			"1M",
		);
	};
	const open = async (file: string, ...allow: string[]) => {
		const source = await openFile(file);
		const neighbours = confinedNeighbours(folderNeighbours(path.dirname(file), { allow }));
		const disk = await openDisk(source, { neighbours });
		await readBytes(disk, 0, 512);
		await disk[Symbol.asyncDispose]?.();
		await source[Symbol.asyncDispose]();
	};

	test("each file outside needs a permission of its own, and its refusal says which", async () => {
		await make(at("shared", "lowest.qcow2"));
		await make(at("shared", "middle.qcow2"), "lowest.qcow2");
		await make(at("vm", "top.qcow2"), "../shared/middle.qcow2");
		const allow: string[] = [];
		for (const expected of ["middle.qcow2", "lowest.qcow2"]) {
			const error = await failure(open(at("vm", "top.qcow2"), ...allow));
			expect(error).toMatchObject({ kind: "refused", hint: expect.stringContaining(expected) });
			allow.push(optionIn(error) ?? "");
		}
		await open(at("vm", "top.qcow2"), ...allow);
	});

	test("a file that was allowed does not open the rest of its folder", async () => {
		await make(at("vm", "sly.qcow2"), "../shared/sly.qcow2");
		await make(at("shared", "sly.qcow2"), "/etc/hostname");
		expect(await failure(open(at("vm", "sly.qcow2"), "../shared/sly.qcow2"))).toMatchObject({
			kind: "refused",
			message: expect.stringContaining("/etc/hostname"),
		});
	});

	test("an allowed file may refer back into the folder", async () => {
		await make(at("vm", "home.qcow2"));
		await make(at("shared", "back.qcow2"), "../vm/home.qcow2");
		await make(at("vm", "round.qcow2"), "../shared/back.qcow2");
		await open(at("vm", "round.qcow2"), "../shared/back.qcow2");
		expect(await failure(open(at("vm", "round.qcow2")))).toMatchObject({ kind: "refused" });
	});

	test("a circle ends", async () => {
		await make(at("vm", "a.qcow2"), "b.qcow2");
		await make(at("vm", "b.qcow2"), "a.qcow2");
		expect(await failure(open(at("vm", "a.qcow2")))).toMatchObject({ kind: "refused" });
	});
});

test("without a way elsewhere, confinedNeighbours refuses by itself", async () => {
	const neighbours = confinedNeighbours(async (name) => bytesSource(new Uint8Array(512), name));
	for (const name of ["/etc/passwd", "../x", "https://a/b", "C:\\x"]) {
		expect(await failure(neighbours.open(name))).toMatchObject({ kind: "refused" });
	}
	expect((await neighbours.open("sub\\x")).name).toBe("sub/x");
});
