import { Argument, Command } from "commander";

const shells = ["bash", "zsh", "fish"] as const;

/** Completion scripts, made from the commands themselves so that they cannot disagree with them. */
export function completionCommand(root: Command): Command {
	return new Command("completion")
		.summary("print a completion script for your shell")
		.description(
			`Prints a script that completes commands and options.

  bash   anyvisor completion bash > ~/.local/share/bash-completion/completions/anyvisor
  zsh    anyvisor completion zsh > "\${fpath[1]}/_anyvisor"
  fish   anyvisor completion fish > ~/.config/fish/completions/anyvisor.fish`,
		)
		.addArgument(new Argument("<shell>").choices(shells))
		.action((shell: (typeof shells)[number]) => {
			process.stdout.write(scripts[shell](commandsOf(root)));
		});
}

interface Completable {
	/** Names from the root down, without `anyvisor`: `models show`. */
	readonly path: string;
	readonly summary: string;
	readonly words: readonly { readonly word: string; readonly summary: string }[];
}

function commandsOf(command: Command, path: readonly string[] = []): Completable[] {
	const words = [
		...command.commands.map((child) => ({ word: child.name(), summary: child.summary() || child.description() })),
		...command.options.flatMap((option) => (option.long ? [{ word: option.long, summary: option.description }] : [])),
		{ word: "--help", summary: "explain a command" },
	];
	const children = command.commands.flatMap((child) => commandsOf(child, [...path, child.name()]));
	return [{ path: path.join(" "), summary: command.summary() || command.description(), words }, ...children];
}

/** The words before the cursor that are commands, joined: options and files are left out. */
const scripts: Record<(typeof shells)[number], (commands: readonly Completable[]) => string> = {
	bash: (commands) => `_anyvisor() {
	local current="\${COMP_WORDS[COMP_CWORD]}" path="" word
	for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		case "$path \${word}" in
${commands
	.filter(({ path }) => path !== "")
	.map(({ path }) => `			"${path.includes(" ") ? path : ` ${path}`}") path="${path}" ;;`)
	.join("\n")}
		esac
	done
	local words=""
	case "$path" in
${commands.map(({ path, words }) => `		"${path}") words="${words.map(({ word }) => word).join(" ")}" ;;`).join("\n")}
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
			.flatMap(({ path, words }) =>
				words.map(({ word, summary }) => {
					const condition =
						path === "" ? "__fish_use_subcommand" : `__fish_seen_subcommand_from ${path.split(" ").at(-1)}`;
					const what = word.startsWith("--") ? `-l ${word.slice(2)}` : `-a ${word}`;
					return `complete -c anyvisor -n '${condition}' ${what} -d '${summary.replaceAll("'", "\\'")}'`;
				}),
			)
			.join("\n")
			.concat("\n"),
};
