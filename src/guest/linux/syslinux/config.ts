import type { GuestTree } from "../../../filesystem/tree.js";
import type { BootEntry, BootLoader } from "../../guest.js";
import { lines } from "../text.js";

/** Far more than menus have: of labels, of included files, and of those inside each other. */
const mostLabels = 1000;
const mostIncludes = 50;
const deepest = 8;
/** Bytes. */
const largestConfig = 2 ** 20;

const folders = ["/boot/extlinux", "/boot/syslinux", "/boot", "/extlinux", "/syslinux", "/boot/efi/EFI/syslinux"];

/** Where extlinux and syslinux look for their configuration, in their order. */
const configPaths: readonly string[] = folders.flatMap((folder) =>
	["extlinux.conf", "syslinux.cfg"].map((name) => `${folder}/${name}`),
);

interface Label {
	readonly name: string;
	title: string;
	/** Empty where it starts something else than Linux. */
	kernel: string;
	/** Undefined: the one for all. */
	append: string | undefined;
	initrds: readonly string[];
	isDefault: boolean;
}

/**
 * The menu of extlinux or syslinux; `undefined` where there is none.
 * https://wiki.syslinux.org/wiki/index.php?title=Config
 */
export async function readSyslinux(tree: GuestTree): Promise<BootLoader | undefined> {
	for (const path of configPaths) {
		if ((await tree.stat(path))?.type !== "file") continue;
		const config = (await tree.resolve(path))?.guestPath ?? path;
		const reader = new Reader(tree, config.replace(/\/[^/]*$/, ""));
		await reader.read(config);
		const menu = await reader.menu();
		if (menu.entries.length > 0) return { kind: "syslinux", config, ...menu };
	}
	return undefined;
}

class Reader {
	readonly #tree: GuestTree;
	/** Paths that do not start with a slash start here. */
	readonly #folder: string;
	readonly #labels: Label[] = [];
	#includesLeft = mostIncludes;
	#append = "";
	#default = "";
	#onTimeout = "";
	#inHelp = false;

	constructor(tree: GuestTree, folder: string) {
		this.#tree = tree;
		this.#folder = folder;
	}

	/** `within` are the files that include this one: none is read inside itself. */
	async read(path: string, within: readonly string[] = []): Promise<void> {
		const open = [...within, path];
		for (const line of lines((await this.#tree.readText(path, largestConfig)) ?? "")) {
			const [, keyword = "", rest = ""] = /^\s*([^\s#]\S*)\s*(.*?)\s*$/.exec(line) ?? [];
			const include = this.#command(keyword.toLowerCase(), rest);
			if (include === undefined || this.#includesLeft-- <= 0 || open.length > deepest) continue;
			const included = await this.#locate(include);
			if (!open.includes(included)) await this.read(included, open);
		}
	}

	async menu(): Promise<Pick<BootLoader, "entries" | "default">> {
		const chosen = this.#chosen();
		const entries: BootEntry[] = [];
		let index = -1;
		for (const label of this.#labels) {
			if (label.kernel === "") continue;
			if (label === chosen) index = entries.length;
			entries.push(await this.#entry(label));
		}
		return { entries, default: index };
	}

	/** What a line says; where it includes another file, that file's name. */
	#command(keyword: string, rest: string): string | undefined {
		const label = this.#labels.at(-1);
		if (this.#inHelp || keyword === "text") {
			this.#inHelp = keyword !== "endtext";
			return undefined;
		}
		switch (keyword) {
			case "include":
				return rest.split(/\s+/)[0];
			case "menu":
				return this.#menuCommand(rest, label);
			case "default":
				this.#default = rest;
				break;
			case "ontimeout":
				this.#onTimeout = rest;
				break;
			case "label":
				if (this.#labels.length < mostLabels) {
					const one = { name: rest, title: rest, kernel: "", append: undefined, initrds: [], isDefault: false };
					this.#labels.push(one);
				}
				break;
			case "kernel":
			case "linux":
				if (label) label.kernel = keyword === "linux" || isLinux(rest) ? rest : "";
				break;
			case "append":
				if (label) label.append = rest === "-" ? "" : rest;
				else this.#append = rest;
				break;
			case "initrd":
				if (label) label.initrds = rest.split(",");
				break;
			default:
		}
		return undefined;
	}

	#menuCommand(text: string, label: Label | undefined): string | undefined {
		const [, command = "", rest = ""] = /^(\S+)\s*(.*)$/.exec(text) ?? [];
		if (command.toLowerCase() === "include") return rest.split(/\s+/)[0];
		if (label && command.toLowerCase() === "label") label.title = rest.replace("^", "");
		if (label && command.toLowerCase() === "default") label.isDefault = true;
		return undefined;
	}

	/** A menu starts what times out, or its own default, or the first label; without a menu DEFAULT is what starts. */
	#chosen(): Label | undefined {
		const named = (name: string) => this.#labels.find((label) => name !== "" && label.name === name.split(/\s+/)[0]);
		const marked = this.#labels.findLast(({ isDefault }) => isDefault);
		const chosen = named(this.#onTimeout) ?? marked ?? named(this.#default);
		if (chosen) return chosen;
		const [, kernel = "", append = ""] = /^(\S+)\s*(.*)$/.exec(this.#default) ?? [];
		if (kernel === "" || !isLinux(kernel)) return this.#labels[0];
		const own: Label = { name: kernel, title: kernel, kernel, append, initrds: [], isDefault: true };
		this.#labels.push(own);
		return own;
	}

	async #entry({ title, kernel, append, initrds }: Label): Promise<BootEntry> {
		const cmdline = append ?? this.#append;
		const appended = /(?:^|\s)initrd=(\S+)/.exec(cmdline)?.[1]?.split(",") ?? [];
		const located: string[] = [];
		for (const path of initrds.length > 0 ? initrds : appended) located.push(await this.#locate(path.trim()));
		return { title, kernel: await this.#locate(kernel), initrds: located, cmdline };
	}

	/** Paths start at the file system of the configuration, or at its folder. */
	async #locate(name: string): Promise<string> {
		const mount = this.#tree.mounts
			.map((one) => one.mount)
			.filter((one) => `${this.#folder}/`.startsWith(one === "/" ? one : `${one}/`))
			.reduce((longest, one) => (one.length > longest.length ? one : longest), "/");
		const candidates = name.startsWith("/") ? [mount + name, name, `/boot${name}`] : [`${this.#folder}/${name}`];
		for (const candidate of candidates) {
			if ((await this.#tree.stat(candidate))?.type !== "file") continue;
			return (await this.#tree.resolve(candidate))?.guestPath ?? candidate;
		}
		return candidates.map((path) => path.replace(/^\/+/, "/"))[0] ?? name;
	}
}

/** KERNEL takes anything that can be started, by the end of its name. */
const isLinux = (file: string) => !/\.(?:c32|com|cbt|0|bin|bs|bss|img|iso)$/i.test(file);
