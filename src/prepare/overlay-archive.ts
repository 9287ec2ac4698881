import { codec, recogniseCodec } from "../bytes/codec/index.js";
import { AnyvisorError, damaged, refused } from "../bytes/errors.js";
import type { GuestTree } from "../filesystem/tree.js";
import type { Initramfs, LinuxKernel } from "../guest/guest.js";
import { boosterIndexes } from "./booster-indexes.js";
import { type CpioEntry, cpio } from "./cpio.js";
import { loaderIndexes } from "./loader-indexes.js";

/** Bytes; more than all modules of a distribution's kernel: a module directory that asks for more is not one. */
const limit = 512 * 2 ** 20;

/** A module's file, as it lies in the guest. */
export interface ModuleFile {
	readonly name: string;
	/** Relative to the modules directory. */
	readonly path: string;
	readonly bytes: number;
}

/** The guest's files for modules that an initramfs lacks; what is in it already needs none. */
export async function moduleFiles(
	tree: GuestTree,
	kernel: LinuxKernel,
	initramfs: Initramfs,
	modules: readonly string[],
): Promise<readonly ModuleFile[]> {
	const files: ModuleFile[] = [];
	let total = 0;
	for (const name of new Set(modules)) {
		if (initramfs.modules.has(name)) continue;
		const path = modulePath(kernel, name);
		const file = `${kernel.modulesDirectory}/${path}`;
		const stat = await tree.stat(file);
		if (stat?.type !== "file") {
			throw new AnyvisorError("not-found", `The guest has no ${file}`, {
				file,
				hint: "Boot the guest once and run `depmod -a`, or reinstall its kernel package.",
			});
		}
		total += stat.size;
		if (total > limit) throw tooLarge(kernel);
		files.push({ name, path, bytes: stat.size });
	}
	return files;
}

const tooLarge = ({ version, modulesDirectory }: LinuxKernel) =>
	refused(`The modules for ${version} take more than ${limit} bytes`, { file: modulesDirectory });

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
 * The bytes that, appended to `initramfs`, add `modules` to it, ready for the kernel's unpacker: the files that it lacks,
 * decompressed, since the libraries to do that may be missing where the generator left no module compressed; and indexes
 * of all that will be in it.
 *
 * @param others files that are to be in it as well, below `etc/`
 *
 * Folders lie below the modules directory only: an entry for `lib` itself would make the unpacker replace the link that
 * merged-/usr images have there by an empty directory.
 */
export async function overlayArchive(
	tree: GuestTree,
	kernel: LinuxKernel,
	initramfs: Initramfs,
	modules: readonly string[],
	others: readonly CpioEntry[] = [],
): Promise<Uint8Array> {
	const { generator, modulesDirectory } = initramfs;
	const inside = new Map(initramfs.modules);
	const files: CpioEntry[] = [];
	let left = limit;
	for (const { name, path } of await moduleFiles(tree, kernel, initramfs, modules)) {
		const contents = await readDecompressed(tree, `${kernel.modulesDirectory}/${path}`, left);
		left -= contents.length;
		const plain = generator === "booster" ? `${name}.ko` : path.replace(/(\.ko)\.\w+$/, "$1");
		inside.set(name, plain);
		files.push({ name: `${modulesDirectory}/${plain}`, contents });
	}
	const indexes = generator === "booster" ? boosterIndexes : loaderIndexes;
	files.push(...(await indexes(kernel.modules, inside, initramfs)));
	const archive = cpio([...foldersOf(modulesDirectory, files), ...files, ...withParents(others)]);
	return joinedTo(initramfs, archive, () => configuredFor(tree, kernel));
}

/** The folders that the files below `directory` lie in, and from the one that holds all versions' modules on. */
function foldersOf(directory: string, files: readonly CpioEntry[]): CpioEntry[] {
	const folders = new Set([directory.slice(0, directory.lastIndexOf("/"))]);
	for (const { name } of files.filter((file) => file.name.startsWith(`${directory}/`))) {
		for (let end = directory.length; end > 0; end = name.indexOf("/", end + 1)) folders.add(name.slice(0, end));
	}
	return Array.from(folders, (name) => ({ name }));
}

/** Files with the folders that they lie in; an entry for one that is there changes nothing but its mode. */
function withParents(files: readonly CpioEntry[]): CpioEntry[] {
	const parents = files.flatMap(({ name }) => name.split("/").map((_, i, parts) => parts.slice(0, i).join("/")));
	return [...Array.from(new Set(parents.filter((name) => name !== "")), (name) => ({ name })), ...files];
}

/** A module's file as the kernel takes it. */
async function readDecompressed(tree: GuestTree, path: string, limit: number): Promise<Uint8Array> {
	const bytes = await tree.readFile(path, limit);
	const compression = recogniseCodec(bytes.subarray(0, 16));
	return compression ? (await compression.decode(bytes, { limit, file: path, offset: 0 })).bytes : bytes;
}

/**
 * Makes `archive` one that the kernel accepts behind `initramfs`: a plain archive has to start at a multiple of 4, and
 * behind lz4 there must be another lz4 frame, at once or after at least four zero bytes. What comes out still fits when
 * something made for the same `initramfs` was appended before it. It is compressed in the way that the kernel has shown
 * that it knows, or that `configured` says.
 * https://github.com/torvalds/linux/blob/master/init/initramfs.c, unpack_to_rootfs
 * https://github.com/torvalds/linux/blob/master/lib/decompress_unlz4.c, unlz4
 */
async function joinedTo(
	{ size, segments }: Pick<Initramfs, "size" | "segments">,
	archive: Uint8Array,
	configured: () => Promise<"zstd" | "gzip" | undefined>,
): Promise<Uint8Array> {
	const last = segments.at(-1);
	const compression = last?.compression ?? "none";
	switch (compression) {
		case "lz4-legacy": {
			const zeros = last ? size - last.at - last.length : 0;
			return padded(zeros > 0 && zeros < 4 ? 4 : 0, await codec("lz4-legacy").encode(archive));
		}
		case "zstd":
		case "gzip":
			return codec(compression).encode(archive);
		case "xz":
		case "bzip2":
		case "lzma":
		case "lzop": {
			const other = await configured();
			if (other) return codec(other).encode(archive);
			break;
		}
		case "none":
			break;
	}
	const before = -size & 3;
	return padded(before, archive, -before & 3);
}

const largestConfiguration = 4 * 2 ** 20;

/** What the kernel was built to unpack, of what can be written here. */
async function configuredFor(tree: GuestTree, { version, modulesDirectory }: LinuxKernel) {
	for (const path of [`/boot/config-${version}`, `${modulesDirectory}/config`]) {
		const configuration = await tree.readText(path, largestConfiguration);
		if (configuration === undefined) continue;
		const has = (option: string) => `\n${configuration}`.includes(`\n${option}=y`);
		if (has("CONFIG_RD_ZSTD")) return "zstd";
		if (has("CONFIG_RD_GZIP")) return "gzip";
	}
	return undefined;
}

function padded(before: number, bytes: Uint8Array, after = 0): Uint8Array {
	const all = new Uint8Array(before + bytes.length + after);
	all.set(bytes, before);
	return all;
}
