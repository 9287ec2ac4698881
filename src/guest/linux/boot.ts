import type { GuestTree } from "../../filesystem/tree.js";
import type { BootEntry, BootLoader } from "../guest.js";
import { readBlsEntries } from "./grub/bls.js";
import { parseGrubEnvironment } from "./grub/environment.js";
import { type Menu, type MenuEntry, readGrubMenu } from "./grub/menu.js";

const largestConfig = 4 * 2 ** 20;

/** The boot loader's menu, with paths as the guest has them. */
export async function readBootLoader(tree: GuestTree): Promise<BootLoader> {
	const blsEntries = await readBlsEntries(tree);
	let config = "";
	for (const path of await configPaths(tree)) {
		const text = await tree.readText(path, largestConfig);
		if (text === undefined) continue;
		config ||= path;
		const menu = readGrubMenu(text, await readEnvironment(tree, path), blsEntries);
		// The one on an ESP often only leads on to the real one.
		if (menu.entries.length > 0) return { kind: "grub2", config: path, ...(await inGuest(tree, menu)) };
	}
	const menu = readGrubMenu("blscfg", new Map(), blsEntries);
	return { kind: config === "" ? "unknown" : "grub2", config, ...(await inGuest(tree, menu)) };
}

async function configPaths(tree: GuestTree): Promise<readonly string[]> {
	const paths = ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"];
	for (const folder of ["/boot/efi/EFI", "/efi/EFI"]) {
		for (const { name } of await tree.listIfExists(folder)) paths.push(`${folder}/${name}/grub.cfg`);
	}
	return paths;
}

async function readEnvironment(tree: GuestTree, config: string): Promise<ReadonlyMap<string, string>> {
	const beside = config.replace(/[^/]*$/, "grubenv");
	for (const path of [beside, "/boot/grub2/grubenv", "/boot/grub/grubenv"]) {
		const text = await tree.readText(path);
		if (text !== undefined) return parseGrubEnvironment(text);
	}
	return new Map();
}

async function inGuest(tree: GuestTree, menu: Menu): Promise<Pick<BootLoader, "entries" | "default">> {
	const entries: BootEntry[] = [];
	for (const entry of menu.entries) entries.push(await locate(tree, entry));
	return { entries, default: menu.default };
}

async function locate(tree: GuestTree, { title, kernel, initrds, cmdline }: MenuEntry): Promise<BootEntry> {
	const found: string[] = [];
	for (const path of [kernel, ...initrds]) found.push(await locateFile(tree, path));
	return { title, kernel: found[0] ?? kernel, initrds: found.slice(1), cmdline };
}

/**
 * The loader's paths start at the file system it reads: the root, the boot partition (which the guest has at /boot), or
 * a btrfs volume whose first directories are subvolumes.
 */
async function locateFile(tree: GuestTree, loaderPath: string): Promise<string> {
	const path = `/${loaderPath.replace(/^\([^)]*\)/, "").replace(/^\/+/, "")}`;
	const bootIsMounted = tree.mounts.some(({ mount }) => mount === "/boot");
	const inBoot = `/boot${path}`;
	const belowSubvolume = path.replace(/^\/[^/]+/, "");
	const whole = bootIsMounted ? [inBoot, path] : [path, inBoot];
	const candidates = belowSubvolume === "" ? whole : [...whole, belowSubvolume, `/boot${belowSubvolume}`];
	for (const candidate of candidates) {
		if ((await tree.stat(candidate))?.type !== "file") continue;
		return (await tree.resolve(candidate))?.guestPath ?? candidate;
	}
	return candidates[0] ?? path;
}
