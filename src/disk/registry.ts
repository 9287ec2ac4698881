import { AnyvisorError, damaged, refused, unsupported } from "../bytes/errors.js";
import type { ByteSource } from "../bytes/source.js";
import { readBytes, readUpTo } from "../bytes/source.js";
import { viewOf } from "../bytes/struct.js";
import type { Disk, DiskFormat, Neighbours, OpenOptions } from "./disk.js";
import { dmg } from "./dmg/index.js";
import { parallels } from "./parallels/index.js";
import { qcow2 } from "./qcow2/index.js";
import { qed } from "./qed/index.js";
import { raw } from "./raw/index.js";
import { vdi } from "./vdi/index.js";
import { vhd } from "./vhd/index.js";
import { vhdx } from "./vhdx/index.js";
import { vmdk } from "./vmdk/index.js";

/** In the order they are asked; raw claims whatever is left. */
export const diskFormats: readonly DiskFormat[] = [qcow2, vmdk, vhdx, vdi, parallels, qed, dmg, vhd, raw];

const SECTOR = 512;

/** The format of this id, or a `usage` error that lists those there are. */
export function diskFormat(id: string): DiskFormat {
	const format = diskFormats.find((format) => format.id === id);
	if (format !== undefined) return format;
	const ids = diskFormats.map((format) => format.id).join(", ");
	throw new AnyvisorError("usage", `there is no disk format "${id}"`, { hint: `Use one of: ${ids}.` });
}

const noFolder = (name: string) =>
	refused(`the image needs a second file, "${name}", but was opened by itself`, {
		file: name,
		hint: "Open the image from the folder that holds both files.",
	});

/** For a source that came without a folder. */
const alone: Neighbours = {
	open: (name) => Promise.reject(noFolder(name)),
	openDisk: (name) => Promise.reject(noFolder(name)),
};

export interface OpenDiskOptions extends OpenOptions {
	/** Overrules what the content says: a {@link DiskFormat} id. */
	readonly format?: string | undefined;
	/** Where backing files, extents and parents are found; without it, a disk that needs one is `refused`. */
	readonly neighbours?: Neighbours | undefined;
}

/**
 * Opens a disk image of any format. Formats are recognised by content, never by name. The disk does not close `source`.
 */
export async function openDisk(
	source: ByteSource,
	{ format, neighbours = alone, snapshot }: OpenDiskOptions = {},
): Promise<Disk> {
	const chosen = format === undefined ? await recognise(source) : diskFormat(format);
	const disk = await chosen.open(source, neighbours, { snapshot });
	if (snapshot === undefined || disk.snapshots !== undefined) return disk;
	await disk[Symbol.asyncDispose]?.();
	throw new AnyvisorError("usage", `${source.name} is a ${chosen.id} image, which has no snapshots inside`, {
		file: source.name,
		hint: "Leave out --snapshot; a snapshot in a file of its own is opened by that file's name.",
	});
}

/** The format whose marks the file bears. What is no disk is a typed error that says what it seems to be. */
export async function recognise(source: ByteSource): Promise<DiskFormat> {
	const file = source.name;
	if (source.size === 0) {
		throw damaged(`${file} is empty`, { file, offset: 0, hint: "Fetch the file again: nothing of it has arrived." });
	}
	const head = await readUpTo(source, 0, 4096);
	const tail = await readBytes(source, Math.max(0, source.size - SECTOR), Math.min(SECTOR, source.size));

	const marked = diskFormats.find((format) => format !== raw && format.matches(head, tail));
	if (marked !== undefined) return marked;
	const { foreignFormat } = await import("./foreign.js");
	const foreign = foreignFormat(file, head);
	if (foreign !== undefined) throw foreign;
	if (source.size % SECTOR === 0) return raw;

	if (head.length > SECTOR && viewOf(head).getUint16(SECTOR - 2) === 0x55aa) {
		throw damaged(`${file} seems to be a raw disk that was cut off: its last sector is not whole`, {
			file,
			offset: source.size - (source.size % SECTOR),
			hint: "Compare its size with the original's and copy it again, or name the format: --format raw.",
		});
	}
	throw unsupported(
		`${file} is not a disk image: it has no known mark, and ${source.size} bytes are not whole sectors`,
		{
			file,
			offset: 0,
			hint: `Name its format with --format (${diskFormats.map((format) => format.id).join(", ")}), or another file.`,
		},
	);
}
