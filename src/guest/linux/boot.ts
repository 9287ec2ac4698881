import type { GuestTree } from "../../filesystem/tree.js";
import type { BootEntry, BootLoader } from "../guest.js";
import { readBlsEntries } from "./grub/bls.js";
import { AskedFiles, largestConfig } from "./grub/files.js";
import { type Menu, type MenuEntry, readGrubMenu } from "./grub/menu.js";
import { locateFile } from "./loader-path.js";
import { readSyslinux } from "./syslinux/config.js";
import { readUnifiedEntry } from "./systemd-boot/entries.js";
import { readSystemdBoot } from "./systemd-boot/menu.js";
import { readZipl } from "./zipl/config.js";

/** A configuration may lead on to others this often, each of which asks for files anew. */
const mostRuns = 10;

/** The boot loader's menu, with paths as the guest has them. Of several loaders, the one that a new machine starts. */
export async function readBootLoader(tree: GuestTree): Promise<BootLoader> {
	const { isFallback, ...systemdBoot } = await readSystemdBoot(tree);
	if (systemdBoot.kind === "systemd-boot" && isFallback && systemdBoot.entries.length > 0) return systemdBoot;
	// On an IBM Z entry files are there for zipl.
	const zipl = await readZipl(tree);
	if (zipl) return zipl;
	const grub = await readGrub(tree);
	if (grub.entries.length > 0) return grub;
	const syslinux = systemdBoot.kind === "systemd-boot" ? undefined : await readSyslinux(tree);
	return syslinux ?? (systemdBoot.entries.length > 0 || grub.config === "" ? systemdBoot : grub);
}

async function readGrub(tree: GuestTree): Promise<BootLoader> {
	const blsEntries = await readBlsEntries(tree);
	const files = new AskedFiles(tree);
	const runAnew = async (config: string, prefix: string): Promise<Menu> => {
		let menu = readGrubMenu(config, { prefix, files, blsEntries });
		for (let runs = 1; runs < mostRuns && (await files.fetch()); runs++) {
			menu = readGrubMenu(config, { prefix, files, blsEntries });
		}
		return menu;
	};

	let config = "";
	for (const path of await configPaths(tree)) {
		const text = await tree.readText(path, largestConfig);
		if (text === undefined) continue;
		config ||= path;
		const menu = await runAnew(text, path.replace(/\/[^/]*$/, ""));
		const found = { kind: "grub2", config: path, ...(await inGuest(tree, menu)) } as const;
		if (found.entries.length > 0) return found;
	}
	return { kind: "grub2", config, entries: [], default: -1 };
}

async function configPaths(tree: GuestTree): Promise<readonly string[]> {
	const paths = ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"];
	for (const folder of ["/boot/efi/EFI", "/efi/EFI"]) {
		for (const { name } of await tree.listIfExists(folder)) paths.push(`${folder}/${name}/grub.cfg`);
	}
	return paths;
}

async function inGuest(tree: GuestTree, menu: Menu): Promise<Pick<BootLoader, "entries" | "default">> {
	const located: (BootEntry | undefined)[] = [];
	for (const entry of menu.entries) located.push(await locate(tree, entry));
	const chosen = located[menu.default];
	const entries = located.filter((entry) => entry !== undefined);
	return { entries, default: chosen ? entries.indexOf(chosen) : -1 };
}

/** Undefined where a program is started that is no Linux, another system's loader for example. */
async function locate(tree: GuestTree, entry: MenuEntry): Promise<BootEntry | undefined> {
	const { title, kernel, program, initrds, cmdline } = entry;
	if (kernel === "") return readUnifiedEntry(tree, title, await locateFile(tree, program));
	const found: string[] = [];
	for (const path of [kernel, ...initrds]) found.push(await locateFile(tree, path));
	return { title, kernel: found[0] ?? kernel, initrds: found.slice(1), cmdline };
}
