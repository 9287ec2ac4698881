import { Argument, Command, type Option } from "commander";
import { everyVariant } from "./disk/formats.js";
import { stdout } from "./standard-streams.js";

const shells = ["bash", "zsh", "fish"] as const;

/**
 * Completion scripts, made from the commands themselves so that they cannot disagree with them.
 *
 * @param root makes the program with all of its commands
 */
export function completionCommand(root: () => Promise<Command>): Command {
	return new Command("completion")
		.summary("print a completion script for your shell")
		.description(
			`Prints a script that completes commands and options.

  bash   anyvisor completion bash > ~/.local/share/bash-completion/completions/anyvisor
  zsh    anyvisor completion zsh > "\${fpath[1]}/_anyvisor"
  fish   anyvisor completion fish > ~/.config/fish/completions/anyvisor.fish`,
		)
		.addArgument(new Argument("<shell>").choices(shells))
		.action(async (shell: (typeof shells)[number]) => {
			stdout.write(scripts[shell](commandsOf(await root())));
		});
}

interface Word {
	readonly word: string;
	readonly summary: string;
	/** What may follow it: the choices of an option. */
	readonly values: readonly string[];
}

interface Completable {
	/** Names from the root down, without `anyvisor`: `models show`. */
	readonly path: readonly string[];
	readonly children: readonly string[];
	readonly words: readonly Word[];
}

function commandsOf(command: Command, path: readonly string[] = []): Completable[] {
	const words = [
		...command.commands.map((child) => ({
			word: child.name(),
			summary: child.summary() || child.description(),
			values: [],
		})),
		...command.options.flatMap((option) =>
			option.long ? [{ word: option.long, summary: option.description, values: valuesOf(option) }] : [],
		),
		{ word: "--help", summary: "explain a command", values: [] },
	];
	const children = command.commands.map((child) => child.name());
	return [
		{ path, children, words },
		...command.commands.flatMap((child) => commandsOf(child, [...path, child.name()])),
	];
}

/** Variants are those of a format, which is not known here: any of them is offered. */
const valuesOf = ({ long, argChoices }: Option): readonly string[] =>
	argChoices ?? (long === "--variant" ? everyVariant : []);

/** A word of a `case` in bash. */
const pattern = (path: readonly string[], ...more: readonly string[]) => `"${[...path, ...more].join(" ")}"`;

/** In bash, `path` becomes the words before the cursor that are commands; options and files are left out. */
const scripts: Record<(typeof shells)[number], (commands: readonly Completable[]) => string> = {
	bash: (commands) => `_anyvisor() {
	local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}" path="" word words=""
	for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case "\${path:+$path }$word" in
${commands
	.filter(({ path }) => path.length > 0)
	.map(({ path }) => `			${pattern(path)}) path=${pattern(path)} ;;`)
	.join("\n")}
		esac
	done
	case "\${path:+$path }$previous" in
${commands
	.flatMap(({ path, words }) =>
		words
			.filter(({ values }) => values.length > 0)
			.map(({ word, values }) => `		${pattern(path, word)}) words="${values.join(" ")}" ;;`),
	)
	.join("\n")}
		*) case "$path" in
${commands.map(({ path, words }) => `			${pattern(path)}) words="${words.map(({ word }) => word).join(" ")}" ;;`).join("\n")}
		esac ;;
	esac
	COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _anyvisor anyvisor
`,
	zsh: (commands) => `#compdef anyvisor
autoload -U +X bashcompinit && bashcompinit
${scripts.bash(commands)}`,
	fish: (commands) =>
		commands
			.flatMap(({ path, children, words }) =>
				words.map(({ word, summary, values }) => {
					const seen = path.map((name) => `__fish_seen_subcommand_from ${name}`);
					const deeper =
						children.length > 0 && path.length > 0 ? [`not __fish_seen_subcommand_from ${children.join(" ")}`] : [];
					const condition = path.length === 0 ? "__fish_use_subcommand" : [...seen, ...deeper].join("; and ");
					const what = word.startsWith("--") ? `-l ${word.slice(2)}` : `-a ${word}`;
					const choices = values.length === 0 ? "" : ` -x -a '${values.join(" ")}'`;
					return `complete -c anyvisor -n '${condition}' ${what}${choices} -d '${summary.replaceAll("'", "\\'")}'`;
				}),
			)
			.join("\n")
			.concat("\n"),
};
