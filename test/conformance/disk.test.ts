import { createHash } from "node:crypto";
import { open, stat, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { Disk, WriteOptions } from "../../src/disk/disk.js";
import { diskFormat, diskFormats } from "../../src/disk/registry.js";
import { fileSink, listExtents, openFileCount, withDisk } from "../disk/support.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const MIB = 1024 * 1024;
const SIZE = 96 * MIB + 17 * 512;

/**
 * What is written: data that compresses, also by what lies far back, data that does not, a block of zeros among data,
 * and the disk's last sector.
 */
type Kind = "text" | "far" | "noise" | "zero";
const pattern: readonly { readonly at: number; readonly length: number; readonly kind: Kind }[] = [
	{ at: 0, length: 512, kind: "text" },
	{ at: 65536 + 512, length: 300_000, kind: "noise" },
	{ at: 3 * MIB, length: 4 * MIB, kind: "text" },
	{ at: 8 * MIB, length: 2 * MIB, kind: "zero" },
	{ at: 12 * MIB, length: 256 * 1024, kind: "far" },
	{ at: 40 * MIB - 1536, length: 5120, kind: "noise" },
	{ at: SIZE - 512, length: 512, kind: "noise" },
];

function content(kind: Kind, length: number): Uint8Array {
	if (kind === "zero") return new Uint8Array(length);
	// Zlib's window of 4 KiB, which QEMU's own qcow2 writer has, would not reach back to the repetition.
	if (kind === "far") return Buffer.alloc(length, content("noise", 20_000));
	const line = createHash("sha512").update(kind).digest();
	if (kind === "text") return Buffer.alloc(length, line.toString("hex"));
	let state = 0x2545f491;
	return Uint8Array.from({ length }, () => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return state;
	});
}

/** Each format with the variants it writes, and the name under which the judges know it. */
const written: readonly {
	id: string;
	variant: string;
	options?: Pick<WriteOptions, "compression" | "unitSize">;
	judge: string;
}[] = [
	{ id: "raw", variant: "plain", judge: "raw" },
	{ id: "qcow2", variant: "plain", judge: "qcow2" },
	{ id: "qcow2", variant: "compressed", options: { compression: "zlib" }, judge: "qcow2" },
	{ id: "qcow2", variant: "compressed", options: { compression: "zstd" }, judge: "qcow2" },
	{ id: "vmdk", variant: "streamOptimized", judge: "vmdk" },
	{ id: "vmdk", variant: "monolithicSparse", judge: "vmdk" },
	{ id: "vmdk", variant: "monolithicFlat", judge: "vmdk" },
	{ id: "vmdk", variant: "twoGbMaxExtentSparse", judge: "vmdk" },
	{ id: "vmdk", variant: "twoGbMaxExtentFlat", judge: "vmdk" },
	{ id: "vmdk", variant: "vmfs", judge: "vmdk" },
	{ id: "vhd", variant: "dynamic", judge: "vpc" },
	{ id: "vhd", variant: "dynamic", options: { unitSize: MIB / 2 }, judge: "vpc" },
	{ id: "vhd", variant: "fixed", judge: "vpc" },
	{ id: "vhdx", variant: "dynamic", judge: "vhdx" },
	{ id: "vhdx", variant: "dynamic", options: { unitSize: MIB }, judge: "vhdx" },
	{ id: "vhdx", variant: "fixed", judge: "vhdx" },
	{ id: "vdi", variant: "dynamic", judge: "vdi" },
	{ id: "vdi", variant: "static", judge: "vdi" },
];

const ARCHIVERS: Readonly<Record<string, { readonly type: string; readonly unable?: string }>> = {
	raw: { type: "raw", unable: "(skipped: nothing to unpack)" },
	qcow2: { type: "qcow" },
	vmdk: { type: "vmdk" },
	vhd: { type: "vhd" },
	vdi: { type: "vdi" },
	vhdx: { type: "vhdx", unable: "(skipped: 7zz opens no VHDX of a size that is not whole MiB, qemu-img's included)" },
};

