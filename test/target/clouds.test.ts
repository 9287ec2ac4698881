import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Disk } from "../../src/disk/disk.js";
import { fileSink } from "../../src/source/sink.js";
import { writeDiskArchive } from "../../src/target/disk-archive.js";
import { label } from "../../src/target/file-name.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "./appliance.js";
import { runScript, valueOf } from "./stand-ins.js";

const root = await temporaryFolder();
const disks = [
	await rawDisk(path.join(root, "a.img"), (5 << 20) + 1536),
	await rawDisk(path.join(root, "b.img"), (21 << 20) + 512, 2),
];
const tiny = [await rawDisk(path.join(root, "tiny.img"), 1024)];
const BASE = "Web-server-No1";
const uefi = { ...machine, firmware: "uefi" as const };
/** Names that a shell, JSON or a cloud would stumble over. */
const hostile = `it's "$(touch pwned)" \`id\`; \\ \n-x`;

const MEBIBYTE = 2 ** 20;
const GIBIBYTE = 2 ** 30;

const compare = (format: string, source: string, file: string) =>
	run("qemu-img", "compare", "-f", "raw", "-F", format, path.join(root, source), file);

describe("Amazon Web Services", () => {
	/** Keeps what is given as file://…, as long as it is there. */
	const cli = (kept: string) =>
		`for word; do case "$word" in file://*) cat "\${word#file://}" >'${kept}' ;; esac; done; echo import-ami-1`;

	test.skipIf(missing("qemu-img"))(`gets streamOptimized VMDKs ${because("qemu-img")}`, async () => {
		const { folder } = await written(root, "aws", "aws", { disks });
		expect((await readdir(folder)).sort()).toEqual(["IMPORT.md", `${BASE}-disk2.vmdk`, `${BASE}.vmdk`, "import.sh"]);
		for (const [source, name] of [
			["a.img", `${BASE}.vmdk`],
			["b.img", `${BASE}-disk2.vmdk`],
		] as const) {
			expect(await compare("vmdk", source, path.join(folder, name))).toContain("Images are identical");
			const info = JSON.parse(await run("qemu-img", "info", "--output=json", path.join(folder, name))) as unknown;
			expect(info).toMatchObject({ "format-specific": { data: { "create-type": "streamOptimized" } } });
		}
	});

	test.each([
		["bios", "legacy-bios"],
		["uefi", "uefi"],
	] as const)("is asked to import a machine that boots by %s as %s, its disks in order", async (firmware, mode) => {
		const { folder } = await written(root, "aws", "aws", { disks, machine: { ...machine, firmware } });
		const kept = path.join(await temporaryFolder(), "containers.json");
		const { calls } = await runScript(path.join(folder, "import.sh"), ["my.bucket-1"], { aws: cli(kept) });
		expect(calls.slice(0, 2)).toEqual([
			["aws", "s3", "cp", `${BASE}.vmdk`, `s3://my.bucket-1/${BASE}.vmdk`],
			["aws", "s3", "cp", `${BASE}-disk2.vmdk`, `s3://my.bucket-1/${BASE}-disk2.vmdk`],
		]);
		const [, , task] = calls;
		expect(task?.slice(0, 3)).toEqual(["aws", "ec2", "import-image"]);
		expect(valueOf(task, "--boot-mode")).toBe(mode);
		expect(valueOf(task, "--architecture")).toBe("x86_64");
		expect(JSON.parse(await readFile(kept, "utf8"))).toEqual(
			[`${BASE}.vmdk`, `${BASE}-disk2.vmdk`].map((file) => ({
				Description: file,
				Format: "VMDK",
				UserBucket: { S3Bucket: "my.bucket-1", S3Key: file },
			})),
		);
	});

	test("gets the machine's name as it is, and no bucket that is none", async () => {
		const { folder } = await written(root, "aws", "aws", { disks, machine: { ...machine, name: hostile } });
		const script = path.join(folder, "import.sh");
		const { calls } = await runScript(script, ["b"], { aws: "echo" });
		expect(valueOf(calls.at(-1), "--description")).toBe(hostile.replaceAll("\n", " "));
		await expect(runScript(script, ['b", "x'], { aws: "echo" })).rejects.toThrow("cannot be the name of a bucket");
		await expect(runScript(script, [], { aws: "echo" })).rejects.toThrow("Usage: sh import.sh BUCKET");
	});

	test("takes 21 disks at most", async () => {
		const many = Array.from({ length: 22 }, () => tiny[0]).flatMap((disk) => disk ?? []);
		const list = many.map((_, index) => ({ id: `disk${index + 1}`, kind: "disk" as const }));
		const writing = written(root, "aws", "aws", { disks: many, machine: { ...machine, disks: list } });
		await expect(writing).rejects.toThrow("at most 21 disks");
	});
});

