import { execFile } from "node:child_process";
import { readdirSync } from "node:fs";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { bytesSource } from "../../src/bytes/source.js";
import { ext } from "../../src/filesystem/ext/index.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { debugfsTree, filesystemTree, openExtImage, withoutLinkTimes } from "./ext-images.js";

const tools = ["e2fsck", "debugfs", "gzip", "bzip2"];
const suite = path.join(corpus ?? "", "tytso+e2fsprogs/tests");
const unpacked = { encoding: "buffer", maxBuffer: 256 << 20 } as const;

/** The images of e2fsprogs' own tests, each in a folder of its own. */
const images =
	corpus === undefined
		? []
		: readdirSync(suite, { recursive: true, encoding: "utf8" }).filter((name) => /\/image\.(gz|bz2)$/.test(name));

describe.skipIf(corpus === undefined || missing(...tools))(
	`the images of e2fsprogs' tests ${corpusReason}${because(...tools)}`,
	async () => {
		const folder = await temporaryFolder();

		const unpack = async (packed: string) => {
			const command = packed.endsWith(".gz") ? "gzip" : "bzip2";
			const { stdout } = await promisify(execFile)(command, ["-dc", path.join(suite, packed)], unpacked);
			return stdout;
		};

		it("there are many", () => expect(images.length).toBeGreaterThan(20));

		it.each(images)("%s", async (packed) => {
			const name = path.dirname(packed);
			const bytes = await unpack(packed);
			const source = bytesSource(new Uint8Array(bytes), name);
			const image = path.join(folder, `${name}.img`);
			await writeFile(image, bytes);
			const sound = await run("e2fsck", "-fn", image).then(
				() => true,
				() => false,
			);
			const begin = performance.now();
			const tree = await openExtImage(source)
				.then(filesystemTree)
				.catch((error: unknown) => error);
			expect(performance.now() - begin).toBeLessThan(20_000);
			expect(tree instanceof AnyvisorError || !(tree instanceof Error)).toBe(true);
			if (!sound) return;
			// Writes the journal back where there is one left over, and changes nothing else of note.
			await run("e2fsck", "-fy", image).catch(() => undefined);
			const judged = await debugfsTree(image, path.join(folder, name));
			expect(withoutLinkTimes(tree as Record<string, string>)).toEqual(withoutLinkTimes(judged));
		});

		it("links that lead in a circle are read as they are", async () => {
			const image = path.join(folder, "links.img");
			await copyFile(path.join(corpus ?? "", "fox-it+dissect.target/tests/_data/filesystems/symlink_disk.ext4"), image);
			await mkdir(path.join(folder, "links"));
			const filesystem = await ext.open(bytesSource(new Uint8Array(await readFile(image))));
			expect(await filesystem?.stat("/path/to/target")).toMatchObject({ type: "link", target: "symlink/target" });
			expect(await filesystem?.stat("/path/to/symlink/target")).toMatchObject({ type: "link", target: "../target" });
		});
	},
);
