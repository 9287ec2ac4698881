import type { BlsEntry } from "./bls.js";
import { Environment } from "./environment.js";
import { parseGrubScript, type Statement } from "./script.js";

/** Paths as GRUB has them: relative to the file system that it booted from. */
export interface MenuEntry {
	readonly title: string;
	/** Empty where the entry boots something else than Linux. */
	readonly kernel: string;
	readonly initrds: readonly string[];
	readonly cmdline: string;
}

export interface Menu {
	/** Those that boot Linux, submenus flattened, in GRUB's order. */
	readonly entries: readonly MenuEntry[];
	/** Index of the one that GRUB boots by itself; -1 where that is none of them. */
	readonly default: number;
}

interface Item extends MenuEntry {
	readonly id: string;
	/** Of a submenu. */
	readonly items?: readonly Item[];
}

/** More entries than anyone scrolls through; a crafted menu ends here. */
const mostEntries = 1000;

/** What GRUB itself sets before it reads its configuration, as far as distributions ask for it. */
const builtin: readonly (readonly [string, string])[] = [
	["prefix", "/boot/grub"],
	["config_directory", "/boot/grub"],
	["grub_platform", "pc"],
	["grub_cpu", "i386"],
	...["menuentry_id", "menuentry_options", "timeout_style", "default_font_path", "platform_search_hint"].map(
		(name) => [`feature_${name}`, "y"] as const,
	),
	...["all_video_module", "chainloader_bpb", "ntldr", "nativedisk_cmd", "200_final"].map(
		(name) => [`feature_${name}`, "y"] as const,
	),
];

/**
 * Runs a GRUB configuration as far as its menu depends on it: variables, `if` with `test`, `load_env`, `blscfg`, entries
 * and submenus. Unknown commands succeed and do nothing.
 */
export function readGrubMenu(
	config: string,
	grubenv: ReadonlyMap<string, string>,
	blsEntries: readonly BlsEntry[],
): Menu {
	let left = mostEntries;

	function run(statements: readonly Statement[], environment: Environment, items: Item[], entry?: Loaded): boolean {
		let status = true;
		for (const statement of statements) {
			if (statement.kind === "command") {
				const [command = "", ...args] = environment.expand(statement.words);
				if ((command === "menuentry" || command === "submenu") && statement.block) {
					if (left-- > 0) items.push(menuItem(command, args, statement.block, environment));
				} else if (command === "blscfg") {
					for (const found of blsEntries.slice(0, Math.max(0, left))) items.push(blsItem(found, environment));
					left -= blsEntries.length;
				} else if (statement.block) status = run(statement.block, environment, items, entry);
				else status = runCommand(command, args, environment, grubenv, entry);
				continue;
			}
			const branch = statement.branches.find(({ condition }) => run(condition, environment, items, entry));
			if (branch) status = run(branch.body, environment, items, entry);
		}
		return status;
	}

	/** Bodies run when their entry is chosen, that is, with the variables as the whole configuration leaves them. */
	const bodies: (() => void)[] = [];

	function menuItem(command: string, args: string[], block: readonly Statement[], environment: Environment): Item {
		const { title, id } = nameOf(args);
		const items: Item[] = [];
		const loaded: Loaded = { kernel: "", cmdline: "", initrds: [] };
		bodies.push(() => void run(block, new Environment([], environment), items, loaded));
		return Object.assign(loaded, { title, id }, command === "submenu" && { items });
	}

	const environment = new Environment(builtin);
	const items: Item[] = [];
	run(parseGrubScript(config), environment, items);
	// Bodies of submenus add those of their entries.
	for (const body of bodies) body();

	const entries = flatten(items);
	const chosen = choose(items, environment.get("default"));
	return { entries, default: chosen ? entries.indexOf(chosen) : -1 };
}

/** What the body of an entry loads. */
interface Loaded {
	kernel: string;
	cmdline: string;
	initrds: string[];
}

