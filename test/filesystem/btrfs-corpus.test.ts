import { existsSync, readdirSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { btrfs } from "../../src/filesystem/btrfs/index.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";

import { explore, tolerate } from "./explore.js";
import { filesystemTree, folderTree, openFile, type Tree } from "./ext-images.js";

const tools = ["btrfs", "btrfs-image", "xz", "gzip"];
const suite = path.join(corpus ?? "", "kdave+btrfs-progs/tests");
const images = existsSync(suite)
	? readdirSync(suite, { recursive: true, encoding: "utf8" }).filter((name) =>
			/^(fsck|misc)-tests.*\.(img|raw)(\.xz|\.gz)?$/.test(name),
		)
	: [];

/** What both can tell: the tool restores no owners of links, and no times that are exact. */
const plain = (tree: Tree) =>
	Object.fromEntries(Object.entries(tree).map(([at, text]) => [at, text.replace(/^(\w+) \d+ \d+:\d+ -?\d+/, "$1")]));

describe.skipIf(images.length === 0 || missing(...tools))(
	`the images of btrfs-progs' tests ${corpusReason}${because(...tools)}`,
	async () => {
		const folder = await temporaryFolder();

		/** Unpacks an image; those that are dumps of metadata become file systems whose data are missing. */
		const unpack = async (packed: string) => {
			const image = path.join(folder, "fs.img");
			const isDump = !packed.includes(".raw");
			const unpacked = isDump ? path.join(folder, "dump") : image;
			await rm(image, { force: true });
			await rm(unpacked, { force: true });
			const command = packed.endsWith(".xz") ? "xz -dc" : packed.endsWith(".gz") ? "gzip -dc" : "cat";
			await run("sh", "-c", `${command} "$1" > "$2"`, "sh", path.join(suite, packed), unpacked);
			if (isDump) await run("btrfs-image", "-r", unpacked, image);
			return image;
		};

		it("there are many", () => expect(images.length).toBeGreaterThan(30));

		it.each(images)("%s", async (packed) => {
			const image = await unpack(packed);
			const { source } = await openFile(image);
			await using _ = source;
			const begin = performance.now();
			const opened = await tolerate(btrfs.open(source));
			if (opened === undefined) return;
			await explore(opened);
			expect(performance.now() - begin).toBeLessThan(10_000);
			const isWhole = packed.includes(".raw") && opened.notes?.length === 0;
			if (!isWhole || !(await isSound(image))) return;
			const restored = path.join(folder, "restored");
			await rm(restored, { recursive: true, force: true });
			await mkdir(restored);
			await run("btrfs", "restore", "-S", image, restored);
			// It leaves snapshots out.
			expect(plain(await filesystemTree(opened))).toMatchObject(plain(await folderTree(restored)));
		});
	},
);

const isSound = (image: string) =>
	run("btrfs", "check", image).then(
		() => true,
		() => false,
	);
