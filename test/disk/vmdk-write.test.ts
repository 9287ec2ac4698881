import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import type { Disk } from "../../src/disk/disk.js";
import { contentId, flatDescriptor, type VmdkWriteOptions } from "../../src/disk/vmdk/index.js";
import { writeVmdk } from "../../src/disk/vmdk/write.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { fileSink } from "./support.js";

const KIB = 1024;
const MIB = 1024 * KIB;

const folder = await temporaryFolder();
const inFolder = (name: string) => path.join(folder, name);
const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

const diskOf = (bytes: Uint8Array, sectorSize = 512): Disk => ({
	...bytesSource(bytes),
	format: "raw",
	sectorSize,
	async *extents() {
		yield { at: 0, length: bytes.length, kind: "data" };
	},
});

async function write(disk: Disk, name: string, options?: VmdkWriteOptions): Promise<string> {
	await using sink = await fileSink(inFolder(name));
	const { size } = await writeVmdk(disk, sink, options);
	await sink.commit(size);
	return inFolder(name);
}

/** Bytes that do not compress. */
function noise(length: number): Uint8Array {
	let state = 0x2545f491;
	return Uint8Array.from({ length }, () => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return state;
	});
}

const content = new Uint8Array(70 * MIB);
content.set(noise(300 * KIB), 100 * KIB);
content.fill(0x66, 34 * MIB, 35 * MIB);
content.set(noise(512), content.length - 512);

describe("writing VMDK", () => {
	it("streams: each write begins where the one before ended", async () => {
		let end = 0;
		const sink = {
			name: "stream.vmdk",
			write(at: number, bytes: Uint8Array) {
				expect(at).toBe(end);
				end += bytes.length;
				return Promise.resolve();
			},
			commit: () => Promise.resolve(),
			[Symbol.asyncDispose]: () => Promise.resolve(),
		};
		const { size } = await writeVmdk(diskOf(content), sink);
		expect(size).toBe(end);
		expect(size % 512).toBe(0);
	});

	it("has a descriptor that importers accept", async () => {
		const head = await readFile(await write(diskOf(content), "described.vmdk"), "latin1");
		const text = head.slice(512, head.indexOf("\0", 512));
		expect(text).toMatch(
			/^# Disk DescriptorFile\nversion=1\nCID=[0-9a-f]{8}\nparentCID=ffffffff\ncreateType="streamOpt/,
		);
		expect(text).toContain(`\nRDONLY ${content.length / 512} SPARSE "`);
		expect(text).toContain('\nddb.adapterType = "lsilogic"\n');
		expect(text).toContain('\nddb.toolsVersion = "2147483647"\n');
		expect(text).not.toMatch(/^[ \t]/m);
		// Room to grow: VirtualBox rewrites it where it stands.
		expect(head.slice(512 + text.length, 21 * 512)).toMatch(/^\0{9000,}$/);
	});

	it("gives the same disk the same file, and another disk another content ID", async () => {
		const first = await readFile(await write(diskOf(content), "first.vmdk"));
		const second = await readFile(await write(diskOf(content), "second.vmdk"));
		expect(sha256(second)).toBe(sha256(first));
		expect(await contentId(diskOf(noise(MIB)))).not.toBe(await contentId(diskOf(content)));
	});

	it("refuses disks with sectors of 4096 bytes, which VMDK does not know", async () => {
		await expect(write(diskOf(content, 4096), "never.vmdk")).rejects.toMatchObject({ kind: "unsupported" });
	});

	it("does not write a descriptor that a file name breaks out of", () => {
		expect(() => flatDescriptor('a" 0\nRW 1 FLAT "/etc/passwd', MIB)).toThrow(/cannot name the file/);
	});

	describe.skipIf(missing("qemu-img"))(`as qemu-img sees it ${because("qemu-img")}`, () => {
		const compare = (raw: string, file: string) => run("qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, file);

		it("a flat disk is its descriptor and the raw content", async () => {
			const raw = inFolder("disk-flat.vmdk");
			await writeFile(raw, content);
			const file = inFolder("disk.vmdk");
			const options = { adapterType: "ide", contentId: await contentId(diskOf(content)) } as const;
			await writeFile(file, flatDescriptor("disk-flat.vmdk", content.length, options));
			await expect(compare(raw, file)).resolves.toMatch(/identical/);
			const { "format-specific": specific } = JSON.parse(
				await run("qemu-img", "info", "-f", "vmdk", "--output=json", file),
			);
			expect(specific.data).toMatchObject({ "create-type": "monolithicFlat", cid: options.contentId });
		});

		it("streamOptimized is compressed, and its level counts", async () => {
			const text = new Uint8Array(4 * MIB).map((_, i) => (i * i) >>> 11);
			const sizes: number[] = [];
			for (const level of [0, 1, 9]) {
				const file = await write(diskOf(text), `level-${level}.vmdk`, { level });
				const raw = inFolder("level.raw");
				await writeFile(raw, text);
				await expect(compare(raw, file)).resolves.toMatch(/identical/);
				const info = JSON.parse(await run("qemu-img", "info", "-f", "vmdk", "--output=json", file));
				expect(info["format-specific"].data).toMatchObject({
					"create-type": "streamOptimized",
					extents: [{ compressed: true, "cluster-size": 64 * KIB }],
				});
				sizes.push((await readFile(file)).length);
			}
			const [stored = 0, fast = 0, best = 0] = sizes;
			expect(stored).toBeGreaterThan(text.length);
			expect(fast).toBeLessThan(stored);
			expect(best).toBeLessThan(fast);
		});

		it("any layout of data and zeros is identical", async () => {
			const runs = fc.array(fc.record({ sectors: fc.integer({ min: 1, max: 5000 }), fill: fc.nat(3) }), {
				minLength: 1,
				maxLength: 30,
			});
			await fc.assert(
				fc.asyncProperty(runs, fc.constantFrom("streamOptimized", "monolithicSparse"), async (runs, variant) => {
					const bytes = new Uint8Array(runs.reduce((sum, { sectors }) => sum + sectors, 0) * 512);
					let at = 0;
					for (const { sectors, fill } of runs) {
						bytes.fill(fill, at, at + sectors * 512);
						at += sectors * 512;
					}
					const raw = inFolder("any.raw");
					await writeFile(raw, bytes);
					expect(await compare(raw, await write(diskOf(bytes), "any.vmdk", { variant }))).toMatch(/identical/);
				}),
				{ numRuns: 15 },
			);
		});
	});
});