function runCommand(
	command: string,
	args: readonly string[],
	environment: Environment,
	grubenv: ReadonlyMap<string, string>,
	entry: Loaded | undefined,
): boolean {
	switch (command) {
		case "[":
			return test(args.at(-1) === "]" ? args.slice(0, -1) : args, grubenv);
		case "test":
			return test(args, grubenv);
		case "false":
		case "keystatus":
			return false;
		case "set":
			for (const arg of args) assign(arg, environment);
			return true;
		case "unset":
			for (const arg of args) environment.set(arg, "");
			return true;
		case "load_env":
			for (const [name, value] of grubenv) environment.set(name, value);
			return true;
		case "linux":
		case "linux16":
		case "linuxefi":
			if (entry) {
				const [kernel = "", ...options] = args.slice(
					Math.max(
						0,
						args.findIndex((arg) => !arg.startsWith("--")),
					),
				);
				const cmdline = options.map((option) => (/\s/.test(option) ? `"${option}"` : option)).join(" ");
				Object.assign(entry, { kernel, cmdline });
			}
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

function assign(text: string, environment: Environment) {
	const equals = text.indexOf("=");
	if (equals > 0) environment.set(text.slice(0, equals), text.slice(equals + 1));
}

/** Longer conditions, far beyond any real one, are false. */
const mostOperands = 100;

/** `test`: strings, `-z`, `-n`, files, `!`, `-a` and `-o`. Of files only grubenv is known to be there. */
function test(args: readonly string[], grubenv: ReadonlyMap<string, string>): boolean {
	if (args.length > mostOperands) return false;
	const or = args.lastIndexOf("-o");
	if (or > 0) return test(args.slice(0, or), grubenv) || testAll(args.slice(or + 1), grubenv);
	return testAll(args, grubenv);
}

function testAll(args: readonly string[], grubenv: ReadonlyMap<string, string>): boolean {
	let start = 0;
	for (let and = args.indexOf("-a", 1); and >= 0; and = args.indexOf("-a", start + 1)) {
		if (!testOne(args.slice(start, and), grubenv)) return false;
		start = and + 1;
	}
	return testOne(args.slice(start), grubenv);
}

function testOne(args: readonly string[], grubenv: ReadonlyMap<string, string>): boolean {
	const negated = args[0] === "!" && args.length > 1;
	const [first = "", second = "", third = ""] = negated ? args.slice(1) : args;
	const result = () => {
		if (second === "=" || second === "==") return first === third;
		if (second === "!=") return first !== third;
		if (/^-(eq|ne|lt|le|gt|ge)$/.test(second)) return compareNumbers(second, Number(first), Number(third));
		if (first === "-z") return second === "";
		if (first === "-n") return second !== "";
		if (/^-[sfed]$/.test(first)) return second.endsWith("/grubenv") && grubenv.size > 0;
		return first !== "";
	};
	return result() !== negated;
}

function compareNumbers(operator: string, a: number, b: number): boolean {
	if (operator === "-eq") return a === b;
	if (operator === "-ne") return a !== b;
	if (operator === "-lt") return a < b;
	if (operator === "-le") return a <= b;
	return operator === "-gt" ? a > b : a >= b;
}

/** Arguments of `menuentry`: options with a value, options without, and the title. */
function nameOf(args: readonly string[]): { title: string; id: string } {
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

function blsItem(entry: BlsEntry, environment: Environment): Item {
	const list = (values: readonly string[]) =>
		values.flatMap((value) => environment.expandText(value).split(/\s+/)).filter((value) => value !== "");
	return {
		title: environment.expandText(entry.title),
		id: entry.id,
		kernel: environment.expandText(entry.linux),
		initrds: list(entry.initrds),
		cmdline: list(entry.options).join(" "),
	};
}

const flatten = (items: readonly Item[]): Item[] =>
	items.flatMap((item) => (item.items ? flatten(item.items) : item.kernel === "" ? [] : [item]));

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
