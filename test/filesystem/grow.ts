import { appendFile, mkdir, rename, rm, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { noise } from "./ext-images.js";

/** Changes files in some folders of a mounted file system in a random order that is the same for the same seed. */
export async function grow(root: string, seed: number, steps: number, folders: readonly string[]): Promise<void> {
	const picks = noise(steps * 4, seed);
	const files: string[] = [];
	for (const folder of folders) await mkdir(path.join(root, folder), { recursive: true });
	for (let step = 0; step < steps; step++) {
		const [what = 0, which = 0, size = 0, other = 0] = picks.subarray(step * 4);
		const file = files[which % Math.max(files.length, 1)];
		const fresh = path.join(root, folders[other % folders.length] ?? "", `${"f".repeat(size % 40)}${step}`);
		const bytes = other < 128 ? noise(size * 200, step) : new Uint8Array(size * 300).fill(which);
		if (file === undefined || what < 90) {
			await writeFile(fresh, bytes);
			files.push(fresh);
		} else if (what < 160) await appendFile(file, bytes);
		else if (what < 200) await truncate(file, size * 700);
		else {
			files.splice(files.indexOf(file), 1);
			if (what < 230) await rm(file);
			else {
				await rename(file, fresh);
				files.push(fresh);
			}
		}
	}
}
