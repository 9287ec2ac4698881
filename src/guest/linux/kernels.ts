import type { GuestTree } from "../../filesystem/tree.js";
import type { BootEntry, BootLoader, Initramfs, LinuxKernel, ModuleIndex } from "../guest.js";
import { readInitramfs } from "../initramfs/initramfs.js";
import { attempt } from "./attempt.js";
import { builtinBy } from "./kernel-config.js";
import { readKernelRelease } from "./kernel-image.js";
import { moduleName, readModuleIndex } from "./modules.js";
import { words } from "./text.js";
import { openInitrd, readUnifiedKernel } from "./uki/uki.js";
import { compareVersions } from "./version.js";

/** Far more than a guest keeps: of kernels, and of directories that may be one's. */
const mostKernels = 100;
const mostDirectories = 1000;

/**
 * Kernels that have both an image and modules, newest first. What has modules alone, or cannot be read, is told in
 * `problems`.
 */
export async function readKernels(
	tree: GuestTree,
	boot: BootLoader,
	problems: string[],
): Promise<readonly LinuxKernel[]> {
	const directories = await findModuleDirectories(tree);
	const images = new KernelImages(tree, boot);
	const kernels: LinuxKernel[] = [];
	for (const version of [...directories.keys()].sort(compareVersions).reverse().slice(0, mostKernels)) {
		const { directory, modular } = directories.get(version) ?? { directory: "", modular: false };
		const image = await images.find(version, directory);
		if (image === undefined) {
			if (modular) problems.push(`${directory} has the modules of a kernel whose image is nowhere to be found`);
			continue;
		}
		const kernel = await attempt(problems, () => readKernel(tree, boot, version, directory, image));
		if (kernel) kernels.push(kernel);
	}
	if (directories.size > 0) return kernels;
	for (const [release, image] of await images.byRelease()) {
		const kernel = await attempt(problems, () => readMonolithic(tree, boot, release, image));
		const how = kernel ? `/boot/config-${release} tells` : "nothing says";
		problems.push(`${image} is kernel ${release}: it has no modules, and ${how} which drivers are built in`);
		if (kernel) kernels.push(kernel);
	}
	return kernels.sort((a, b) => compareVersions(b.version, a.version));
}

const largestConfiguration = 4 * 2 ** 20;

/** A kernel that has all in it, by the configuration that it was built with; `undefined` where that is not there. */
async function readMonolithic(tree: GuestTree, boot: BootLoader, release: string, image: string) {
	const configuration = await tree.readText(`/boot/config-${release}`, largestConfiguration);
	return configuration === undefined
		? undefined
		: readKernel(tree, boot, release, `/lib/modules/${release}`, image, builtinBy(configuration));
}

interface ModulesDirectory {
	/** Links followed. */
	readonly directory: string;
	/** Without an index of modules there may be a list of what is built in: of a kernel that has no modules at all. */
	readonly modular: boolean;
}

/** By version. A directory with neither is what a removed kernel left behind. */
async function findModuleDirectories(tree: GuestTree): Promise<ReadonlyMap<string, ModulesDirectory>> {
	const found = new Map<string, ModulesDirectory>();
	for (const parent of ["/lib/modules", "/usr/lib/modules"]) {
		for (const { name } of (await tree.listIfExists(parent)).slice(0, mostDirectories)) {
			const place = found.has(name) ? undefined : await tree.resolve(`${parent}/${name}`);
			if (!place) continue;
			const isFile = async (index: string) => (await tree.stat(`${place.guestPath}/${index}`))?.type === "file";
			const modular = (await isFile("modules.dep")) || (await isFile("modules.dep.bin"));
			if (modular || (await isFile("modules.builtin"))) found.set(name, { directory: place.guestPath, modular });
		}
	}
	return found;
}

class KernelImages {
	readonly #tree: GuestTree;
	readonly #boot: BootLoader;
	#byRelease: ReadonlyMap<string, string> | undefined;

	constructor(tree: GuestTree, boot: BootLoader) {
		this.#tree = tree;
		this.#boot = boot;
	}

