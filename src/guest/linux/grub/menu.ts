import type { BlsEntry } from "./bls.js";
import { Environment, parseGrubEnvironment } from "./environment.js";
import type { GrubFiles } from "./files.js";
import { parseGrubScript, type Statement } from "./script.js";
import { test } from "./test.js";

/** Paths as GRUB has them: relative to the file system that it booted from. */
export interface MenuEntry {
	readonly title: string;
	/** Empty where the entry does not load a kernel. */
	readonly kernel: string;
	/** The EFI program that the entry starts instead; empty where it starts none. */
	readonly program: string;
	readonly initrds: readonly string[];
	readonly cmdline: string;
}

export interface Menu {
	/** Those that load a kernel or start a program, submenus flattened, in GRUB's order. */
	readonly entries: readonly MenuEntry[];
	/** Index of the one that GRUB boots by itself; -1 where that is none of them. */
	readonly default: number;
}

/** What a configuration is run with. */
export interface GrubContext {
	/** The folder of the configuration. */
	readonly prefix: string;
	readonly files: GrubFiles;
	/** In blscfg's order. */
	readonly blsEntries: readonly BlsEntry[];
}

interface Item extends MenuEntry {
	readonly id: string;
	/** Of a submenu. */
	readonly items?: readonly Item[];
}

/** More entries than anyone scrolls through; a crafted menu ends here. */
const mostEntries = 1000;
/** Configurations that lead on to others, themselves for example. */
const mostSources = 50;
/** More statements than a menu has; a configuration that is read again and again ends here. */
const mostStatements = 1_000_000;

/** What GRUB itself sets before it reads its configuration, as far as distributions ask for it. */
const builtin: readonly (readonly [string, string])[] = [
	["grub_platform", "pc"],
	["grub_cpu", "i386"],
	["root", "hd0,1"],
	...["menuentry_id", "menuentry_options", "timeout_style", "default_font_path", "platform_search_hint"].map(
		(name) => [`feature_${name}`, "y"] as const,
	),
	...["all_video_module", "chainloader_bpb", "ntldr", "nativedisk_cmd", "200_final"].map(
		(name) => [`feature_${name}`, "y"] as const,
	),
];

/**
 * Runs a GRUB configuration as far as its menu depends on it: variables, `if` with `test`, `load_env`, `source`,
 * `configfile`, `blscfg`, entries and submenus. Unknown commands succeed and do nothing.
 */
export function readGrubMenu(config: string, context: GrubContext): Menu {
	const run = new Run(context);
	return run.menu(config);
}

/** What the body of an entry loads. */
interface Loaded {
	kernel: string;
	program: string;
	cmdline: string;
	initrds: string[];
}

class Run {
	readonly #context: GrubContext;
	#environment: Environment;
	#entriesLeft = mostEntries;
	#sourcesLeft = mostSources;
	#statementsLeft = mostStatements;
	/** A `configfile` has replaced the menu: what follows it only runs when the user leaves that one. */
	#replaced = false;
	/** Bodies run when their entry is chosen, that is, with the variables as the whole configuration leaves them. */
	readonly #bodies: (() => void)[] = [];

	constructor(context: GrubContext) {
		this.#context = context;
		const { prefix } = context;
		this.#environment = new Environment([...builtin, ["prefix", prefix], ["config_directory", prefix]]);
	}