describe("Azure", () => {
	const tools = { az: 'case "$2" in grant-access) echo "https://sas/?a=b&c" ;; esac', azcopy: ":" };

	test.skipIf(missing("qemu-img"))(
		`gets fixed VHDs of whole MiB, 20 at least, with a footer behind them ${because("qemu-img")}`,
		async () => {
			const { folder } = await written(root, "azure", "azure", { disks });
			const sizes = { [`${BASE}.vhd`]: 20 * MEBIBYTE, [`${BASE}-disk2.vhd`]: 22 * MEBIBYTE };
			for (const [name, size] of Object.entries(sizes)) {
				const file = path.join(folder, name);
				expect((await stat(file)).size).toBe(size + 512);
				const info = JSON.parse(await run("qemu-img", "info", "-f", "vpc", "--output=json", file)) as unknown;
				expect(info).toMatchObject({ "virtual-size": size });
				const footer = (await readFile(file)).subarray(-512);
				expect(footer.subarray(0, 8).toString()).toBe("conectix");
				expect(footer.readUInt32BE(60)).toBe(2);
				expect(Number(footer.readBigUInt64BE(48))).toBe(size);
			}
			// What was added is zero, or the comparison would say so.
			expect(await compare("vpc", "a.img", path.join(folder, `${BASE}.vhd`))).toContain("Images are identical");
			expect(await compare("vpc", "b.img", path.join(folder, `${BASE}-disk2.vhd`))).toContain("Images are identical");
		},
	);

	test.each([
		[machine, "gen1-hyperv-ide", "V1"],
		[uefi, "hyperv-scsi", "V2"],
	] as const)(
		"gets disks as long as they are, and a machine of the right generation: %#",
		async (one, disk, generation) => {
			const attach = { disk, network: "netvsc" };
			const { folder } = await written(root, "azure", "azure", { disks, machine: one, attach });
			const { calls } = await runScript(path.join(folder, "import.sh"), ["my group", "west", "Standard_B2s"], tools);
			expect(calls.map((call) => call.slice(0, 3).join(" "))).toEqual([
				"az disk create",
				"az disk grant-access",
				`azcopy copy ${BASE}.vhd`,
				"az disk revoke-access",
				"az disk create",
				"az disk grant-access",
				`azcopy copy ${BASE}-disk2.vhd`,
				"az disk revoke-access",
				"az vm create",
			]);
			const [system, , upload, , data] = calls;
			for (const [call, name] of [
				[system, `${BASE}.vhd`],
				[data, `${BASE}-disk2.vhd`],
			] as const) {
				expect(Number(valueOf(call, "--upload-size-bytes"))).toBe((await stat(path.join(folder, name))).size);
				expect(valueOf(call, "--resource-group")).toBe("my group");
			}
			expect(valueOf(system, "--hyper-v-generation")).toBe(generation);
			expect(data).not.toContain("--hyper-v-generation");
			expect(upload).toEqual(["azcopy", "copy", `${BASE}.vhd`, "https://sas/?a=b&c", "--blob-type", "PageBlob"]);
			expect(valueOf(calls.at(-1), "--attach-os-disk")).toBe(valueOf(system, "--name"));
			expect(valueOf(calls.at(-1), "--attach-data-disks")).toBe(valueOf(data, "--name"));
		},
	);
});

/** Runs of 1 MiB with 1 MiB of zeros before each. */
function disksWithRuns(runs: number): Disk {
	const size = Math.max(1, runs) * 2 * MEBIBYTE;
	return {
		name: "runs",
		format: "raw",
		size,
		sectorSize: 512,
		read(at, into) {
			for (let i = 0; i < into.length; i += 4096) {
				if (runs > 0 && Math.floor((at + i) / MEBIBYTE) % 2 === 1) into[i] = ((at + i) >>> 12) % 251;
			}
			return Promise.resolve();
		},
		async *extents() {
			yield { at: 0, length: 0, kind: "zero" };
			for (let run = 0; run < runs; run++) {
				yield { at: run * 2 * MEBIBYTE, length: MEBIBYTE, kind: "zero" };
				yield { at: (run * 2 + 1) * MEBIBYTE, length: MEBIBYTE, kind: "data" };
			}
			if (runs === 0) yield { at: 0, length: size, kind: "zero" };
		},
	};
}