	/** Path of the image of the kernel `version`, links followed. */
	async find(version: string, directory: string): Promise<string | undefined> {
		const chosen = this.#boot.entries[this.#boot.default];
		if (chosen?.uki?.release === version) return chosen.kernel;
		const named = this.#boot.entries
			.map(({ kernel }) => kernel)
			.filter((path) => path.endsWith(`-${version}`) || path.includes(`/${version}/`));
		const usual = ["vmlinuz", "vmlinux", "Image"].map((name) => `/boot/${name}-${version}`);
		// What the loader starts comes first: systemd-boot's copy on the ESP, not what it was made from.
		for (const path of [...named, ...usual]) {
			if ((await this.#tree.stat(path))?.type === "file") return (await this.#tree.resolve(path))?.guestPath;
		}
		const released = (await this.byRelease()).get(version);
		if (released !== undefined) return released;
		// Where it was installed from; a loader starts the copy in /boot.
		const installed = `${directory}/vmlinuz`;
		const there = (await this.#tree.stat(installed))?.type === "file";
		return there ? (await this.#tree.resolve(installed))?.guestPath : undefined;
	}

	/** Paths of images that say their release. */
	async byRelease(): Promise<ReadonlyMap<string, string>> {
		this.#byRelease ??= await this.#readReleases();
		return this.#byRelease;
	}

	/** Images whose names say nothing, such as Arch's vmlinuz-linux, by what they themselves say. */
	async #readReleases(): Promise<ReadonlyMap<string, string>> {
		const names = (await this.#tree.listIfExists("/boot")).map(({ name }) => name);
		const paths = new Set([
			...this.#boot.entries.map(({ kernel }) => kernel),
			...names.filter((name) => /^(vmlinuz|bzImage|kernel)/.test(name)).map((name) => `/boot/${name}`),
		]);
		const releases = new Map<string, string>();
		for (const path of [...paths].filter((path) => !isRescue(path)).slice(0, mostKernels)) {
			const release = await releaseOf(this.#tree, path);
			if (release !== undefined && !releases.has(release)) {
				releases.set(release, (await this.#tree.resolve(path))?.guestPath ?? path);
			}
		}
		return releases;
	}
}

/** dracut's rescue image is a copy of some kernel under a name without its version. */
const isRescue = (path: string) => path.includes("rescue");

async function readKernel(
	tree: GuestTree,
	boot: BootLoader,
	version: string,
	modulesDirectory: string,
	image: string,
	known?: ModuleIndex,
): Promise<LinuxKernel> {
	const problems: string[] = [];
	const chosen = boot.entries[boot.default];
	const entry = chosen?.kernel === image ? chosen : boot.entries.find(({ kernel }) => kernel === image);
	// Side by side: it is unpacked on another thread.
	const [initramfs, modules] = await Promise.all([
		attempt(problems, async () => {
			const paths = await findInitrds(tree, entry, version, image, problems);
			return openInitramfs(tree, paths, version);
		}),
		known ?? readModuleIndex(tree, modulesDirectory),
	]);
	const others = await attempt(problems, () => findOthers(tree, boot, version, image, initramfs?.path));
	return {
		version,
		image,
		modulesDirectory,
		cmdline: entry?.cmdline ?? "",
		modules,
		...(entry?.uki && { uki: entry.uki }),
		...(initramfs && { initramfs: { ...initramfs, forced: forcedIn(initramfs, entry?.cmdline ?? "") } }),
		...(others?.length && { otherInitramfs: others }),
		problems,
	};
}

/** The parameters whose modules an init loads by name, beside the lists in its initramfs. */
const forcingParameters: Partial<Record<Initramfs["generator"], RegExp>> = {
	/** https://gitlab.alpinelinux.org/alpine/mkinitfs */
	mkinitfs: /^modules=(.*)$/,
	/** https://man7.org/linux/man-pages/man7/dracut.cmdline.7.html */
	dracut: /^rd\.driver\.(?:pre|post)=(.*)$/,
};

function forcedIn({ generator, forced }: Initramfs, cmdline: string): Initramfs["forced"] {
	const parameter = forcingParameters[generator];
	const named = parameter ? words(cmdline).flatMap((word) => parameter.exec(word)?.[1]?.split(",") ?? []) : [];
	return new Set([...forced, ...named.filter((name) => name !== "").map(moduleName)]);
}

/** Reads the initramfs that the files at `paths` make together. */
export async function openInitramfs(tree: GuestTree, paths: readonly string[], version: string) {
	return readInitramfs(
		await Promise.all(paths.map(async (path) => ({ path, source: await openInitrd(tree, path) }))),
		version,
	);
}

async function findOthers(
	tree: GuestTree,
	boot: BootLoader,
	version: string,
	image: string,
	own: string | undefined,
): Promise<LinuxKernel["otherInitramfs"]> {
	const found = new Map<string, { path: string; before: readonly string[] }>();
	for (const { kernel, initrds } of boot.entries) {
		const path = initrds.at(-1);
		if (path === undefined || path === own || path === kernel || found.has(path) || found.size >= mostKernels) continue;
		if (kernel !== image && !(isRescue(kernel) && (await releaseOf(tree, kernel)) === version)) continue;
		const files = await Promise.all(initrds.map(async (name) => (await tree.stat(name))?.type));
		if (files.every((type) => type === "file")) found.set(path, { path, before: initrds.slice(0, -1) });
	}
	return [...found.values()];
}

async function releaseOf(tree: GuestTree, path: string): Promise<string | undefined> {
	if ((await tree.stat(path))?.type !== "file") return undefined;
	const file = await tree.open(path);
	return (await readKernelRelease(file)) ?? (await readUnifiedKernel(file))?.release;
}

/** Paths of what is unpacked before the kernel's first program, links followed. */
async function findInitrds(
	tree: GuestTree,
	entry: BootEntry | undefined,
	version: string,
	image: string,
	problems: string[],
): Promise<readonly string[]> {
	const named: string[] = [];
	for (const path of entry?.initrds ?? []) {
		if ((await tree.stat(path))?.type === "file") named.push(path);
		else problems.push(`${path}, which the boot entry "${entry?.title}" loads, is not there`);
	}
	if (named.length > 0) return named;

	const flavour = image.slice(image.lastIndexOf("/") + 1).replace(/^[^-]*-?/, "");
	const byName = [version, flavour].flatMap((name) => [
		`/boot/initrd.img-${name}`,
		`/boot/initramfs-${name}.img`,
		`/boot/initrd-${name}`,
		`/boot/initramfs-${name}`,
	]);
	for (const path of [...byName, "/boot/initrd.img"]) {
		const place = (await tree.stat(path))?.type === "file" ? await tree.resolve(path) : undefined;
		if (!place) continue;
		// Ubuntu's cloud images first try without it, then with it.
		if (entry) problems.push(`The boot entry "${entry.title}" loads no initramfs; ${place.guestPath} is taken for it`);
		return [place.guestPath];
	}
	return [];
}
