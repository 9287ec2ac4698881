import { truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { importersNamed } from "../../src/lint/index.js";
import { lintNamed } from "../../src/linting.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const GIBIBYTE = 2 ** 30;

/** Made by QEMU and tar, and what the clouds' documentation says of them. */
describe.skipIf(missing("qemu-img", "tar", "gzip"))(`a disk for a cloud ${because("qemu-img", "tar", "gzip")}`, () => {
	let folder = "";
	const at = (name: string) => path.join(folder, name);

	async function rulesOf(name: string, asked: string): Promise<readonly string[]> {
		await using linted = await lintNamed(at(name), { importers: importersNamed(asked) });
		return linted.verdicts.flatMap(({ findings }) => findings.map(({ rule }) => rule));
	}

	const convert = (name: string, format: string, options: string, source = "disk.raw") =>
		run("qemu-img", "convert", "-f", "raw", "-O", format, "-o", options, at(source), at(name));

	beforeAll(async () => {
		folder = await temporaryFolder();
		await writeFile(at("disk.raw"), new Uint8Array(4096).fill(1));
		await truncate(at("disk.raw"), GIBIBYTE);
		await writeFile(at("odd.raw"), new Uint8Array(4096).fill(1));
		await truncate(at("odd.raw"), 3 * 2 ** 20 + 512);
		await writeFile(at("whole.raw"), new Uint8Array(3 * 2 ** 20).fill(1));
	});

	test("for Azure is a fixed VHD of whole MiB", async () => {
		await convert("fixed.vhd", "vpc", "subformat=fixed,force_size=on", "odd.raw");
		await convert("whole.vhd", "vpc", "subformat=fixed,force_size=on", "whole.raw");
		await convert("dynamic.vhd", "vpc", "subformat=dynamic,force_size=on");
		expect(await rulesOf("whole.vhd", "azure")).toEqual([]);
		expect(await rulesOf("fixed.vhd", "azure")).toEqual(["azure/size"]);
		expect(await rulesOf("dynamic.vhd", "azure")).toEqual(["azure/fixed-vhd"]);
	});

	test("for AWS is raw, VHD, VHDX or a streamOptimized VMDK", async () => {
		await convert("disk.qcow2", "qcow2", "lazy_refcounts=off");
		await convert("disk.vhdx", "vhdx", "subformat=dynamic");
		await convert("sparse.vmdk", "vmdk", "subformat=monolithicSparse");
		await convert("stream.vmdk", "vmdk", "subformat=streamOptimized");
		for (const name of ["dynamic.vhd", "whole.vhd", "disk.vhdx", "stream.vmdk", "disk.raw"]) {
			expect([name, await rulesOf(name, "aws")]).toEqual([name, []]);
		}
		for (const name of ["disk.qcow2", "sparse.vmdk"]) {
			expect([name, await rulesOf(name, "aws")]).toEqual([name, ["aws/disk-format"]]);
		}
	});

	test("for Google Cloud is disk.raw of whole GiB in an old GNU tar", async () => {
		const pack = (archive: string, format: string, ...names: string[]) =>
			run("tar", `--format=${format}`, format === "oldgnu" ? "-Sczf" : "-czf", at(archive), "-C", folder, ...names);
		await pack("right.tar.gz", "oldgnu", "disk.raw");
		await pack("posix.tar.gz", "ustar", "whole.raw");
		await pack("odd.tar.gz", "oldgnu", "odd.raw");
		expect(await rulesOf("right.tar.gz", "gcp")).toEqual([]);
		expect(await rulesOf("posix.tar.gz", "gcp")).toEqual(["gcp/size", "gcp/disk-raw", "gcp/tar-format"]);
		expect(await rulesOf("odd.tar.gz", "gcp")).toEqual(["gcp/size", "gcp/disk-raw"]);
		expect(await rulesOf("disk.raw", "gcp")).toEqual(["gcp/packed"]);
		expect(await rulesOf("odd.raw", "gcp")).toEqual(["gcp/size", "gcp/packed"]);
	});

	test("of another kind is refused as a whole", async () => {
		expect(await rulesOf("disk.qcow2", "vmware,xenserver")).toEqual(["vmware/kind", "xenserver/kind"]);
	});
});
