import { codec } from "../bytes/codec/index.js";
import { AnyvisorError, refused } from "../bytes/errors.js";
import type { GuestTree } from "../filesystem/tree.js";
import type { Initramfs, LinuxKernel } from "../guest/guest.js";
import { type CpioEntry, cpio } from "./cpio.js";

/** The loader's indexes: the stale ones of the base archive would hide the new modules. */
const indexes = ["modules.dep.bin", "modules.alias.bin"] as const;

/** More than all modules of a distribution kernel; a module directory that asks for more is not one. */
const limit = 512 * 2 ** 20;

/** Path of a kernel module in the guest. */
export function modulePath(kernel: LinuxKernel, module: string): string {
	const relative = kernel.modules.paths.get(module);
	if (relative === undefined) {
		throw new AnyvisorError("not-found", `Kernel ${kernel.version} has no module ${module}`, {
			file: kernel.modulesDirectory,
		});
	}
	return `${kernel.modulesDirectory}/${relative}`;
}

/** The guest's files that the archive for `modules` will hold, and their size in bytes. */
export async function overlayFiles(tree: GuestTree, kernel: LinuxKernel, modules: readonly string[]) {
	const paths = [
		...modules.map((module) => modulePath(kernel, module)),
		...indexes.map((name) => `${kernel.modulesDirectory}/${name}`),
	];
	let bytes = 0;
	for (const path of paths) {
		const stat = await tree.stat(path);
		if (stat?.type !== "file") {
			throw new AnyvisorError("not-found", `The guest has no ${path}`, {
				file: path,
				hint: "Boot the guest once and run `depmod -a`, or reinstall its kernel package.",
			});
		}
		bytes += stat.size;
	}
	if (bytes > limit) throw refused(`The modules for ${kernel.version} take ${bytes} bytes, more than ${limit}`);
	return { paths, bytes };
}

/**
 * The bytes that, appended to `initramfs`, add `modules` to it, ready for the kernel's unpacker.
 *
 * Entries lie below the modules directory only: an entry for `lib` itself would make the unpacker replace the link that
 * merged-/usr images have there by an empty directory. Compressed archives are followed by compressed ones, because a
 * plain archive must start at a multiple of four, and the lz4 unpacker takes no plain data at all after its own.
 * https://github.com/torvalds/linux/blob/master/init/initramfs.c, unpack_to_rootfs
 */
export async function overlayArchive(
	tree: GuestTree,
	kernel: LinuxKernel,
	initramfs: Initramfs,
	modules: readonly string[],
): Promise<Uint8Array> {
	const { paths } = await overlayFiles(tree, kernel, modules);
	const home = `${initramfs.mergedUsr ? "usr/" : ""}lib/modules`;
	const files: CpioEntry[] = [];
	const folders = new Set([home]);
	for (const path of paths) {
		const name = `${home}/${kernel.version}${path.slice(kernel.modulesDirectory.length)}`;
		for (let end = name.indexOf("/", home.length); end > 0; end = name.indexOf("/", end + 1)) {
			folders.add(name.slice(0, end));
		}
		files.push({ name, contents: await tree.readFile(path, limit) });
	}
	const archive = cpio([...[...folders].map((name) => ({ name })), ...files]);
	return compressLike(initramfs, archive);
}

async function compressLike(initramfs: Initramfs, archive: Uint8Array): Promise<Uint8Array> {
	const last = initramfs.segments.at(-1)?.compression ?? "none";
	if (last === "none") {
		const padding = (4 - (initramfs.size % 4)) % 4;
		const padded = new Uint8Array(padding + archive.length);
		padded.set(archive, padding);
		return padded;
	}
	// Every kernel that unpacks the base's format does so because its builder chose that; gzip is the one all have.
	const id = last === "zstd" || last === "lz4-legacy" ? last : "gzip";
	const { encode } = codec(id);
	if (!encode) throw new Error(`the ${id} codec cannot encode`);
	return encode(archive);
}
