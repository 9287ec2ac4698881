import { type Command, InvalidArgumentError, Option } from "commander";
import { optionalRules, type Rule, rules } from "../prepare/change.js";
import { formatNames } from "./disk/formats.js";
import { parseSize } from "./disk/size.js";

const usualRules = rules.filter((rule) => !optionalRules.includes(rule));

export const progressModes = ["auto", "json", "none"] as const;

/** Options that several commands share, each worded once. */
export const options = {
	models: () =>
		new Option("--models <file...>", "add hypervisors, or replace built-in ones, from JSON files").default([], "none"),
	format: () =>
		new Option("--format <format>", "read the disk as this format instead of recognising it").choices(formatNames),
	allowExternal: () =>
		new Option("--allow-external <name>", "let images refer to this file or URL outside of their folder; repeatable")
			.default([], "none")
			.argParser((name, previous: readonly string[]) => [...previous, name]),
	spoolLimit: () =>
		new Option(
			"--spool-limit <size>",
			"most that is kept in temporary files at a time, such as 200G, where something cannot be read in place (usually 64G)",
		).argParser(parseSize),
	system: () => new Option("--system <id>", "which machine of an OVF that describes several"),
	verify: () =>
		new Option("--verify", "check a package's manifest and signature; what reads whole disks does so by itself"),
	noVerify: () => new Option("--no-verify", "do not check a package's manifest and signature"),
	keyFile: () =>
		new Option("--key-file <file>", "open encrypted (LUKS) volumes with the bytes of this file; repeatable")
			.default([], "none")
			.argParser((name, previous: readonly string[]) => [...previous, name]),
	keyFd: () =>
		new Option("--key-fd <number>", "the same with the passphrase on this file descriptor, up to a newline; repeatable")
			.default([], "none")
			.argParser((value, previous: readonly number[]) => {
				if (!/^\d{1,6}$/.test(value)) throw new InvalidArgumentError("It is the number of an open file descriptor.");
				return [...previous, Number(value)];
			}),
	snapshot: () => new Option("--snapshot <name>", "read this snapshot inside of the image, by name or id"),
	json: () => new Option("--json", "print one JSON document"),
	progress: () =>
		new Option("--progress <mode>", "how to report progress on standard error").choices(progressModes).default("auto"),
	dryRun: () => new Option("-n, --dry-run", "print what would be changed and why, and write nothing"),
	force: () => new Option("-f, --force", "replace an existing output"),
	skip: () =>
		new Option("--skip <rule...>", `leave out changes: ${usualRules.join(", ")}`)
			.argParser(collect(usualRules))
			.default([], "none"),
	with: () =>
		new Option("--with <rule...>", `make changes that are not needed to boot: ${optionalRules.join(", ")}`)
			.argParser(collect(optionalRules))
			.default([], "none"),
	level: () =>
		new Option("--level <0-9>", "compression, from fast to small; by default about what zlib makes at 6").argParser(
			(value) => {
				if (!/^\d$/.test(value)) throw new InvalidArgumentError("It is a digit from 0 to 9.");
				return Number(value);
			},
		),
};

function collect(choices: readonly Rule[]) {
	return (value: string, previous: readonly Rule[]): readonly Rule[] => {
		const rule = choices.find((candidate) => candidate === value);
		if (rule === undefined) throw new InvalidArgumentError(`It is one of ${choices.join(", ")}.`);
		return [...previous, rule];
	};
}

export function withOptions(command: Command, ...all: readonly Option[]): Command {
	for (const option of all) command.addOption(option);
	return command;
}

/** How whatever a user names is opened. */
export const openingOptions = (): readonly Option[] => [options.allowExternal(), options.spoolLimit()];

/** What {@link openingOptions} give. */
export interface OpeningOptions {
	readonly allowExternal: readonly string[];
	readonly spoolLimit?: number;
}

/** How one disk is opened, of whatever holds it. */
export const imageOptions = (): readonly Option[] => [options.system(), ...openingOptions()];

/** What {@link imageOptions} give. */
export interface ImageOptions extends OpeningOptions {
	readonly system?: string;
}

/** How a VM is opened, in every command that looks into one. */
export const vmOptions = (): readonly Option[] => [
	options.format(),
	options.system(),
	options.verify(),
	options.noVerify(),
	...openingOptions(),
	options.keyFile(),
	options.keyFd(),
];

/** Options of the commands that prepare a guest and write it out. */
export function withPreparingOptions(command: Command): Command {
	return withOptions(
		command,
		options.dryRun(),
		options.skip(),
		options.with(),
		options.level(),
		options.force(),
		options.json(),
		options.progress(),
		options.models(),
		...vmOptions(),
	);
}
