import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { readBytes } from "../../src/bytes/source.js";
import { openVm } from "../../src/open.js";
import { openNamedOrigin } from "../../src/open-disk.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { outcome } from "./samples.js";

const SIZE = 3 << 20;
const CHUNK = 100_000;

const descriptor = (file: string) => `<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="rasd">
<References><File ovf:id="f" ${file}/></References>
<DiskSection><Info/><Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="${SIZE}"/></DiskSection>
<VirtualSystem ovf:id="vm"><Info/><VirtualHardwareSection><Info/><Item><rasd:HostResource>ovf:/disk/d</rasd:HostResource>
<rasd:InstanceID>1</rasd:InstanceID><rasd:ResourceType>17</rasd:ResourceType></Item></VirtualHardwareSection></VirtualSystem></Envelope>`;

const tools = ["qemu-img", "gzip", "split", "tar"];

describe.skipIf(missing(...tools))(`the file of a disk ${because(...tools)}`, () => {
	let folder = "";
	let raw: Uint8Array;
	const at = (name: string) => path.join(folder, name);

	beforeAll(async () => {
		folder = await temporaryFolder();
		raw = new Uint8Array(SIZE).map((_, index) => (index >> 9) ^ (index * 31));
		await writeFile(at("disk.raw"), raw);
		await run("qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", at("disk.raw"), at("disk.vmdk"));
		await run("gzip", "-k", at("disk.vmdk"));
		for (const file of ["disk.vmdk", "disk.vmdk.gz", "disk.raw"]) {
			await run("split", "-b", String(CHUNK), "-d", "-a", "9", at(file), at(`${file}.`));
		}
	});

	const sizeOf = async (file: string) => (await readFile(at(file))).length;

	/** Opens the disk that this `<File>` holds: beside the descriptor, or in an archive, or an archive backwards. */
	async function content(file: string, kind: "folder" | "archive" | "reversed"): Promise<Uint8Array> {
		await writeFile(at("vm.ovf"), descriptor(file));
		const files = (await readdir(folder)).filter((name) => name.startsWith("disk.") || name === "vm.ovf").toSorted();
		if (kind === "reversed") files.reverse();
		if (kind !== "folder") await run("tar", "-C", folder, "-cf", at("vm.ova"), ...files);
		await using origin = await openNamedOrigin(at(kind === "folder" ? "vm.ovf" : "vm.ova"));
		const vm = await openVm(origin);
		const [disk] = vm.disks;
		return disk === undefined ? new Uint8Array() : await readBytes(disk, 0, disk.size);
	}

	test.each([
		["compressed", 'ovf:href="disk.vmdk.gz" ovf:compression="gzip"', "disk.vmdk.gz"],
		["compressed, and nobody says so", 'ovf:href="disk.vmdk.gz"', "disk.vmdk.gz"],
		["in chunks", `ovf:href="disk.vmdk" ovf:chunkSize="${CHUNK}"`, "disk.vmdk"],
		["compressed in chunks", `ovf:href="disk.vmdk.gz" ovf:chunkSize="${CHUNK}" ovf:compression="gzip"`, "disk.vmdk.gz"],
	])("is read %s", async (_, attributes, file) => {
		const sized = `${attributes} ovf:size="${await sizeOf(file)}"`;
		const identical = (bytes: Uint8Array) => Buffer.compare(bytes, raw) === 0;
		expect(identical(await content(attributes, "folder"))).toBe(true);
		expect(identical(await content(sized, "archive"))).toBe(true);
		expect(identical(await content(sized, "reversed"))).toBe(true);
	});

	test("that has none is left out of the machine, which says so", async () => {
		const blank = '<Disk ovf:diskId="blank" ovf:capacity="1048576"/></DiskSection>';
		const item = `<Item><rasd:HostResource>ovf:/disk/blank</rasd:HostResource><rasd:InstanceID>2</rasd:InstanceID>
			<rasd:ResourceType>17</rasd:ResourceType></Item></VirtualHardwareSection>`;
		const text = descriptor('ovf:href="disk.vmdk"')
			.replace("</DiskSection>", blank)
			.replace("</VirtualHardwareSection>", item);
		await writeFile(at("vm.ovf"), text);
		await using origin = await openNamedOrigin(at("vm.ovf"));
		const { described, disks } = await openVm(origin);
		expect(disks).toHaveLength(1);
		expect(described?.disks).toMatchObject([{ id: "disk1", file: "disk.vmdk" }]);
		expect(described?.lost).toContain(
			"The disk disk2 is in no file, and is not carried over: add a blank one of 1048576 bytes where it is needed.",
		);
	});

	test("in chunks is read anywhere", async () => {
		await writeFile(at("vm.ovf"), descriptor(`ovf:href="disk.raw" ovf:chunkSize="${CHUNK}"`));
		await using origin = await openNamedOrigin(at("vm.ovf"));
		const [disk] = (await openVm(origin)).disks;
		const range = fc.tuple(fc.integer({ min: 0, max: SIZE }), fc.integer({ min: 0, max: 3 * CHUNK }));
		await fc.assert(
			fc.asyncProperty(range, async ([start, length]) => {
				const end = Math.min(SIZE, start + length);
				const read = disk && (await readBytes(disk, start, end - start));
				expect(Buffer.compare(read ?? new Uint8Array(), raw.subarray(start, end))).toBe(0);
			}),
			{ numRuns: 50 },
		);
	});

	test.each([
		["whose size is another", `ovf:href="disk.raw" ovf:chunkSize="${CHUNK}" ovf:size="${SIZE - 1}"`, "damaged"],
		["that are too few", `ovf:href="disk.raw" ovf:chunkSize="${CHUNK}" ovf:size="${SIZE + CHUNK}"`, "damaged"],
		["of another length", `ovf:href="disk.raw" ovf:chunkSize="${CHUNK + 1}" ovf:size="${SIZE}"`, "damaged"],
		["of no length", 'ovf:href="disk.raw" ovf:chunkSize="0"', "damaged"],
		["of no number", 'ovf:href="disk.raw" ovf:chunkSize="many"', "damaged"],
		["that are not there", 'ovf:href="gone.raw" ovf:chunkSize="512"', "not-found"],
		["outside", 'ovf:href="../x" ovf:chunkSize="512"', "refused"],
		["that are compressed, they say", 'ovf:href="disk.raw" ovf:compression="gzip"', "damaged"],
		["compressed in an unknown way", 'ovf:href="disk.raw" ovf:compression="http://example.org/x"', "unsupported"],
	])("with chunks %s is a typed error", async (_, attributes, kind) => {
		expect(await outcome(content(attributes, "folder"))).toBe(kind);
	});

	test("in more chunks than are opened is refused", async () => {
		const { openContent } = await import("../../src/machine/ovf/files.js");
		const { bytesSource } = await import("../../src/bytes/source.js");
		const reference = { href: "x", chunkSize: 1, size: undefined, compression: undefined };
		const opening = openContent(reference, "vm.ovf", async (name) => bytesSource(new Uint8Array(1), name), undefined);
		await expect(opening).rejects.toMatchObject({ kind: "refused", message: "x has more than 4096 chunks" });
	});

	test("compressed is what a temporary file's limit is for: a cut one is damaged, nothing is left", async () => {
		const whole = await readFile(at("disk.vmdk.gz"));
		await writeFile(at("disk.cut.gz"), whole.subarray(0, whole.length >> 1));
		expect(await outcome(content('ovf:href="disk.cut.gz" ovf:compression="gzip"', "folder"))).toBe("damaged");
		await rm(at("disk.cut.gz"));
	});
});
