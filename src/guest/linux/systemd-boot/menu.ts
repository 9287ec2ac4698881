import { matchesGlob } from "../../../device/glob.js";
import type { GuestTree } from "../../../filesystem/tree.js";
import type { BootLoader } from "../../guest.js";
import { attempt } from "../attempt.js";
import { lines } from "../text.js";
import { readSystemdBootVersion } from "../uki/uki.js";
import { compareEntries, readEntries, type SortedEntry } from "./entries.js";

/** Where guests mount the ESP and the extended boot loader partition. */
const bases = ["/efi", "/boot/efi", "/boot"];

export interface SystemdMenu extends BootLoader {
	/** The program that the firmware starts by itself, which is what happens on a machine that knows no other, is systemd-boot. */
	readonly isFallback: boolean;
}

/**
 * The menu of systemd-boot: entries of the Boot Loader Specification on the ESP and the extended boot loader partition.
 * Which one was chosen last, and is saved in a variable of the firmware, stays with the firmware.
 * https://www.freedesktop.org/software/systemd/man/latest/loader.conf.html
 */
export async function readSystemdBoot(tree: GuestTree): Promise<SystemdMenu> {
	const entries: SortedEntry[] = [];
	const seen = new Set<string>();
	let config = "";
	let pattern = "";
	const programs: string[] = [];
	for (const base of bases) {
		const place = (await tree.resolve(base))?.guestPath;
		if (place === undefined || seen.has(place)) continue;
		seen.add(place);
		entries.push(...(await readEntries(tree, place)));
		for (const folder of ["systemd", "BOOT"]) {
			for (const { name } of await tree.listIfExists(`${place}/EFI/${folder}`)) {
				const path = `${place}/EFI/${folder}/${name}`;
				if (/\.efi$/i.test(name) && (await isSystemdBoot(tree, path))) programs.push(path);
			}
		}
		const text = config === "" ? await tree.readText(`${place}/loader/loader.conf`) : undefined;
		if (text === undefined) continue;
		config = `${place}/loader/loader.conf`;
		for (const line of lines(text)) pattern = /^\s*default\s+(\S.*?)\s*$/.exec(line)?.[1]?.toLowerCase() ?? pattern;
	}
	const isLoader = programs.length > 0;
	// The loader itself leaves out what is not there.
	const there: SortedEntry[] = [];
	for (const one of entries.sort(compareEntries)) {
		if (!isLoader || !one.entry || (await tree.stat(one.entry.kernel)) !== undefined) there.push(one);
	}
	const linux = there.flatMap(({ entry }) => entry ?? []);
	const named = there.find(({ id }) => matchesGlob(pattern, id) || matchesGlob(pattern, id.replace(/\.[a-z]+$/, "")));
	const chosen = (named ?? there[0])?.entry;
	return {
		kind: isLoader ? "systemd-boot" : "unknown",
		config,
		entries: linux,
		default: chosen ? linux.indexOf(chosen) : -1,
		isFallback: programs.some((path) => /\/BOOT\/BOOT[^/]*\.EFI$/i.test(path)),
	};
}

async function isSystemdBoot(tree: GuestTree, path: string): Promise<boolean> {
	const version = await attempt([], async () => readSystemdBootVersion(await tree.open(path)));
	return version !== undefined;
}