describe("Google Cloud", () => {
	test.skipIf(missing("tar", "gzip"))(
		`gets disk.raw of whole GiB in a tar archive of GNU's old format ${because("tar", "gzip")}`,
		async () => {
			const { folder } = await written(root, "gcp", "gcp", { disks });
			for (const [source, name] of [
				["a.img", `${BASE}.tar.gz`],
				["b.img", `${BASE}-disk2.tar.gz`],
			] as const) {
				const archive = path.join(folder, name);
				await run("gzip", "--test", archive);
				expect((await run("tar", "-tvzf", archive)).trim()).toMatch(/ 1073741824 2025-01-01 .* disk\.raw$/);
				const header = gunzipSync(await readFile(archive))
					.subarray(0, 512)
					.toString("latin1");
				expect([header[156], header.slice(257, 265)]).toEqual(["S", "ustar  \0"]);
				const out = await temporaryFolder();
				await run("tar", "-xSzf", archive, "-C", out);
				expect((await stat(path.join(out, "disk.raw"))).size).toBe(GIBIBYTE);
				await run(
					"cmp",
					"-n",
					String((await stat(path.join(root, source))).size),
					path.join(root, source),
					path.join(out, "disk.raw"),
				);
				expect(await compare("raw", source, path.join(out, "disk.raw"))).toContain("Images are identical");
			}
		},
	);

	test.skipIf(missing("tar")).each([0, 1, 4, 26])(
		`gets archives of disks with %i runs of data, holes kept ${because("tar")}`,
		async (runs) => {
			const sparse = disksWithRuns(runs);
			const folder = await temporaryFolder();
			const archive = path.join(folder, "x.tar.gz");
			await using sink = await fileSink(archive);
			await sink.commit(await writeDiskArchive(sparse, "disk.raw", 0, sink, {}));
			await run("tar", "-xzf", archive, "-C", folder);
			const out = await readFile(path.join(folder, "disk.raw"));
			const expected = new Uint8Array(sparse.size);
			await sparse.read(0, expected);
			expect(out.equals(expected)).toBe(true);
			// Nothing but the map and the runs went into it.
			const unpacked = gunzipSync(await readFile(archive)).length;
			expect(unpacked).toBeLessThan(runs * MEBIBYTE + 20_000);
		},
	);

	test("gets archives that are alike each time, whatever the level", async () => {
		const one = await written(root, "gcp", "gcp", { disks }, { level: 1 });
		const other = await written(root, "gcp", "gcp", { disks }, { level: 1 });
		const read = (folder: string) => readFile(path.join(folder, `${BASE}.tar.gz`));
		expect((await read(one.folder)).equals(await read(other.folder))).toBe(true);
	});

	test.each([
		[machine, { disk: "virtio-scsi", network: "virtio-net" }, "VIRTIO_SCSI_MULTIQUEUE"],
		[uefi, { disk: "virtio-scsi", network: "gvnic" }, "UEFI_COMPATIBLE,VIRTIO_SCSI_MULTIQUEUE,GVNIC"],
		[machine, { disk: "nvme", network: "virtio-net" }, undefined],
	] as const)("is told of the guest what it must know: %#", async (one, attach, features) => {
		const { folder } = await written(root, "gcp", "gcp", { disks, machine: one, attach });
		const { calls } = await runScript(path.join(folder, "import.sh"), ["bucket"], { gcloud: ":" });
		const [, image, , data] = calls;
		expect(calls[0]).toEqual(["gcloud", "storage", "cp", `${BASE}.tar.gz`, `gs://bucket/${BASE}.tar.gz`]);
		expect(image?.slice(0, 5)).toEqual(["gcloud", "compute", "images", "create", "web-server-no1"]);
		expect(valueOf(image, "--source-uri")).toBe(`gs://bucket/${BASE}.tar.gz`);
		expect(valueOf(image, "--guest-os-features")).toBe(features);
		expect(data?.[4]).toBe("web-server-no1-disk2");
		expect(valueOf(data, "--guest-os-features")).toBeUndefined();
	});

	test("gets names that it takes, whatever the machine is called", () => {
		fc.assert(
			fc.property(fc.string({ unit: "grapheme" }), (name) => {
				// https://cloud.google.com/compute/docs/naming-resources
				expect(`${label(name)}-disk21`).toMatch(/^[a-z]([-a-z0-9]{0,61}[a-z0-9])$/);
				expect(label(name)).toMatch(/^[a-z]([-a-z0-9]*[a-z0-9])?$/);
			}),
			{ numRuns: 200 },
		);
	});
});
