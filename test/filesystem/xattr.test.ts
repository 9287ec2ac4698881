import { execFile } from "node:child_process";
import { mkdir, readFile, symlink, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { bytesSource } from "../../src/bytes/source.js";
import { openFilesystem } from "../../src/filesystem/registry.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { fileStore } from "./store.js";
import { mkfsXfs, mounted, unmountable } from "./xfs-images.js";

const mke2fs = (...options: string[]) => ({
	megabytes: 24,
	make: (image: string) => run("mke2fs", "-q", "-F", ...options, image),
});
const mkfsBtrfs = (...options: string[]) => ({
	megabytes: 128,
	make: (image: string) => run("mkfs.btrfs", "-q", ...options, image),
});
const xfs = (options: string) => ({ megabytes: 64, make: (image: string) => mkfsXfs(image, options) });

const variants = {
	ext2: mke2fs("-t", "ext2", "-b", "1024"),
	"ext4 with inodes of 128 bytes": mke2fs("-t", "ext4", "-I", "128"),
	"ext4 with inodes of 256 bytes and inline data": mke2fs("-t", "ext4", "-I", "256", "-O", "inline_data"),
	"ext4 with large inodes and values in inodes of their own": mke2fs(
		"-t",
		"ext4",
		"-I",
		"1024",
		"-O",
		"ea_inode",
		"-b",
		"4096",
	),
	"XFS version 5": xfs(""),
	"XFS with small blocks and many extents": xfs("-b size=1k -i nrext64=1"),
	btrfs: mkfsBtrfs(),
	"btrfs with small nodes": mkfsBtrfs("-n", "4096"),
};

/** Lengths on both sides of what fits inodes, blocks and nodes. */
const length = fc.oneof(fc.nat(60), fc.nat(1200), fc.constantFrom(0, 1, 254, 255, 256, 3900, 4016, 16_000, 65_536));
const attribute = fc.tuple(
	fc.constantFrom("user", "trusted", "security"),
	fc.oneof(fc.stringMatching(/^[a-z.]{1,20}$/), fc.stringMatching(/^[a-zž_]{60,120}$/)),
	length,
);
const samples = fc.array(fc.oneof(fc.array(attribute, { maxLength: 4 }), fc.array(attribute, { maxLength: 60 })), {
	minLength: 30,
	maxLength: 30,
});

/** user::rw-, user:70000:r--, group::r--, mask::r--, other::r-- */
const acl = "0x0200000001000600ffffffff020004007011010004000400ffffffff10000400ffffffff20000400ffffffff";
const label = Buffer.from("system_u:object_r:etc_t:s0\0");

const folder = await temporaryFolder();
const tools = ["getfattr", "setfattr", "mke2fs", "mkfs.xfs", "mkfs.btrfs"];
const reason = missing(...tools) ? because(...tools) : unmountable(folder);

describe.skipIf(reason !== "")(`extended attributes, against the kernel's ${reason}`, () => {
	it.each(Object.entries(variants))("%s", async (_, { megabytes, make }) => {
		const image = path.join(folder, "test.img");
		await writeFile(image, "");
		await truncate(image, megabytes * 2 ** 20);
		await make(image);
		const at = path.join(folder, "mounted");
		let seen = "";
		await mounted(image, at, async () => {
			const [first = [], second = []] = fc.sample(samples, { numRuns: 2, seed: 20_261_128 });
			await mkdir(path.join(at, "f0"));
			for (let i = 1; i < first.length; i++) await writeFile(path.join(at, `f${i}`), "");
			await symlink("f1", path.join(at, "link"));
			await restore(at, first);
			// Some grow, some shrink, some stand where others were.
			await restore(
				at,
				second.toReversed().map((list, i) => list.concat((first[i] ?? []).slice(0, 3))),
			);
			await run("setfattr", "-h", "-n", "security.selinux", "-v", `0x${label.toString("hex")}`, path.join(at, "link"));
			await run("setfattr", "-n", "system.posix_acl_access", "-v", acl, path.join(at, "f1")).catch(() => undefined);
			seen = await run("getfattr", "-hR", "-m", "-", "-d", "-e", "hex", "--absolute-names", at);
		});
		const expected = parse(seen, at);
		const filesystem = await openFilesystem(await fileStore(image));
		if (filesystem?.extendedAttributes === undefined) throw new Error("not recognised");
		const found = new Map<string, string>();
		for (const { name } of await filesystem.list("/")) {
			for (const [key, value] of await filesystem.extendedAttributes(`/${name}`)) {
				found.set(`/${name} ${key}`, `0x${Buffer.from(value).toString("hex")}`);
			}
		}
		expect(expected.size).toBeGreaterThan(100);
		expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
		await expect(filesystem.extendedAttributes("/none")).rejects.toMatchObject({ kind: "not-found" });
	});

	it("answers damage with a typed error or with success", async () => {
		const image = path.join(folder, "small.img");
		for (const make of [
			() => run("mke2fs", "-q", "-F", "-t", "ext2", image),
			() => run("mke2fs", "-q", "-F", "-t", "ext4", "-I", "256", "-O", "^metadata_csum", image),
		]) {
			await writeFile(image, "");
			await truncate(image, 2 ** 20);
			await make();
			const at = path.join(folder, "mounted");
			await mounted(image, at, async () => {
				const [lists = []] = fc.sample(samples, { numRuns: 1, seed: 1 });
				for (let i = 0; i < lists.length; i++) await writeFile(path.join(at, `f${i}`), "");
				await restore(at, lists);
			});
			await staysTyped(image);
		}
	});

	it("XFS version 4, which this kernel may not know: against what xfs_db sets", async () => {
		const image = await mkfsXfs(path.join(folder, "four.img"), "-m crc=0", 16);
		const sizes = [...Array.from({ length: 60 }, (_, i) => 1 + i * 3), 3000, 60_000];
		const set = sizes.map((size, i) => ["-c", `attr_set ${["-u", "-r", "-s"][i % 3]} -v ${size} name${i}`]);
		await run("xfs_db", "-x", "-c", "sb", "-c", "addr rootino", ...set.slice(0, 3).flat(), image);
		const short = await openFilesystem(await fileStore(image));
		expect((await short?.extendedAttributes?.("/"))?.size).toBe(3);
		await run("xfs_db", "-x", "-c", "sb", "-c", "addr rootino", ...set.slice(3).flat(), image);
		const filesystem = await openFilesystem(await fileStore(image));
		const found = [...((await filesystem?.extendedAttributes?.("/")) ?? [])].map(
			([name, value]) => `${name} ${Buffer.from(value).toString()}`,
		);
		const expected = sizes.map((size, i) => `${["user", "trusted", "security"][i % 3]}.name${i} ${"v".repeat(size)}`);
		expect(found.sort()).toEqual(expected.sort());
		await staysTyped(image);
	});
});

/** Damage is met in the words of an AnyvisorError, or not at all. */
async function staysTyped(image: string) {
	const original = new Uint8Array(await readFile(image));
	const used: number[] = [];
	for (let at = 0; at < original.length; at += 16) if (original[at] !== 0) used.push(at);
	const changes = fc.array(fc.tuple(fc.nat(used.length - 1), fc.nat(15), fc.nat(255)), { minLength: 1, maxLength: 40 });
	await fc.assert(
		fc.asyncProperty(changes, async (list) => {
			const bytes = original.slice();
			for (const [place, within, value] of list) bytes[(used[place] ?? 0) + within] = value;
			try {
				const filesystem = await openFilesystem(bytesSource(bytes, "damaged.img"));
				for (const { name } of (await filesystem?.list("/")) ?? []) {
					await filesystem?.extendedAttributes?.(`/${name}`).catch(typed);
				}
			} catch (error) {
				typed(error);
			}
		}),
		{ numRuns: 15 },
	);
}

function typed(error: unknown) {
	if (!(error instanceof AnyvisorError)) throw error;
}

type List = readonly (readonly [namespace: string, name: string, length: number])[];

/** Has setfattr set all of them; what the file system has no room for is left out. */
async function restore(root: string, files: readonly List[]): Promise<void> {
	const text = files.map((list, i) => {
		const lines = list.map(([namespace, name, size], n) => {
			const value = Buffer.alloc(size, `${i}-${n} `);
			return `${namespace}.${name}=0x${value.toString("hex")}\n`.replace("=0x\n", '=""\n');
		});
		return `# file: f${i}\n${lines.join("")}\n`;
	});
	const dump = path.join(folder, "dump");
	await writeFile(dump, text.join(""));
	await promisify(execFile)("setfattr", [`--restore=${dump}`], { cwd: root }).catch(() => undefined);
}

/** Lines of getfattr, as `/name key` and the value in hexadecimal digits. */
function parse(dump: string, root: string): Map<string, string> {
	const found = new Map<string, string>();
	for (const block of dump.split("\n\n")) {
		const [head = "", ...lines] = block.split("\n");
		const file = head.replace(`# file: ${root}`, "");
		if (file === "") continue;
		for (const line of lines.filter((text) => text !== "")) {
			const [key = "", value = "0x"] = line.split("=");
			// The kernel makes these up of what XFS keeps under another name.
			if (key.startsWith("system.") && lines.some((text) => text.includes("SGI_ACL"))) continue;
			found.set(`${file} ${key}`, value);
		}
	}
	return found;
}
