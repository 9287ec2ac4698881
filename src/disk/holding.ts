import type { ByteSource } from "../bytes/source.js";
import type { Disk } from "./disk.js";

/**
 * Opens a disk that needs other files. What `open` passes to `hold` is closed together with the disk, after whatever
 * the disk closes itself, or right away when opening fails.
 */
export async function holding(open: (hold: <S extends ByteSource>(file: S) => S) => Promise<Disk>): Promise<Disk> {
	const files: ByteSource[] = [];
	const close = async () => {
		for (const file of files.splice(0).reverse()) await file[Symbol.asyncDispose]?.();
	};
	try {
		const disk = await open((file) => {
			files.push(file);
			return file;
		});
		if (files.length === 0) return disk;
		const closeDisk = disk[Symbol.asyncDispose]?.bind(disk);
		return Object.assign(disk, {
			async [Symbol.asyncDispose]() {
				await closeDisk?.();
				await close();
			},
		});
	} catch (error) {
		await close();
		throw error;
	}
}
