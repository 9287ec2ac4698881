import { codec, recogniseCodec } from "../bytes/codec/index.js";
import { AnyvisorError, damaged, refused } from "../bytes/errors.js";
import type { GuestTree } from "../filesystem/tree.js";
import type { Initramfs, LinuxKernel } from "../guest/guest.js";
import { type CpioEntry, cpio } from "./cpio.js";

/** The loader's indexes: the stale ones of the base archive would hide the new modules. */
const indexes = ["modules.dep.bin", "modules.alias.bin"] as const;

/** Bytes; more than all modules of a distribution's kernel: a module directory that asks for more is not one. */
const limit = 512 * 2 ** 20;

/** The guest's files that the archive for `modules` will hold, and their size in bytes. */
export async function overlayFiles(
	tree: GuestTree,
	kernel: LinuxKernel,
	initramfs: Initramfs,
	modules: Iterable<string>,
) {
	const all = new Set([...displaced(kernel, initramfs), ...modules]);
	const paths = [...Array.from(all, (module) => modulePath(kernel, module)), ...indexes];
	let bytes = 0;
	for (const path of paths) {
		const file = `${kernel.modulesDirectory}/${path}`;
		const stat = await tree.stat(file);
		if (stat?.type !== "file") {
			throw new AnyvisorError("not-found", `The guest has no ${file}`, {
				file,
				hint: "Boot the guest once and run `depmod -a`, or reinstall its kernel package.",
			});
		}
		bytes += stat.size;
	}
	if (bytes > limit) {
		throw refused(`The modules for ${kernel.version} take ${bytes} bytes, more than ${limit}`, {
			file: kernel.modulesDirectory,
		});
	}
	return { paths, bytes };
}

/** Path of a module relative to the modules directory, which it does not leave. */
function modulePath(kernel: LinuxKernel, module: string): string {
	const path = kernel.modules.paths.get(module);
	const file = `${kernel.modulesDirectory}/modules.dep`;
	if (path === undefined) {
		throw new AnyvisorError("not-found", `Kernel ${kernel.version} has no module ${module}`, { file });
	}
	if (path.split("/").some((name) => name === "" || name === "." || name === "..")) {
		throw damaged(`${file} has a module outside its directory: "${path}"`, {
			file,
			hint: "Boot the guest once and run `depmod -a`.",
		});
	}
	return path;
}

/**
 * Modules of the base that the guest's own indexes, once they are added, would no longer lead to: initramfs-tools and
 * mkinitcpio keep modules decompressed and thus under other names than the guest's disk does, mkinitcpio in one folder.
 */
function displaced({ modules: { paths } }: LinuxKernel, { generator, modules }: Initramfs): string[] {
	const there = [...modules].filter((module) => paths.has(module));
	if (generator === "dracut") return [];
	if (generator === "initramfs-tools") return there.filter((module) => !paths.get(module)?.endsWith(".ko"));
	return there;
}

/**
 * The bytes that, appended to `initramfs`, add `modules` to it, ready for the kernel's unpacker.
 *
 * Entries lie below the modules directory only: an entry for `lib` itself would make the unpacker replace the link that
 * merged-/usr images have there by an empty directory.
 */
export async function overlayArchive(
	tree: GuestTree,
	kernel: LinuxKernel,
	initramfs: Initramfs,
	modules: readonly string[],
): Promise<Uint8Array> {
	const { paths } = await overlayFiles(tree, kernel, initramfs, modules);
	const home = `${initramfs.mergedUsr ? "usr/" : ""}lib/modules`;
	const folders = new Set([home]);
	const files: CpioEntry[] = [];
	for (const path of paths) {
		const name = `${home}/${kernel.version}/${path}`;
		for (let end = name.indexOf("/", home.length); end > 0; end = name.indexOf("/", end + 1)) {
			folders.add(name.slice(0, end));
		}
		files.push({ name, contents: await readDecompressed(tree, `${kernel.modulesDirectory}/${path}`) });
	}
	return joinedTo(initramfs, cpio([...Array.from(folders, (name) => ({ name })), ...files]));
}

/**
 * A module's file as the kernel takes it, under whatever name: module loaders tell a compressed one by its first bytes,
 * and the libraries to decompress it may be missing where the generator, too, left none compressed.
 */
async function readDecompressed(tree: GuestTree, path: string): Promise<Uint8Array> {
	const bytes = await tree.readFile(path, limit);
	const compression = recogniseCodec(bytes.subarray(0, 16));
	return compression ? (await compression.decode(bytes, { limit, file: path, offset: 0 })).bytes : bytes;
}

/**
 * Makes `archive` one that the kernel accepts behind `initramfs`: a plain archive has to start at a multiple of 4, and
 * behind lz4 there must be another lz4 frame, at once or after at least four zero bytes. What comes out still fits when
 * something made for the same `initramfs` was appended before it.
 * https://github.com/torvalds/linux/blob/master/init/initramfs.c, unpack_to_rootfs
 * https://github.com/torvalds/linux/blob/master/lib/decompress_unlz4.c, unlz4
 */
async function joinedTo(
	{ size, segments }: Pick<Initramfs, "size" | "segments">,
	archive: Uint8Array,
): Promise<Uint8Array> {
	const last = segments.at(-1);
	const compression = last?.compression ?? "none";
	switch (compression) {
		case "none": {
			const before = -size & 3;
			return padded(before, archive, -before & 3);
		}
		case "lz4-legacy": {
			const zeros = last ? size - last.at - last.length : 0;
			return padded(zeros > 0 && zeros < 4 ? 4 : 0, await codec("lz4-legacy").encode(archive));
		}
		case "zstd":
			return codec("zstd").encode(archive);
		// The kernel's default, which distributions' kernels can read beside their own choice.
		case "gzip":
		case "xz":
		case "bzip2":
			return codec("gzip").encode(archive);
	}
}

function padded(before: number, bytes: Uint8Array, after = 0): Uint8Array {
	const all = new Uint8Array(before + bytes.length + after);
	all.set(bytes, before);
	return all;
}
