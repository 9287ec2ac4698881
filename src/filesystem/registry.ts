import { type ByteSource, readUpTo } from "../bytes/source.js";
import type { Filesystem, FilesystemFormat } from "./filesystem.js";

/** A format whose code is loaded only for a volume that has one of its marks: text of one byte per character, at `at`. */
function marked(
	id: string,
	at: number,
	marks: readonly [string, ...string[]],
	load: () => Promise<FilesystemFormat>,
): FilesystemFormat {
	return {
		id,
		async open(volume, beside) {
			const found = String.fromCharCode(...(await readUpTo(volume, at, marks[0].length)));
			return marks.includes(found) ? (await load()).open(volume, beside) : undefined;
		},
	};
}

/** Every file system that can be read, in the order in which a volume is tried. */
export const filesystems: readonly FilesystemFormat[] = [
	marked("ext", 1080, ["\x53\xef"], async () => (await import("./ext/index.js")).ext),
	marked("xfs", 0, ["XFSB"], async () => (await import("./xfs/index.js")).xfs),
	marked("btrfs", 65600, ["_BHRfS_M"], async () => (await import("./btrfs/index.js")).btrfs),
	marked("ntfs", 3, ["NTFS    "], async () => (await import("./ntfs/index.js")).ntfs),
	marked("exfat", 3, ["EXFAT   "], async () => (await import("./exfat/index.js")).exfat),
	marked("fat", 510, ["\x55\xaa"], async () => (await import("./fat/index.js")).fat),
	// Descriptors of UDF may come before its own.
	marked("iso9660", 32769, ["CD001", "BEA01", "NSR02", "NSR03", "TEA01", "BOOT2"], async () => {
		return (await import("./iso9660/index.js")).iso9660;
	}),
];

/** The file system on `volume`, and perhaps on others `beside` it; `undefined` when it is none that can be read. */
export async function openFilesystem(
	volume: ByteSource,
	beside: readonly ByteSource[] = [],
): Promise<Filesystem | undefined> {
	for (const format of filesystems) {
		const filesystem = await format.open(volume, beside);
		if (filesystem) return filesystem;
	}
	return undefined;
}

export { type Recognised, recogniseUnsupported } from "./unsupported.js";
