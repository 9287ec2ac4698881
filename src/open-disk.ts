import { statSync } from "node:fs";
import { AnyvisorError, notFound, refused } from "./bytes/errors.js";
import { type ByteSource, readUpTo } from "./bytes/source.js";
import type { Disk } from "./disk/disk.js";
import { diskLikeness } from "./disk/likeness.js";
import { confinedNeighbours } from "./disk/neighbours.js";
import { openDisk } from "./disk/registry.js";
import { disksBeside } from "./hyperv-folders.js";
import { bearsDiskMark, checkIntegrity, findImages, isPackage, type OpenOptions, type Origin } from "./open.js";
import type { Likeness } from "./source/archive-member.js";
import type { OpenNeighbour } from "./source/confine.js";
import { isContainer } from "./source/container.js";
import { openLocation } from "./source/location.js";
import { folderNeighbours } from "./source/neighbours.js";
import { Spooler } from "./source/spool.js";

export interface NamedOptions extends OpenOptions {
	/** What images may refer to though it lies outside of their folder. */
	readonly allowExternal?: readonly string[] | undefined;
	/** Most bytes in temporary files at a time: what {@link Spooler} takes where left out. */
	readonly spoolLimit?: number | undefined;
}

/** Something a user named; all that it led to is closed with it. */
export interface NamedOrigin extends Required<Origin>, AsyncDisposable {
	/** What was opened so far, by path or URL: the file that was named, and those that it refers to. */
	readonly opened: readonly string[];
}

/** One disk's image. */
export interface NamedImage extends NamedOrigin {
	/** Disk format, where what holds it settles it. */
	readonly format?: string;
}

/** A disk that a user named. */
export interface NamedDisk extends AsyncDisposable {
	readonly disk: Disk;
	readonly origin: NamedOrigin;
}

/**
 * Opens what a user named for {@link openVm}: a file, a folder with one, a URL, or "-" for standard input. An OVA,
 * XVA or VMA stays whole; of another archive, or a compressed file, it is the disk inside.
 */
export const openNamedOrigin = (name: string, options: NamedOptions = {}): Promise<NamedOrigin> =>
	openInside(name, options);

/**
 * Opens the image of the one disk that a user named: itself, or what an archive or a descriptor holds.
 *
 * @throws `refused` where there are several
 */
export async function openNamedImage(name: string, options: NamedOptions = {}): Promise<NamedImage> {
	const origin = await openInside(name, options);
	try {
		const found = await findImages(origin, options);
		const { images } = found;
		const [image] = images;
		if (image === undefined) {
			throw notFound(`${name} describes a machine without a disk`, {
				file: name,
				hint: "Name the disk image itself.",
			});
		}
		if (images.length > 1) {
			throw refused(`${name} has ${images.length} disks, and this is about one`, {
				file: name,
				hint: `Name one of them: ${images.map(({ source }) => source.name).join(", ")}.`,
			});
		}
		await checkIntegrity(found, name, options);
		const { decompress, opened } = origin;
		return { ...image, decompress, opened, [Symbol.asyncDispose]: () => origin[Symbol.asyncDispose]() };
	} catch (error) {
		await origin[Symbol.asyncDispose]();
		throw error;
	}
}

/** Bytes in which archives and compressed files have their marks. */
const HEAD = 512;

/** Looks into archives and compressed files, unless the file itself is meant. */
async function openInside(name: string, options: NamedOptions): Promise<NamedOrigin> {
	const { format, allowExternal: allow } = options;
	// One limit for all that is spooled.
	const spooler = new Spooler({ limit: options.spoolLimit });
	// It is meant as it is.
	if (format === "raw") return openAt(name, spooler, options);
	const file = await openAt(name, spooler, options).catch((error: unknown) => {
		if (error instanceof AnyvisorError && error.kind === "usage") return undefined;
		throw error;
	});
	// What is no file by itself is a member of one.
	if (file === undefined) return openAt(name, spooler, options, await likenessOf(options));
	try {
		// Asked here, because the readers of all archives would be loaded only to say so.
		if ((await isWhole(file.source)) || !isContainer(await readUpTo(file.source, 0, HEAD))) return file;
		const { openContained } = await import("./source/archive.js");
		const contained = await openContained(file.source, {
			likeness: await likenessOf(options),
			isWhole,
			disksOf: disksBeside,
			beside: file.neighbour,
			allow,
			spool: spooler,
		});
		if (contained === undefined) return file;
		return {
			source: contained.source,
			neighbour: contained.neighbour,
			decompress: file.decompress,
			opened: file.opened,
			async [Symbol.asyncDispose]() {
				await contained[Symbol.asyncDispose]();
				await file[Symbol.asyncDispose]();
			},
		};
	} catch (error) {
		await file[Symbol.asyncDispose]();
		throw error;
	}
}

