import { copyFile, open, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import type { ByteSink } from "../../src/bytes/sink.js";
import type { Disk } from "../../src/disk/disk.js";
import { qcow2 } from "../../src/disk/qcow2/index.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { fileSink, listExtents, openFileCount, readAll, withDisk } from "./support.js";

const MIB = 1024 * 1024;
const folder = await temporaryFolder();
const at = (name: string) => path.join(folder, name);

const read = (name: string) => withDisk(at(name), readAll);

/** The bytes as qemu-img sees them, which is what counts. */
async function judged(name: string): Promise<Uint8Array> {
	// Inside the folder: QEMU takes the name of an external data file relative to where it runs.
	await run("sh", "-c", `cd "$1" && qemu-img convert -f qcow2 -O raw "$2" judged.raw`, "sh", folder, name);
	return withDisk(at("judged.raw"), readAll, "raw");
}

/** Overwrites bytes of a copy of an image. */
async function patched(from: string, to: string, offset: number, bytes: readonly number[]): Promise<void> {
	await copyFile(at(from), at(to));
	const file = await open(at(to), "r+");
	await file.write(Uint8Array.from(bytes), 0, bytes.length, offset);
	await file.close();
}

describe.skipIf(missing("qemu-img", "qemu-io"))(`qcow2 ${because("qemu-img", "qemu-io")}`, () => {
	it("reads through backing files of any format, of which the smaller ones end in zeros", async () => {
		await run("sh", "-c", `head -c ${3 * MIB} /dev/urandom >"$1"`, "sh", at("base.raw"));
		await run("qemu-img", "convert", "-f", "raw", "-O", "vpc", "-o", "force_size=on", at("base.raw"), at("base.vhd"));
		const backings = [
			["raw", "base.raw"],
			["vpc", "base.vhd"],
		];
		for (const [format = "", base = ""] of backings) {
			await run("qemu-img", "create", "-q", "-f", "qcow2", "-F", format, "-b", base, at(`middle-${format}`), "5M");
			await run("qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 100k", "-c", "write -z 2M 128k", at(`middle-${format}`));
			await run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", `middle-${format}`, at("top"), "8M");
			await run("qemu-io", "-f", "qcow2", "-c", "write -P 9 4608k 10k", "-c", "write -P 3 7M 512", at("top"));
			expect(Buffer.compare(await read("top"), await judged("top"))).toBe(0);
			const extents = await withDisk(at("top"), listExtents);
			expect(extents.at(-1)).toMatchObject({ kind: "zero" });
			expect(extents.filter(({ kind }) => kind === "data").reduce((all, { length }) => all + length, 0)).toBe(
				3 * MIB - 128 * 1024 + 2 * 65536,
			);
		}
	});

	it("recognises a backing file whose format the image does not name", async () => {
		await run("qemu-img", "create", "-q", "-f", "qcow2", at("unnamed-base"), "1M");
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 5 0 64k", at("unnamed-base"));
		await run(
			"qemu-img",
			"create",
			"-q",
			"-f",
			"qcow2",
			"-u",
			"-F",
			"qcow2",
			"-b",
			"unnamed-base",
			at("unnamed"),
			"1M",
		);
		// The header extension behind the header turns into one that nobody knows.
		await patched("unnamed", "unnamed-format", 112, [1, 1, 1, 1]);
		expect((await read("unnamed-format")).subarray(0, 65536).every((byte) => byte === 5)).toBe(true);
	});

	it("reads an external data file", async () => {
		const options = `data_file=${at("external.raw")},data_file_raw=on`;
		await run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, at("external"), "4M");
		// Stored as it was given, an absolute name; what leaves its folder is refused.
		await expect(read("external")).rejects.toMatchObject({ kind: "refused" });
		await run("sh", "-c", `cd "$1" && qemu-img amend -f qcow2 -o data_file=external.raw external`, "sh", folder);
		await run("sh", "-c", `cd "$1" && qemu-io -f qcow2 -c "write -P 6 0 1M" external`, "sh", folder);
		expect(Buffer.compare(await read("external"), await judged("external"))).toBe(0);
	});

	it("reads partially written clusters and what a snapshot left behind as QEMU does", async () => {
		await run("qemu-img", "create", "-q", "-f", "qcow2", at("partial"), String(3 * MIB + 512 * 3));
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 4k", "-c", "write -P 2 3M 1536", at("partial"));
		await run("qemu-img", "snapshot", "-c", "before", at("partial"));
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 3 4k 4k", "-c", "discard 3M 1536", at("partial"));
		expect(Buffer.compare(await read("partial"), await judged("partial"))).toBe(0);
	});

	it("reads an image that was not closed", async () => {
		await run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "lazy_refcounts=on", at("dirty"), "1M");
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 4 0 1M", at("dirty"));
		await patched("dirty", "dirty-bit", 79, [1]);
		expect((await read("dirty-bit")).every((byte) => byte === 4)).toBe(true);
	});

	it("says what it cannot read, where it says so, and what to do", async () => {
		await run("qemu-img", "create", "-q", "-f", "qcow2", at("plain"), "1M");
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 4 0 1M", at("plain"));
		await patched("plain", "luks", 35, [2]);
		await patched("plain", "version4", 7, [4]);
		await patched("plain", "corrupt", 79, [2]);
		await patched("plain", "future", 78, [1]);
		await patched("plain", "l1-short", 36, [0, 0, 0, 0]);
		await patched("plain", "l1-far", 40, [0, 0, 1, 0, 0, 0, 0, 0]);
		await patched("plain", "cluster-bits", 23, [40]);
		await copyFile(at("plain"), at("cut"));
		await truncate(at("cut"), 400 * 1024);
		await copyFile(at("plain"), at("cut-short"));
		await truncate(at("cut-short"), 90);

		const cases = [
			["luks", "refused", /encrypted \(LUKS\)/, 32],
			["version4", "unsupported", /version 4/, 4],
			["corrupt", "damaged", /corrupt/, 72],
			["future", "unsupported", /bits 0x100/, 72],
			["l1-short", "damaged", /L1 table has 0 entries/, 36],
			["l1-far", "damaged", /ends at byte/, 2 ** 40],
			["cluster-bits", "damaged", /2\^40/, 20],
			["cut", "damaged", /ends at byte 409600.*truncated/, 327680],
			["cut-short", "damaged", /truncated|ends/, expect.any(Number)],
		] as const;
		for (const [name, kind, message, offset] of cases) {
			const error = await read(name).catch((error: unknown) => error);
			expect(error, `of ${name}`).toMatchObject({
				kind,
				message: expect.stringMatching(message),
				offset,
				file: at(name),
				hint: expect.any(String),
			});
		}
	});

	it("goes no more than ten images deep, and round no circle", async () => {
		await writeFile(at("link-0"), new Uint8Array(MIB).fill(8));
		for (let i = 1; i <= 12; i++) {
			const format = i === 1 ? "raw" : "qcow2";
			await run(
				"qemu-img",
				"create",
				"-q",
				"-u",
				"-f",
				"qcow2",
				"-F",
				format,
				"-b",
				`link-${i - 1}`,
				at(`link-${i}`),
				"1M",
			);
		}
		expect((await read("link-10")).every((byte) => byte === 8)).toBe(true);
		await expect(read("link-11")).rejects.toMatchObject({ kind: "refused", message: expect.stringContaining("10") });
		await run("qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", "link-2", at("link-1"));
		await expect(read("link-2")).rejects.toMatchObject({ kind: "refused", hint: expect.stringContaining("circle") });
	});

	it("follows no name out of its folder, and no URL", async () => {
		for (const name of ["../outside", "/etc/passwd", "sub/../../outside", "nbd://localhost", 'json:{"driver":"raw"}']) {
			await run("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", name, at("leaving"), "1M");
			const error = await read("leaving").catch((error: unknown) => error);
			expect(error, `of ${name}`).toMatchObject({ kind: "refused", hint: expect.any(String) });
		}
		await run("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "bochs", "-b", "x", at("leaving"), "1M");
		await expect(read("leaving")).rejects.toMatchObject({ kind: "unsupported" });
	});

	it("counts references right in a file of several refcount blocks", async () => {
		const size = 2.5 * 1024 ** 3;
		const full: Disk = {
			name: "full",
			size,
			format: "raw",
			sectorSize: 512,
			read(_, into) {
				for (let i = 0; i < into.length; i += 65536) into[i] = 1;
				return Promise.resolve();
			},
			async *extents() {
				yield { at: 0, length: size, kind: "data" };
			},
		};
		await using file = await fileSink(at("large"));
		// The judge looks at tables only, so the data need not be stored.
		const sink: ByteSink = {
			...file,
			write: (offset, bytes) => (bytes[0] === 1 ? Promise.resolve() : file.write(offset, bytes)),
		};
		const written = await qcow2.write?.(full, sink, {});
		await file.commit(written?.size ?? 0);
		await expect(run("qemu-img", "check", "-f", "qcow2", at("large"))).resolves.toMatch(/No errors.*40960\/40960/s);
	});

	it("closes every file that it opened", () => {
		expect(openFileCount()).toBe(0);
	});
});
