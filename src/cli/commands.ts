import type { Command } from "commander";

/** Commands by their names, in the order of the help; each is made by a module that is loaded for it. */
export type CommandTable = Readonly<Record<string, () => Promise<Command>>>;

/**
 * Adds the one command that is called and loads no other; all of them where `called` is none of them, because help,
 * completion and suggestions are about all.
 */
export async function addCommands(parent: Command, table: CommandTable, called: string | undefined): Promise<void> {
	const one = called !== undefined && Object.hasOwn(table, called) ? table[called] : undefined;
	const chosen = one === undefined ? Object.values(table) : [one];
	for (const command of await Promise.all(chosen.map((make) => make()))) parent.addCommand(command);
}
