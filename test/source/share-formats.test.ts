import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { open, statfs } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { diskFormat, openDisk } from "../../src/disk/registry.js";
import { fileSink, openFile } from "../../src/source/index.js";
import { because, missing, run } from "../support/tools.js";
import { attempt, loopMounted } from "./mounts.js";

const MIB = 1 << 20;
const DATA = 12 * MIB;

/** Format, variant, and what QEMU calls it. */
const outputs = [
	["raw", "plain", "raw"],
	["qcow2", "plain", "qcow2"],
	["vmdk", "monolithicSparse", "vmdk"],
	["vhdx", "dynamic", "vhdx"],
	["vhdx", "fixed", "vhdx"],
	["vhd", "dynamic", "vpc"],
	["vhd", "fixed", "vpc"],
	["vdi", "dynamic", "vdi"],
] as const;

async function convert(from: string, to: string, format: string, variant: string): Promise<void> {
	await using source = await openFile(from);
	await using sink = await fileSink(to);
	const disk = await openDisk(source);
	const written = await diskFormat(format).write?.(disk, sink, { variant });
	await sink.commit(written?.size ?? 0);
}

async function freeBytes(folder: string): Promise<number> {
	execFileSync("sync", ["-f", folder]);
	const { bfree, bsize } = await statfs(folder);
	return bfree * bsize;
}

for (const kind of ["xfs", "btrfs"] as const) {
	const { folder, reason } = attempt(() => loopMounted(kind));
	const skipped = reason !== "" || missing("qemu-img");
	describe.skipIf(skipped)(`a conversion on ${kind} moves no data ${reason}${because("qemu-img")}`, async () => {
		const at = (name: string) => path.join(folder, name);
		if (!skipped) {
			const raw = await open(at("source.raw"), "w");
			await raw.write(randomBytes(DATA / 2), 0, DATA / 2, 3 * MIB);
			await raw.write(randomBytes(DATA / 2), 0, DATA / 2, 40 * MIB);
			await raw.truncate(100 * MIB);
			await raw.close();
		}

		test.each(outputs)("from raw to %s/%s, and from there to qcow2 and raw", async (format, variant, theirs) => {
			const before = await freeBytes(folder);
			const names = [`${format}-${variant}`, `${format}-${variant}.qcow2`, `${format}-${variant}.raw`].map(at);
			const [there = "", further = "", back = ""] = names;
			await convert(at("source.raw"), there, format, variant);
			await convert(there, further, "qcow2", "plain");
			await convert(further, back, "raw", "plain");
			// Tables, headers, and what XFS reserves behind a small write: three copies of the data would be 36 MiB.
			expect(before - (await freeBytes(folder))).toBeLessThan(3 * MIB);
			for (const [name, itsFormat] of [
				[there, theirs],
				[further, "qcow2"],
				[back, "raw"],
			] as const) {
				const compared = await run("qemu-img", "compare", "-f", "raw", "-F", itsFormat, at("source.raw"), name);
				expect(compared).toContain("identical");
			}
		});
	});
}