	menu(config: string): Menu {
		const items: Item[] = [];
		this.#run(parseGrubScript(config), this.#environment, items);
		// Bodies of submenus add those of their entries.
		for (const body of this.#bodies) body();
		const entries = flatten(items);
		const chosen = choose(items, this.#environment.get("default"));
		return { entries, default: chosen ? entries.indexOf(chosen) : -1 };
	}

	#run(statements: readonly Statement[], environment: Environment, items: Item[], entry?: Loaded): boolean {
		let status = true;
		for (const statement of statements) {
			if (this.#statementsLeft-- <= 0 || (this.#replaced && !entry)) break;
			if (statement.kind === "if") {
				const branch = statement.branches.find(({ condition }) => this.#run(condition, environment, items, entry));
				if (branch) status = this.#run(branch.body, environment, items, entry);
				continue;
			}
			const [command = "", ...args] = environment.expand(statement.words);
			const { block } = statement;
			if ((command === "menuentry" || command === "submenu") && block) {
				this.#addItem(items, nameOf(args), block, environment, command === "submenu");
			} else if (command === "blscfg" || command === "bls_import") this.#addBls(items, args[0], environment);
			else if (block) status = this.#run(block, environment, items, entry);
			else if (command === "source" || command === "." || command === "configfile" || command === "normal") {
				status = this.#source(command, args[0], environment, items, entry);
			} else status = this.#command(command, args, environment, entry);
		}
		return status;
	}

	#addItem(
		items: Item[],
		name: Pick<Item, "title" | "id">,
		block: readonly Statement[],
		environment: Environment,
		submenu: boolean,
	) {
		if (this.#entriesLeft-- <= 0) return;
		const inner: Item[] = [];
		const loaded: Loaded = { kernel: "", program: "", cmdline: "", initrds: [] };
		items.push(Object.assign(loaded, name, submenu && { items: inner }));
		this.#bodies.push(() => void this.#run(block, new Environment([], environment), inner, loaded));
	}

	/** One entry file becomes a script, and what is left of variables in it counts when the entry is chosen. */
	#addBls(items: Item[], which: string | undefined, environment: Environment) {
		const chosen = environment.get("default");
		for (const [i, { id, values }] of this.#context.blsEntries.entries()) {
			const [linux] = values.get("linux") ?? [];
			const [program] = values.get("efi") ?? [];
			const file = linux ?? program;
			if (file === undefined || (linux !== undefined && program !== undefined)) continue;
			const title = values.get("title")?.[0] ?? file;
			const isDefault = chosen !== "" && [id, title, `${i}`].includes(chosen);
			if (which === "default" || which === "non-default" ? isDefault !== (which === "default") : (which ?? id) !== id) {
				continue;
			}
			if (linux === undefined) {
				this.#addItem(items, { title, id: title }, parseGrubScript(`chainloader ${file}`), environment, false);
				continue;
			}
			const options = values.get("options")?.[0];
			const cmdline = options === undefined ? environment.get("default_kernelopts") : environment.expandText(options);
			const initrds = values.get("initrd") ?? [];
			const beside = (initrds[0] ?? linux).replace(/[^/]*$/, "");
			const early = environment.get("early_initrd").split(" ");
			const all = [...early.filter((name) => name !== "").map((name) => beside + name), ...initrds];
			const script = parseGrubScript(`linux ${linux} ${cmdline}\ninitrd ${all.join(" ")}`);
			this.#addItem(items, { title, id }, script, environment, false);
		}
	}

	/** `source` reads another script as part of this one, `configfile` and `normal` put it in place of this one. */
	#source(
		command: string,
		named: string | undefined,
		environment: Environment,
		items: Item[],
		entry: Loaded | undefined,
	): boolean {
		const path = named ?? (command === "normal" ? `${environment.get("prefix")}/grub.cfg` : "");
		const text = path === "" || this.#sourcesLeft-- <= 0 ? undefined : this.#context.files.read(path);
		// An entry that leads to another menu boots nothing by itself, but for the items of a submenu.
		if (text === undefined || (entry && command !== "source" && command !== ".")) return false;
		if (command === "source" || command === ".") return this.#run(parseGrubScript(text), environment, items, entry);
		items.length = 0;
		if (command === "configfile") environment.set("config_directory", path.replace(/\/[^/]*$/, ""));
		const status = this.#run(parseGrubScript(text), environment, items, entry);
		this.#replaced = true;
		return status;
	}

	#command(command: string, args: string[], environment: Environment, entry: Loaded | undefined): boolean {
		const { files } = this.#context;
		switch (command) {
			case "[":
				return test(args.at(-1) === "]" ? args.slice(0, -1) : args, (path) => files.stat(path));
			case "test":
				return test(args, (path) => files.stat(path));
			case "false":
			case "keystatus":
				return false;
			case "set":
				for (const arg of args) assign(arg, environment);
				return true;
			case "unset":
				for (const arg of args) environment.set(arg, "");
				return true;
			case "search":
				environment.set(searchedFor(args), "hd0,1");
				return true;
			case "load_env":
				return loadEnvironment(args, environment, files);
			case "chainloader":
				if (entry) entry.program = args.find((arg) => !arg.startsWith("-") && /\.efi$/i.test(arg)) ?? "";
				return true;
			case "linux":
			case "linux16":
			case "linuxefi":
				if (entry) loadKernel(args, entry);
				return true;
			case "initrd":
			case "initrd16":
			case "initrdefi":
				entry?.initrds.splice(0, entry.initrds.length, ...args.filter((arg) => !arg.startsWith("--")));
				return true;
			default:
				if (args.length === 0) assign(command, environment);
				return true;
		}
	}
}

