import { readFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { bytesSource } from "../../src/bytes/source.js";
import { Disklabel } from "../../src/volume/bsd.js";
import { readVolumes } from "../../src/volume/registry.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder, trials } from "../support/tools.js";
import { emptyImage, feed } from "./images.js";
import { partx } from "./partx.js";

process.env["PATH"] += ":/usr/sbin:/sbin";

const tools = ["sfdisk", "fdisk", "partx"];
const found = async (image: string) =>
	(await readVolumes(bytesSource(await readFile(image), "disk.img"), 512)).map(({ number, scheme, at, size, type }) => {
		return { number, at, size, type, isBsd: scheme === "bsd" };
	});
const judged = async (image: string) =>
	(await partx(image, 512)).map(({ scheme, number, at, size, type }) => ({
		number,
		at,
		size,
		type,
		isBsd: scheme !== "dos",
	}));

describe.skipIf(missing(...tools))(`BSD disklabels as fdisk writes them ${because(...tools)}`, async () => {
	const folder = await temporaryFolder();
	/** Makes "a" and "b", whose type a letter chooses, and one that is as large as what is left. */
	const label = [
		"n",
		"a",
		"",
		"+8M",
		"n",
		"b",
		"",
		"+4M",
		"n",
		"e",
		"",
		"",
		"t",
		"a",
		"7",
		"t",
		"b",
		"1",
		"t",
		"e",
		"f",
		"w",
	];

	it.each(["a5", "a6", "a9"])("in a slice of type %s, beside logical partitions", async (type) => {
		const image = await emptyImage(path.join(folder, type), 64 << 20);
		const logical = "start=110000, type=5\nstart=112000, size=2048, type=83\nstart=116000, size=2048, type=83\n";
		const table = `label: dos\nstart=2048, size=20480, type=83\nstart=40960, size=65536, type=${type}\n${logical}`;
		await feed(table, "sfdisk", "-q", image);
		await feed(["b", "y", ...label].map((word) => `${word}\n`).join(""), "fdisk", image);
		const expected = await judged(image);
		expect(expected.filter(({ isBsd }) => isBsd).length).toBeGreaterThan(1);
		expect((await found(image)).toSorted((a, b) => a.number - b.number)).toEqual(expected);
	});

	it("counts from the slice where FreeBSD does", async () => {
		const image = await emptyImage(path.join(folder, "relative"), 64 << 20);
		await feed("label: dos\nstart=40960, size=65536, type=a5\n", "sfdisk", "-q", image);
		await feed(["b", "y", ...label].map((word) => `${word}\n`).join(""), "fdisk", image);
		const bytes = await readFile(image);
		const view = new DataView(bytes.buffer, bytes.byteOffset + 40961 * 512, Disklabel.size);
		const count = view.getUint16(Disklabel.offsets.d_npartitions, true);
		const end = Disklabel.offsets.d_partitions + 16 * count;
		let sum = 0;
		for (let at = Disklabel.offsets.d_partitions + 4; at < end; at += 16) {
			view.setUint32(at, Math.max(view.getUint32(at, true) - 40960, 0), true);
		}
		view.setUint16(Disklabel.offsets.d_checksum, 0, true);
		for (let at = 0; at < end; at += 2) sum ^= view.getUint16(at, true);
		view.setUint16(Disklabel.offsets.d_checksum, sum, true);
		await run(
			"sh",
			"-c",
			`base64 -d > "$0" <<'end'\n${bytes.subarray(40961 * 512, 40962 * 512).toString("base64")}\nend`,
			path.join(folder, "label"),
		);
		await run("dd", `if=${path.join(folder, "label")}`, `of=${image}`, "seek=40961", "conv=notrunc", "status=none");
		const expected = await judged(image);
		expect(expected.filter(({ isBsd }) => isBsd).length).toBeGreaterThan(1);
		expect(await found(image)).toEqual(expected);
	});

	it("survives any change to the label", async () => {
		const image = await emptyImage(path.join(folder, "mutated"), 8 << 20);
		await feed("label: dos\nstart=64, size=16000, type=a6\n", "sfdisk", "-q", image);
		await feed("b\ny\nn\na\n\n+1M\nt\na\n7\nw\n", "fdisk", image);
		const original = (await readFile(image)).subarray(0, 128 << 10);
		expect(await found(image)).toHaveLength(2);
		const changes = fc.array(fc.tuple(fc.nat(Disklabel.size - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
		await fc.assert(
			fc.asyncProperty(changes, async (list) => {
				const bytes = Buffer.from(original);
				for (const [at, byte] of list) bytes[65 * 512 + at] = byte;
				// The exclusive or of a word that is not looked at makes the checksum right again.
				const view = new DataView(bytes.buffer, bytes.byteOffset + 65 * 512, Disklabel.size);
				const end =
					Disklabel.offsets.d_partitions + 16 * Math.min(view.getUint16(Disklabel.offsets.d_npartitions, true), 22);
				let sum = 0;
				for (let at = 0; at < end; at += 2) sum ^= view.getUint16(at, true);
				view.setUint16(Disklabel.offsets.d_checksum, view.getUint16(Disklabel.offsets.d_checksum, true) ^ sum, true);
				try {
					for (const { at, size } of await readVolumes(bytesSource(bytes, "disk.img"), 512)) {
						expect(at >= 64 * 512 && at + size <= (64 + 16000) * 512).toBe(true);
					}
				} catch (error) {
					if (!(error instanceof AnyvisorError)) throw error;
				}
			}),
			{ numRuns: trials(100) },
		);
	});
});

it.skipIf(corpus === undefined || missing("partx"))(`a whole disk of another project ${corpusReason}`, async () => {
	const image = path.join(corpus ?? "", "fox-it+dissect.volume/tests/data/bsd.bin");
	expect(await found(image)).toEqual(
		(await judged(image)).map((volume) => Object.assign(volume, { type: expect.any(String) })),
	);
});