/** Whoever names a format means a disk. */
const likenessOf = async ({ format }: NamedOptions): Promise<Likeness> =>
	format === undefined ? (await import("./descriptor-likeness.js")).vmLikeness : diskLikeness;

/** A disk as itself, or a package, whose descriptor says what its disks are. */
const isWhole = async (source: ByteSource) => (await bearsDiskMark(source)) || isPackage(source);

/** Opens the one disk that a user named, or a snapshot inside of it. */
export async function openNamedDisk(
	name: string,
	{ snapshot, ...options }: NamedOptions & { readonly snapshot?: string | undefined } = {},
): Promise<NamedDisk> {
	const origin = await openNamedImage(name, options);
	try {
		const neighbours = confinedNeighbours(origin.neighbour);
		const disk = await openDisk(origin.source, { format: options.format ?? origin.format, neighbours, snapshot });
		return {
			disk,
			origin,
			async [Symbol.asyncDispose]() {
				await disk[Symbol.asyncDispose]?.();
				await origin[Symbol.asyncDispose]();
			},
		};
	} catch (error) {
		await origin[Symbol.asyncDispose]();
		throw error;
	}
}

async function openAt(
	name: string,
	spooler: Spooler,
	{ allowExternal }: NamedOptions,
	likeness?: Likeness,
): Promise<NamedOrigin> {
	const { file, disks } = isFolder(name) ? await (await import("./named-folder.js")).contentOf(name) : { file: name };
	// Only to ask for standard input makes a stream of it, which costs milliseconds.
	const stdin = file === "-" ? process.stdin : undefined;
	const location = await openLocation(file, { likeness, allow: allowExternal, stdin, spool: spooler });
	const neighbour = disks === undefined ? location.neighbour : either(location.neighbour, folderNeighbours(disks));
	const opened = [file];
	const spooled: ByteSource[] = [];
	return {
		source: location.source,
		neighbour: noting(neighbour, opened),
		async decompress(source, codec) {
			const { decompressed, stemOf } = await import("./source/decompressed.js");
			const content = await spooler.spool(decompressed(source, codec), `${source.name}:${stemOf(source.name)}`);
			spooled.push(content);
			return content;
		},
		opened,
		async [Symbol.asyncDispose]() {
			for (const each of spooled.splice(0)) await each[Symbol.asyncDispose]?.();
			await location[Symbol.asyncDispose]();
		},
	};
}

/** Looks in the second folder for what is not in the first. */
const either = (first: OpenNeighbour, second: OpenNeighbour): OpenNeighbour =>
	Object.assign(
		(name: string) =>
			first(name).catch((error: unknown) => {
				if (error instanceof AnyvisorError && error.kind === "not-found") return second(name);
				throw error;
			}),
		first.elsewhere && { elsewhere: first.elsewhere },
	);

function noting(neighbour: OpenNeighbour, opened: string[]): OpenNeighbour {
	const { elsewhere } = neighbour;
	const noted = async (opening: Promise<ByteSource>) => {
		const source = await opening;
		opened.push(source.name);
		return source;
	};
	return Object.assign((name: string) => noted(neighbour(name)), {
		...(elsewhere && { elsewhere: (path: string, mention: string) => noted(elsewhere(path, mention)) }),
	});
}

function isFolder(name: string): boolean {
	try {
		return statSync(name).isDirectory();
	} catch {
		return false;
	}
}
