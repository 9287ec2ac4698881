import type { GuestTree } from "../../../filesystem/tree.js";
import type { BootEntry, BootLoader } from "../../guest.js";
import { readBlsEntries } from "../grub/bls.js";
import { locateFile } from "../loader-path.js";
import { lines, unquote } from "../text.js";

/** `[name]`, or `:name` for a menu. */
interface Section {
	readonly name: string;
	readonly isMenu: boolean;
	readonly values: Map<string, string>;
}

const config = "/etc/zipl.conf";
const mostSections = 1000;

/**
 * What zipl was told to boot on an IBM Z: sections of its configuration or, where it has none, entry files. What it then
 * wrote to the disk may be older. https://www.ibm.com/docs/en/linux-on-systems?topic=configuration-file-structure
 */
export async function readZipl(tree: GuestTree): Promise<BootLoader | undefined> {
	const text = await tree.readText(config);
	if (text === undefined) return undefined;
	const sections = parseSections(text);
	const own: BootEntry[] = [];
	for (const section of sections) {
		const entry = await sectionEntry(tree, section);
		if (entry) own.push(entry);
	}
	const entries = own.length > 0 ? own : await entryFiles(tree);
	if (entries.length === 0) return undefined;
	const wanted = defaultSection(sections);
	return {
		kind: "zipl",
		config,
		entries,
		default: Math.max(
			0,
			entries.findIndex(({ title }) => title === wanted),
		),
	};
}

function parseSections(text: string): readonly Section[] {
	const sections: Section[] = [];
	for (const raw of lines(text)) {
		const line = raw.replace(/^\s*#.*$/, "").trim();
		const [, name, menu] = /^(?:\[([^\]]*)\]|:(\S+))/.exec(line) ?? [];
		if (name !== undefined || menu !== undefined) {
			if (sections.length >= mostSections) break;
			sections.push({ name: (name ?? menu ?? "").trim(), isMenu: menu !== undefined, values: new Map() });
			// The oldest configurations have the default behind the section's name.
			const [, rest = ""] = /^\[[^\]]*\]\s*(.*)$/.exec(line) ?? [];
			assign(sections.at(-1), rest);
		} else assign(sections.at(-1), line);
	}
	return sections;
}

function assign(section: Section | undefined, line: string) {
	const [, key, value] = /^([\w-]+)\s*=\s*(.*)$/.exec(line) ?? [];
	if (section && key !== undefined) section.values.set(key, unquote(value ?? ""));
}

/** `default=` of the section for that, or the default of the menu that it names: a number of the menu. */
function defaultSection(sections: readonly Section[]): string | undefined {
	const chosen = sections.find(({ name, isMenu }) => !isMenu && name === "defaultboot")?.values;
	const named = chosen?.get("defaultmenu");
	const menu = sections.find(({ name, isMenu }) => isMenu && name === named)?.values;
	return menu ? menu.get(menu.get("default") ?? "1") : chosen?.get("default");
}

async function sectionEntry(tree: GuestTree, { name, isMenu, values }: Section): Promise<BootEntry | undefined> {
	const image = values.get("image");
	if (image === undefined || isMenu) return undefined;
	const parameters = values.get("parmfile");
	const cmdline = [
		parameters === undefined ? "" : ((await tree.readText(withoutAddress(parameters))) ?? ""),
		values.get("parameters") ?? "",
	];
	const ramdisk = values.get("ramdisk");
	return {
		title: name,
		kernel: await resolved(tree, image),
		initrds: ramdisk === undefined ? [] : [await resolved(tree, ramdisk)],
		cmdline: cmdline.join(" ").replace(/\s+/g, " ").trim(),
	};
}

async function entryFiles(tree: GuestTree): Promise<BootEntry[]> {
	const entries: BootEntry[] = [];
	for (const { id, values } of await readBlsEntries(tree)) {
		const [kernel] = values.get("linux") ?? [];
		if (kernel === undefined) continue;
		const initrds: string[] = [];
		for (const path of values.get("initrd") ?? []) initrds.push(await locateFile(tree, path));
		entries.push({
			title: values.get("title")?.[0] ?? id,
			kernel: await locateFile(tree, kernel),
			initrds,
			cmdline: (values.get("options") ?? []).join(" "),
		});
	}
	return entries;
}

/** Files are named as the guest has them, and an address in memory may follow. */
const withoutAddress = (file: string) => file.replace(/,0x[0-9a-f]+$/i, "");

async function resolved(tree: GuestTree, file: string): Promise<string> {
	const path = `/${withoutAddress(file).replace(/^\/+/, "")}`;
	return (await tree.resolve(path))?.guestPath ?? path;
}