function loadKernel(args: readonly string[], entry: Loaded) {
	const first = args.findIndex((arg) => !arg.startsWith("--"));
	const [kernel = "", ...options] = args.slice(Math.max(0, first));
	const cmdline = options.map((option) => (/\s/.test(option) ? `"${option}"` : option)).join(" ");
	Object.assign(entry, { kernel, cmdline });
}

/** `load_env [--file FILE] [--skip-sig] [VARIABLE …]` */
function loadEnvironment(args: readonly string[], environment: Environment, files: GrubFiles): boolean {
	let path = `${environment.get("prefix")}/grubenv`;
	const wanted = new Set<string>();
	for (let i = 0; i < args.length; i++) {
		const arg = args[i] ?? "";
		if (arg === "-f" || arg === "--file") path = args[++i] ?? path;
		else if (arg.startsWith("--file=")) path = arg.slice("--file=".length);
		else if (!arg.startsWith("-")) wanted.add(arg);
	}
	const block = files.read(path);
	for (const [name, value] of parseGrubEnvironment(block ?? "")) {
		if (wanted.size === 0 || wanted.has(name)) environment.set(name, value);
	}
	return block !== undefined;
}

/** The variable that `search` sets. */
function searchedFor(args: readonly string[]): string {
	const set = args.find((arg) => arg.startsWith("--set="));
	return set?.slice("--set=".length) || "root";
}

function assign(text: string, environment: Environment) {
	const equals = text.indexOf("=");
	if (equals > 0) environment.set(text.slice(0, equals), text.slice(equals + 1));
}

/** Arguments of `menuentry`: options with a value, options without, and the title. */
function nameOf(args: readonly string[]): Pick<Item, "title" | "id"> {
	let title: string | undefined;
	let id: string | undefined;
	for (let i = 0; i < args.length; i++) {
		const arg = args[i] ?? "";
		if (/^--(class|users|hotkey|source)$/.test(arg)) i++;
		else if (arg === "--id") id = args[++i];
		else if (arg.startsWith("--id=")) id = arg.slice("--id=".length);
		else if (!arg.startsWith("--")) title ??= arg;
	}
	return { title: title ?? "", id: id ?? title ?? "" };
}

const flatten = (items: readonly Item[]): Item[] =>
	items.flatMap((item) => (item.items ? flatten(item.items) : item.kernel === "" && item.program === "" ? [] : [item]));

/**
 * The entry that `default` names: an index, a title or an id, and after `>` the same in the submenu (`>>` stands for
 * one `>`). What names nothing is the first entry.
 */
function choose(items: readonly Item[], spec: string): Item | undefined {
	const split = /^((?:[^>]|>>)*)(?:>(?!>)(.*))?$/s.exec(spec);
	const name = (split?.[1] ?? "").replaceAll(">>", ">");
	const index = /^\d+$/.test(name)
		? Number(name)
		: items.findIndex(({ title, id }) => name !== "" && (title === name || id === name));
	const item = items[index] ?? items[0];
	return item?.items ? choose(item.items, split?.[2] ?? "") : item;
}
