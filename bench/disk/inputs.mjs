// The disks that are converted. Each is made when it is first asked for, and deleted when its rows are done.
import { randomBytes } from "node:crypto";
import { cp, mkdir, open, readdir, rm, stat } from "node:fs/promises";
import path from "node:path";
import { convertByPeer } from "./kinds.mjs";
import { run } from "./measure.mjs";

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const TiB = 2 ** 40;

/**
 * A file that is made when it is first asked for.
 *
 * @param file its path, or that of a folder
 * @param make makes it
 * @param options `from`: what it is made of, to be kept as long as this may be asked for; `remove`: undoes `make`
 * @returns a function that gives the path, with `drop()` to delete the file
 */
export function lazily(file, make, { from = [], remove = () => rm(file, { force: true }) } = {}) {
	let made;
	const get = () => {
		made ??= make(file).then(() => file);
		return made;
	};
	return Object.assign(get, {
		from,
		async drop() {
			if (made === undefined) return;
			// What was not made to its end is there in part.
			await made.catch(() => undefined);
			made = undefined;
			await remove();
		},
	});
}

/**
 * The project's bootable test guest, and behind its 1 GiB a second file system with 640 MiB of this system's programs,
 * libraries and documents: about what a small server has.
 */
export async function guestDisk(file, { quick }) {
	const image = (await run("node", ["scripts/guest/build.mjs"])).trim();
	await run("cp", ["--sparse=always", image, file]);
	if (quick) return;
	const tree = `${file}.tree`;
	try {
		await gather(["/usr/bin", "/usr/share", "/usr/lib"], tree, 640 * MiB);
		await run("mke2fs", ["-q", "-t", "ext4", "-d", tree, "-E", `offset=${GiB}`, file, "2G"]);
	} finally {
		await rm(tree, { recursive: true, force: true });
	}
}

/** Copies regular files in the order of their names, an equal share of `budget` bytes from each folder. */
async function gather(folders, into, budget) {
	for (const folder of folders) {
		let left = budget / folders.length;
		for await (const { file, size } of regularFiles(folder)) {
			if (size > left) continue;
			left -= size;
			const copy = path.join(into, file);
			await mkdir(path.dirname(copy), { recursive: true });
			await cp(file, copy);
			if (left < MiB) break;
		}
	}
}

async function* regularFiles(folder) {
	const entries = await readdir(folder, { withFileTypes: true });
	for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
		const file = path.join(folder, entry.name);
		if (entry.isDirectory()) yield* regularFiles(file);
		else if (entry.isFile()) yield { file, size: (await stat(file)).size };
	}
}

/** Nothing in it can be compressed. */
export async function randomDisk(file, { quick }) {
	const disk = await open(file, "w");
	for (let i = 0; i < (quick ? 64 : 512); i++) await disk.write(randomBytes(MiB));
	await disk.close();
}

/** The same pieces of 1 MiB on a disk of 4 GiB and on one of 2 TiB, evenly spread: 1 GiB of data each. */
export async function spreadDisks(small, large, { quick }) {
	const four = await open(small, "w");
	const two = await open(large, "w");
	await four.truncate(4 * GiB);
	await two.truncate(2 * TiB);
	const pieces = quick ? 64 : 1024;
	for (let i = 0; i < pieces; i++) {
		const piece = randomBytes(MiB);
		await four.write(piece, 0, MiB, (i * 4 * GiB) / pieces);
		await two.write(piece, 0, MiB, (i * 2 * TiB) / pieces);
	}
	await four.close();
	await two.close();
}

/** Where {@link vastDisk} has data: 1 MiB of the byte 0x5a at each. */
const vastOffsets = Array.from({ length: 64 }, (_, i) => i * TiB);

/** 64 TiB in the named format of qemu-img, with 64 MiB of data. */
export async function vastDisk(file, format) {
	await run("qemu-img", ["create", "-q", "-f", format, file, "64T"]);
	const writes = vastOffsets.flatMap((at) => ["-c", `write -q -P 0x5a ${at} ${MiB}`]);
	await run("qemu-io", ["-f", format, ...writes, file]);
}

/** Looks for errors, and for each piece of {@link vastDisk}'s data: nobody can read 64 TiB. */
export async function verifyVast(file, driver) {
	await run("qemu-img", ["check", "-f", driver, file]);
	const reads = vastOffsets.flatMap((at) => ["-c", `read -P 0x5a ${at} ${MiB}`]);
	const said = await run("qemu-io", ["-r", "-f", driver, ...reads, file]);
	if (/failed/i.test(said)) throw new Error(`the output differs: ${said}`);
}

/**
 * Lays `copies` of a disk one behind the other.
 *
 * @returns how far apart they begin
 */
export async function repeated(disk, file, copies) {
	const { size } = await stat(disk);
	const step = Math.ceil(size / MiB);
	for (let i = 0; i < copies; i++) {
		const place = [`if=${disk}`, `of=${file}`, "bs=1M", `seek=${i * step}`];
		await run("dd", [...place, "conv=notrunc,sparse", "status=none"]);
	}
	await run("truncate", ["-s", String(copies * step * MiB), file]);
	return step * MiB;
}

/** Another kind of image of the same disk. */
export const madeByPeer = (input, from, to, file) =>
	lazily(file, async () => convertByPeer(from, to, await input(), file), { from: [input] });
