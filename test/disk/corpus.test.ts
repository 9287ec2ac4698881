import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";
import type { FailureKind } from "../../src/bytes/errors.js";
import type { Disk } from "../../src/disk/disk.js";
import { writeRaw } from "../../src/disk/raw/write.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { fileSink, openFileCount, withDisk } from "./support.js";

const GIB = 1024 ** 3;
/** Above this, hashing zeros takes longer than all else: qemu-img compares instead, which knows what is sparse. */
const HASHED = GIB;

interface Row {
	readonly file: string;
	readonly byQemu: boolean;
	/** What the oracle said, as far as it said it. */
	readonly format: string;
	readonly size: number;
	readonly hash: string | undefined;
}

function readRow(line: string): Row {
	const [file = "", , , , , , , what = "", judge = "", result = ""] = line.split("\t");
	return {
		file,
		byQemu: judge.includes("qemu-img") && what !== "OVA/tar",
		format: /format=(\w+)/.exec(result)?.[1] ?? "",
		size: Number(/vsize=(\d+)/.exec(result)?.[1]),
		hash: /raw_sha256=([0-9a-f]{64})/.exec(result)?.[1],
	};
}

const manifest = corpus === undefined ? [] : readFileSync(path.join(corpus, "MANIFEST.tsv"), "utf8").split("\n");
const rows = manifest.slice(1).map(readRow);

/** What must not open, and why; by the end of its path. */
const REFUSED: readonly { readonly file: string; readonly kind: FailureKind; readonly message: RegExp }[] = [
	// Corrupt or hostile: the oracle refuses them as well.
	{ file: "afl9.vmdk.bz2", kind: "damaged", message: /afl9\.vmdk/ },
	{ file: "dfvfs/test_data/image.vhd.gz", kind: "damaged", message: /footer.*checksum/ },
	{ file: "image-differential.vhd.gz", kind: "damaged", message: /footer.*checksum/ },
	{ file: "invalid-qcow-backing-file.img", kind: "damaged", message: /VMDK header/ },
	// The oracle takes 35 bytes of text for a raw disk of one sector.
	{ file: "invalid.qcow2", kind: "unsupported", message: /not a disk image/ },
	{ file: "invalid.vdi", kind: "unsupported", message: /not a disk image/ },
	// Their parents are not in the corpus; of the first, the oracle reads only what the child itself holds.
	{ file: "fat-differential.vhd.gz", kind: "not-found", message: /differencing.*"fat-parent\.vhd"/ },
	{ file: "differencing.avhdx.gz", kind: "not-found", message: /differencing.*"Generation 1_49C4BAF3-.*\.avhdx"/ },
	{ file: "cirros-snapshot1.qcow2.gz", kind: "not-found", message: /cirros\.raw/ },
	{ file: "cirros-snapshot2.qcow2.gz", kind: "not-found", message: /cirros\.raw|cirros-snapshot1/ },
	// Formats that Anyvisor names and does not read.
	{ file: "empty.bochs.bz2", kind: "unsupported", message: /Bochs/ },
	{ file: "simple-pattern.cloop.bz2", kind: "unsupported", message: /cloop/ },
	{ file: "invalid-qcow-large-size.img", kind: "unsupported", message: /version 1/ },
	// The data of a snapshot without its descriptor; the oracle takes it for a raw disk. Read in vmdk-esx.test.ts.
	{ file: "sesparse.vmdk.gz", kind: "refused", message: /snapshot \(seSparse\)/ },
];

const refusalOf = ({ file }: Row) => REFUSED.find((refused) => file.endsWith(refused.file));

const images = rows.filter(({ byQemu }) => byQemu);
const refused = images.flatMap((row) => {
	const refusal = refusalOf(row);
	return refusal === undefined ? [] : [{ ...refusal, file: row.file }];
});
const readable = images.filter((row) => refusalOf(row) === undefined);
const hashed = readable.filter(({ hash, size }) => hash !== undefined && size <= HASHED);
const compared = readable.filter((row) => !hashed.includes(row));
/** Backing files and data files are images of no row of their own. */
const needed = rows.filter((row) => images.includes(row) || row.file.includes("/disk/qcow2/"));

const folder = await temporaryFolder();

/** Unwraps a file beside the others of its folder, under the name that they know it by. */
async function unwrap({ file }: Row): Promise<string> {
	const from = path.join(corpus ?? "", file);
	const home = path.join(folder, path.dirname(file));
	await mkdir(home, { recursive: true });
	const to = path.join(home, path.basename(file).replace(/\.(gz|bz2)$/, ""));
	if (file.endsWith(".bz2")) await run("sh", "-c", `bzip2 -dc "$1" >"$2"`, "sh", from, to);
	else if (file.endsWith(".gz")) await writeFile(to, gunzipSync(await readFile(from)));
	else await copyFile(from, to);
	return to;
}

const ZEROS = new Uint8Array(4 * 1024 * 1024);

async function sha256(disk: Disk): Promise<string> {
	const hash = createHash("sha256");
	const buffer = new Uint8Array(ZEROS.length);
	for await (const { at, length, kind } of disk.extents()) {
		for (let done = 0; done < length; done += buffer.length) {
			const part = (kind === "zero" ? ZEROS : buffer).subarray(0, Math.min(buffer.length, length - done));
			if (kind === "data") await disk.read(at + done, part);
			hash.update(part);
		}
	}
	return hash.digest("hex");
}

describe.skipIf(corpus === undefined || missing("bzip2"))(`the corpus ${corpusReason}${because("bzip2")}`, () => {
	const unwrapped = (file: string) => path.join(folder, file.replace(/\.(gz|bz2)$/, ""));

	beforeAll(async () => {
		for (const row of needed) await unwrap(row);
	}, 60_000);

	for (const { file, kind, message } of refused) {
		it(`${file} is ${kind}`, async () => {
			// The processor's time: a busy machine is not the reader's fault.
			const started = process.cpuUsage();
			await expect(withDisk(unwrapped(file), sha256)).rejects.toMatchObject({
				name: "AnyvisorError",
				kind,
				message: expect.stringMatching(message),
				file: expect.any(String),
			});
			const { user, system } = process.cpuUsage(started);
			expect(user + system).toBeLessThan(1_000_000);
		});
	}

	for (const { file, format, size, hash } of hashed) {
		it(`${file} has the content that its oracle saw`, async () => {
			await withDisk(unwrapped(file), async (disk) => {
				expect(disk.format.split("/")[0]).toBe(format === "vpc" ? "vhd" : format);
				expect(disk.size).toBe(size);
				expect(await sha256(disk)).toBe(hash);
			});
		});
	}

	for (const { file, format, size } of compared) {
		it.skipIf(missing("qemu-img"))(`${file}, above 1 GiB, is what qemu-img reads ${because("qemu-img")}`, async () => {
			const copy = path.join(folder, "copy.raw");
			await withDisk(unwrapped(file), async (disk) => {
				expect(disk.size).toBe(size);
				await using sink = await fileSink(copy);
				const written = await writeRaw(disk, sink, {});
				await sink.commit(written.size);
			});
			const comparison = run("qemu-img", "compare", "-f", format, "-F", "raw", unwrapped(file), copy);
			await expect(comparison).resolves.toContain("identical");
		});
	}

	it("leaves no file open", () => {
		expect(openFileCount()).toBe(0);
	});

	it("has every file that must not open", () => {
		expect(refused).toHaveLength(REFUSED.length);
	});
});
