import { createHash } from "node:crypto";
import { copyFile, readFile, stat, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { bytesSource } from "../../src/bytes/source.js";
import { assembleVolumes, readVolumes } from "../../src/volume/index.js";
import { BinaryHeader } from "../../src/volume/luks/layout.js";
import { run } from "../support/tools.js";

process.env["PATH"] += ":/usr/sbin:/sbin";

export const secret = new TextEncoder().encode("correct horse");

/** Costs that take no time. */
export const cheap = ["--pbkdf-force-iterations", "4", "--pbkdf-memory", "32", "--pbkdf-parallel", "2"];
export const pbkdf2 = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];

/** A file with the passphrase. */
export async function secretFile(folder: string): Promise<string> {
	const file = path.join(folder, "secret");
	await writeFile(file, secret);
	return file;
}

/** `image` as cryptsetup itself encrypts it, with a LUKS2 header of 4 MiB at most before it. */
export async function encrypted(image: string, to: string, ...options: readonly string[]): Promise<string> {
	await copyFile(image, to);
	await truncate(to, (await stat(image)).size + (8 << 20));
	const layout = ["--luks2-metadata-size", "16k", "--luks2-keyslots-size", "512k", "--reduce-device-size", "8M"];
	const key = await secretFile(path.dirname(to));
	await run(
		"cryptsetup",
		"reencrypt",
		"-q",
		"--encrypt",
		"--type",
		"luks2",
		...layout,
		"--key-file",
		key,
		...options,
		to,
	);
	return to;
}

/** What the volumes of a disk open into, as the volumes of a VM are opened. */
export async function open(bytes: Uint8Array, ...keys: readonly Uint8Array[]) {
	const [disk] = await readVolumes(bytesSource(bytes, "disk.img"), 512);
	const assembled = await assembleVolumes(disk ? [disk] : [], keys);
	const problem = disk && assembled.problems.get(disk);
	if (problem) throw problem;
	return assembled.volumes;
}

/** The metadata of a LUKS2 header as `change` leaves them, in both copies, with their checksums made right again. */
export function withMetadata(image: Uint8Array, change: (text: string) => string): Uint8Array {
	const copy = image.slice();
	const { hdrSize } = BinaryHeader.parse(copy);
	for (const at of [0, hdrSize]) {
		const area = copy.subarray(at, at + hdrSize);
		const json = area.subarray(BinaryHeader.size);
		const text = new TextDecoder().decode(json.subarray(0, json.indexOf(0)));
		json.fill(0).set(new TextEncoder().encode(change(text)));
		sign(area);
	}
	return copy;
}

function sign(area: Uint8Array): void {
	const { csum } = BinaryHeader.offsets;
	area.fill(0, csum, csum + 64);
	area.set(createHash("sha256").update(area).digest(), csum);
}

export const bytesIn = async (file: string) => new Uint8Array(await readFile(file));
