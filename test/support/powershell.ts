import { createRequire } from "node:module";
import path from "node:path";
import type TreeSitter from "@vscode/tree-sitter-wasm";

const require = createRequire(import.meta.url);
const { Language, Parser } = require("@vscode/tree-sitter-wasm") as typeof TreeSitter;
const folder = path.dirname(require.resolve("@vscode/tree-sitter-wasm"));

await Parser.init({ locateFile: (name: string) => path.join(folder, name) });
const parser = new Parser();
parser.setLanguage(await Language.load(path.join(folder, "tree-sitter-powershell.wasm")));

export interface PowerShell {
	/** `line:column text` of all that is no PowerShell. */
	readonly errors: readonly string[];
	/** What is in single quotes, as PowerShell takes it. */
	readonly verbatim: readonly string[];
	/** The names of all commands that may run. */
	readonly commands: readonly string[];
}

/** Reads a script with the grammar that Visual Studio Code has for PowerShell. */
export function parsePowerShell(script: string): PowerShell {
	const tree = parser.parse(script.replace(/^\ufeff/, ""));
	if (tree === null) throw new Error("the parser was not ready");
	try {
		const errors: string[] = [];
		const verbatim: string[] = [];
		const commands: string[] = [];
		const pending = [tree.rootNode];
		for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
			const { row, column } = node.startPosition;
			if (node.isError || node.isMissing) errors.push(`${row + 1}:${column + 1} ${node.text.slice(0, 60)}`);
			if (node.type === "verbatim_string_characters") verbatim.push(unquoted(node.text));
			if (node.type === "command_name") commands.push(node.text);
			pending.push(...node.children.flatMap((child) => child ?? []).reverse());
		}
		return { errors, verbatim, commands };
	} finally {
		tree.delete();
	}
}

/** Two quotation marks mean one: about_Quoting_Rules. */
const unquoted = (text: string) => text.slice(1, -1).replaceAll(/(['\u2018-\u201b])\1/g, "$1");
