import type { GuestTree } from "../../filesystem/tree.js";
import type { BootEntry, BootLoader } from "../guest.js";
import { type BlsEntry, readBlsEntries } from "./grub/bls.js";
import { AskedFiles, largestConfig } from "./grub/files.js";
import { type Menu, type MenuEntry, readGrubMenu } from "./grub/menu.js";
import { locateFile } from "./loader-path.js";

/** A configuration may lead on to others this often, each of which asks for files anew. */
const mostRuns = 10;

/** The boot loader's menu, with paths as the guest has them. */
export async function readBootLoader(tree: GuestTree): Promise<BootLoader> {
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
		if (menu.entries.length > 0) return { kind: "grub2", config: path, ...(await inGuest(tree, menu)) };
	}
	const entries = blsEntries.flatMap(entryOf);
	const menu = { entries, default: entries.length > 0 ? 0 : -1 };
	return { kind: config === "" ? "unknown" : "grub2", config, ...(await inGuest(tree, menu)) };
}

/** An entry file as the Boot Loader Specification has it, which knows no variables. */
function entryOf({ id, values }: BlsEntry): MenuEntry[] {
	const [kernel] = values.get("linux") ?? [];
	if (kernel === undefined) return [];
	const title = values.get("title")?.[0] ?? id;
	const cmdline = (values.get("options") ?? []).join(" ");
	return [{ title, kernel, initrds: values.get("initrd") ?? [], cmdline }];
}

async function configPaths(tree: GuestTree): Promise<readonly string[]> {
	const paths = ["/boot/grub/grub.cfg", "/boot/grub2/grub.cfg"];
	for (const folder of ["/boot/efi/EFI", "/efi/EFI"]) {
		for (const { name } of await tree.listIfExists(folder)) paths.push(`${folder}/${name}/grub.cfg`);
	}
	return paths;
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
