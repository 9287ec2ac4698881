import { describe, expect, it } from "vitest";
import { type ByteSource, bytesSource } from "../../src/bytes/source.js";
import { confinedNeighbours, diskFormat, diskFormats, openDisk, recognise } from "../../src/disk/index.js";
import { readAll } from "./support.js";

const SECTOR = 512;

/** A file of `size` bytes that begins with `head` and ends with `tail`. */
function file(name: string, size: number, head: Uint8Array = new Uint8Array(), tail: Uint8Array = head): ByteSource {
	const bytes = new Uint8Array(size);
	bytes.set(head);
	bytes.set(tail, size - tail.length);
	return bytesSource(bytes, name);
}

const bytes = (text: string, at = 0) => Buffer.concat([Buffer.alloc(at), Buffer.from(text, "latin1")]);

describe("the registry of disk formats", () => {
	it("has every id once, and raw last", () => {
		const ids = diskFormats.map(({ id }) => id);
		expect(new Set(ids).size).toBe(ids.length);
		expect(ids.at(-1)).toBe("raw");
		expect(ids.map((id) => diskFormat(id).id)).toEqual(ids);
	});

	it("lists what there is to whoever asks for something else", async () => {
		expect(() => diskFormat("qcow3")).toThrow(
			expect.objectContaining({ kind: "usage", hint: expect.stringMatching(/qcow2.*vmdk.*vhdx.*raw/) }),
		);
		await expect(openDisk(file("a", SECTOR), { format: "qcow3" })).rejects.toMatchObject({ kind: "usage" });
	});

	it("recognises by content alone", async () => {
		const known: [string, Uint8Array, Uint8Array?][] = [
			["qcow2", bytes("QFI\xfb\0\0\0\x03")],
			["qed", bytes("QED\0")],
			["vmdk", bytes("KDMV")],
			["vmdk", bytes("# Disk DescriptorFile\nversion=1\n")],
			["vhdx", bytes("vhdxfile")],
			["dmg", new Uint8Array(), Buffer.concat([bytes("koly"), Buffer.alloc(508)])],
			["parallels", bytes("WithoutFreeSpace")],
			["parallels", bytes("WithouFreSpacExt")],
			["parallels", bytes("<?xml version='1.0' encoding='UTF-8'?>\n<Parallels_disk_image Version=\"1.0\">")],
			["vdi", bytes("\x7f\x10\xda\xbe", 64)],
			["vhd", new Uint8Array(), Buffer.concat([bytes("conectix"), Buffer.alloc(504)])],
			["vhd", bytes("conectix"), new Uint8Array()],
			["raw", bytes("\xeb\x63\x90")],
			["raw", new Uint8Array()],
		];
		for (const [id, head, tail] of known) {
			expect((await recognise(file("misleading.vdi", 4 * 4096, head, tail))).id).toBe(id);
		}
	});

	it("names what is no disk, or none that it reads", async () => {
		const foreign: [RegExp, string, Uint8Array, Uint8Array?][] = [
			[/ASIF/, "unsupported", bytes("shdw")],
			[/encrypted \(LUKS\)/, "refused", bytes("LUKS\xba\xbe\0\x02")],
			[/encrypted \(BitLocker\)/, "refused", bytes("-FVE-FS-", 3)],
			[/gzip/, "unsupported", bytes("\x1f\x8b\x08")],
			[/xz/, "unsupported", bytes("\xfd7zXZ\0")],
			[/zstd/, "unsupported", bytes("\x28\xb5\x2f\xfd")],
			[/bzip2/, "unsupported", bytes("BZh91AY&SY")],
			[/tar archive/, "unsupported", bytes("ustar", 257)],
		];
		for (const [message, kind, head, tail] of foreign) {
			const source = file("disk.img", 4 * 4096, head, tail);
			await expect(openDisk(source)).rejects.toMatchObject({
				kind,
				message: expect.stringMatching(message),
				file: "disk.img",
				hint: expect.any(String),
			});
			expect((await openDisk(source, { format: "raw" })).format).toBe("raw");
		}
	});

	it("tells an empty file, one that was cut off, and one that is no disk, apart", async () => {
		const mbr = bytes("\x55\xaa", 510);
		const cases: [string, RegExp, ByteSource][] = [
			["damaged", /is empty/, file("empty", 0)],
			["unsupported", /not a disk image.*11 bytes/, file("small", 11)],
			["damaged", /cut off/, file("cut", 5000, mbr, new Uint8Array())],
			["unsupported", /not a disk image/, file("letter.txt", 5001)],
		];
		for (const [kind, message, source] of cases) {
			await expect(openDisk(source)).rejects.toMatchObject({
				kind,
				message: expect.stringMatching(message),
				hint: expect.any(String),
			});
		}
	});

	it("fills the last sector up when a file of any length is named raw", async () => {
		const disk = await openDisk(bytesSource(new Uint8Array(700).fill(7), "odd"), { format: "raw" });
		expect(disk.size).toBe(1024);
		const content = await readAll(disk);
		expect([content[699], content[700], content[1023]]).toEqual([7, 0, 0]);
	});

	it("opens no second file for a source that came alone", async () => {
		const descriptor = bytes(
			'# Disk DescriptorFile\nversion=1\ncreateType="monolithicFlat"\nRW 8 FLAT "other.vmdk" 0\n',
		);
		await expect(openDisk(bytesSource(descriptor, "alone.vmdk"))).rejects.toMatchObject({
			kind: "refused",
			message: expect.stringContaining("other.vmdk"),
		});
	});
});

describe("confinedNeighbours", () => {
	const opened: string[] = [];
	const neighbours = confinedNeighbours((name) => {
		opened.push(name);
		return Promise.resolve(file(name, SECTOR));
	});

	it("hands on names inside the folder in one spelling", async () => {
		for (const name of ["a.vmdk", "./a.vmdk", "sub/../a.vmdk", "sub\\..\\a.vmdk", ".//a.vmdk"]) {
			await neighbours.open(name);
		}
		expect(new Set(opened)).toEqual(new Set(["a.vmdk"]));
	});

	it("refuses names that leave it", async () => {
		for (const name of ["..", "../a", "a/../../b", "/a", "\\a", "C:\\a", "https://a/b", "nbd:a:1", "", ".", "a\0b"]) {
			const error = await neighbours.open(name).catch((error: unknown) => error);
			expect(error, `of ${name}`).toMatchObject({ kind: "refused", hint: expect.any(String) });
		}
	});

	it("takes a format that it does not have for unsupported, since a file named it and not the user", async () => {
		await expect(neighbours.openDisk("a", "bochs")).rejects.toMatchObject({ kind: "unsupported" });
	});
});