/** What qemu-img makes, with the options that change the layout. */
const made: readonly { id: string; judge: string; options: string; compressed?: boolean }[] = [
	{ id: "raw", judge: "raw", options: "" },
	{ id: "qcow2", judge: "qcow2", options: "compat=0.10" },
	{ id: "qcow2", judge: "qcow2", options: "compat=1.1,cluster_size=512" },
	{ id: "qcow2", judge: "qcow2", options: "cluster_size=4096", compressed: true },
	{ id: "qcow2", judge: "qcow2", options: "cluster_size=65536", compressed: true },
	{ id: "qcow2", judge: "qcow2", options: "cluster_size=2097152,compression_type=zstd", compressed: true },
	{ id: "qcow2", judge: "qcow2", options: "preallocation=metadata,refcount_bits=64" },
	{ id: "qcow2", judge: "qcow2", options: "extended_l2=on,refcount_bits=1" },
	{ id: "qcow2", judge: "qcow2", options: "extended_l2=on,compression_type=zstd", compressed: true },
	{ id: "qed", judge: "qed", options: "" },
	{ id: "qed", judge: "qed", options: "cluster_size=4096,table_size=2" },
	{ id: "qed", judge: "qed", options: "cluster_size=1048576,table_size=4" },
	{ id: "vhd", judge: "vpc", options: "subformat=dynamic,force_size=on" },
	{ id: "vhd", judge: "vpc", options: "subformat=fixed,force_size=on" },
	{ id: "vhdx", judge: "vhdx", options: "subformat=dynamic,block_size=1048576" },
	{ id: "vhdx", judge: "vhdx", options: "subformat=fixed" },
	{ id: "vdi", judge: "vdi", options: "" },
	{ id: "vdi", judge: "vdi", options: "static=on" },
	{ id: "parallels", judge: "parallels", options: "" },
	{ id: "parallels", judge: "parallels", options: "cluster_size=65536" },
	{ id: "vmdk", judge: "vmdk", options: "subformat=monolithicSparse" },
	{ id: "vmdk", judge: "vmdk", options: "subformat=streamOptimized" },
	{ id: "vmdk", judge: "vmdk", options: "subformat=monolithicFlat" },
	{ id: "vmdk", judge: "vmdk", options: "subformat=twoGbMaxExtentSparse" },
	{ id: "vmdk", judge: "vmdk", options: "subformat=twoGbMaxExtentFlat" },
	{ id: "vmdk", judge: "vmdk", options: "zeroed_grain=on,adapter_type=buslogic,hwversion=13" },
	{ id: "vmdk", judge: "vmdk", options: "compat6=on,adapter_type=legacyESX,toolsversion=1" },
];

const folder = await temporaryFolder();
const original = path.join(folder, "original.img");
const siblings = (name: string) => fileSink(path.join(folder, name));

beforeAll(async () => {
	const file = await open(original, "w");
	for (const { at, length, kind } of pattern) await file.write(content(kind, length), 0, length, at);
	await file.close();
	await truncate(original, SIZE);
});

/** The extents cover the disk without gaps, and what they call zero holds none of the pattern. */
async function expectSoundExtents(disk: Disk): Promise<void> {
	let next = 0;
	for (const { at, length, kind } of await listExtents(disk)) {
		expect(at).toBe(next);
		expect(length).toBeGreaterThan(0);
		next = at + length;
		const hidden = pattern.filter(
			(run) => kind === "zero" && run.kind !== "zero" && run.at < next && at < run.at + run.length,
		);
		expect(hidden).toEqual([]);
	}
	expect(next).toBe(disk.size);
}

async function expectPattern(disk: Disk): Promise<void> {
	for (const { at, length, kind } of pattern) {
		const bytes = new Uint8Array(length);
		await disk.read(at, bytes);
		expect(Buffer.compare(bytes, content(kind, length)), `${kind} at ${at}`).toBe(0);
	}
	const between = new Uint8Array(MIB).fill(1);
	await disk.read(20 * MIB + 100, between);
	expect(between.every((byte) => byte === 0)).toBe(true);
}

describe("every disk format", () => {
	it("is covered by this suite", () => {
		const writers = diskFormats.filter((format) => format.write !== undefined).map(({ id }) => id);
		expect([...new Set(written.map(({ id }) => id))].sort()).toEqual([...writers].sort());
		// Only macOS makes dmg images; their own test builds some.
		const makeable = diskFormats.map(({ id }) => id).filter((id) => id !== "dmg");
		expect([...new Set(made.map(({ id }) => id))].sort()).toEqual(makeable.sort());
	});

	for (const { id, variant, options = {}, judge } of written) {
		const name = [id, variant, ...Object.values(options)].join(" ");
		const file = path.join(folder, `${name.replaceAll(" ", "-")}${diskFormat(id).extensions[0]}`);

		describe.skipIf(missing("qemu-img"))(`writes ${name} ${because("qemu-img")}`, () => {
			let progress = 0;
			beforeAll(async () => {
				await withDisk(original, async (disk) => {
					await using sink = await fileSink(file);
					const onProgress = (bytes: number) => (progress += bytes);
					const all = { variant, siblings, ...options, onProgress };
					await sink.commit((await diskFormat(id).write?.(disk, sink, all))?.size ?? 0);
				});
			});

			it("that qemu-img finds identical", async () => {
				await expect(run("qemu-img", "compare", "-f", "raw", "-F", judge, original, file)).resolves.toContain(
					"identical",
				);
			});

			it("of the exact size, as qemu-img sees it", async () => {
				const info = JSON.parse(await run("qemu-img", "info", "-f", judge, "--output=json", file));
				expect(info["virtual-size"]).toBe(SIZE);
			});

			it("and reads it back, recognised by content, with sound extents", async () => {
				await withDisk(file, async (disk) => {
					expect(disk.format.split("/")[0]).toBe(id);
					expect(disk.size).toBe(SIZE);
					await expectPattern(disk);
					await expectSoundExtents(disk);
				});
			});

			it("with progress that adds up to the disk's size", () => {
				expect(progress).toBe(SIZE);
			});

			it("that holds no zeros it need not hold", async () => {
				const { blocks } = await stat(file);
				expect(blocks * 512).toBeLessThan(id === "vmdk" || variant === "compressed" ? 8 * MIB : 12 * MIB);
			});

			const checkable = ["qcow2", "vhdx", "vmdk", "vdi"].includes(judge);
			const uncheckable = checkable ? "" : `(skipped: qemu-img check does not support ${judge})`;
			it.skipIf(!checkable)(`that qemu-img check finds clean ${uncheckable}`, async () => {
				await expect(run("qemu-img", "check", "-f", judge, file)).resolves.toMatch(/No errors/);
			});

			const archiver = ARCHIVERS[id];
			const unable = options.compression === "zstd" ? "(skipped: 7zz reads no zstd clusters)" : archiver?.unable;
			it.skipIf(unable !== undefined || missing("7zz"))(
				`that 7zz unpacks to the same bytes ${unable ?? because("7zz")}`,
				async () => {
					const compare = `7zz e -so -t${archiver?.type} "$1" 2>/dev/null | cmp - "$2"`;
					await expect(run("sh", "-c", compare, "sh", file, original)).resolves.toBe("");
				},
			);

			it("and stops when asked to", async () => {
				await withDisk(original, async (disk) => {
					await using sink = await fileSink(path.join(folder, "stopped"));
					const signal = AbortSignal.abort();
					await expect(
						diskFormat(id).write?.(disk, sink, { variant, siblings, ...options, signal }),
					).rejects.toMatchObject({
						kind: "interrupted",
					});
				});
			});
		});

		it(`refuses a variant that ${id} does not have, before ${variant} is written`, async () => {
			await withDisk(original, async (disk) => {
				await using sink = await fileSink(path.join(folder, "refused"));
				await expect(diskFormat(id).write?.(disk, sink, { variant: "no such" })).rejects.toMatchObject({
					kind: "usage",
				});
			});
		});
	}

	describe.skipIf(missing("qemu-img"))(`reads what qemu-img makes ${because("qemu-img")}`, () => {
		for (const { id, judge, options, compressed = false } of made) {
			it(`${id} ${options} ${compressed ? "compressed" : ""}`, async () => {
				const file = path.join(folder, `made-${options.replaceAll(/\W/g, "-")}-${compressed}.${judge}`);
				const flags = [...(options === "" ? [] : ["-o", options]), ...(compressed ? ["-c"] : [])];
				await run("qemu-img", "convert", "-f", "raw", "-O", judge, ...flags, original, file);
				await withDisk(file, async (disk) => {
					expect(disk.format.split("/")[0]).toBe(id);
					expect(disk.size).toBe(SIZE);
					await expectPattern(disk);
					await expectSoundExtents(disk);
				});
			});
		}

		it("of a huge virtual size, at the cost of its data", async () => {
			for (const [judge, size, options] of [
				["qcow2", "8T", ""],
				["qcow2", "32T", "cluster_size=2097152"],
				["vhdx", "8T", ""],
				["vdi", "8T", ""],
				["parallels", "8T", ""],
				["vpc", "2000G", "force_size=on"],
				["vmdk", "2000G", "subformat=monolithicSparse"],
			] as const) {
				const file = path.join(folder, `huge-${size}.${judge}`);
				await run("qemu-img", "create", "-q", "-f", judge, ...(options === "" ? [] : ["-o", options]), file, size);
				const started = process.cpuUsage();
				await withDisk(file, async (disk) => {
					expect(disk.size).toBe(Number.parseInt(size, 10) * 1024 ** (size.endsWith("T") ? 4 : 3));
					expect(await listExtents(disk)).toEqual([{ at: 0, length: disk.size, kind: "zero" }]);
					const far = new Uint8Array(4096).fill(1);
					await disk.read(disk.size - 4096, far);
					expect(far.every((byte) => byte === 0)).toBe(true);
				});
				const { user, system } = process.cpuUsage(started);
				expect((user + system) / 1000, `milliseconds for ${judge} of ${size}`).toBeLessThan(1000);
			}
		});
	});

	it("closes every file that it opened", () => {
		expect(openFileCount()).toBe(0);
	});

	it("opens what a format other than the recognised one is named for", async () => {
		const file = path.join(folder, "named.img");
		await writeFile(file, Buffer.concat([Buffer.from("QFI\xfb\0\0\0\x01", "latin1"), Buffer.alloc(1016)]));
		await expect(withDisk(file, (disk) => Promise.resolve(disk.format))).rejects.toMatchObject({ kind: "unsupported" });
		await expect(withDisk(file, (disk) => Promise.resolve(disk.format), "raw")).resolves.toBe("raw");
	});
});
