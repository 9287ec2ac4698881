/** A word of a POSIX shell that means exactly `text`, but for control characters, which have no place in a name. */
export const shellQuoted = (text: string): string =>
	// oxlint-disable-next-line no-control-regex -- those are what is looked for
	`'${text.replaceAll(/[\u0000-\u001f\u007f]/g, " ").replaceAll("'", String.raw`'\''`)}'`;

/** A script for POSIX shells that is run in its own folder. */
export interface ShellScript {
	/** Name of its file. */
	readonly name: string;
	/** What it does: comments, a line each. */
	readonly purpose: readonly string[];
	/** Its arguments, all of them needed, in the order of the command line: `BUCKET` is `$bucket`. */
	readonly parameters: readonly string[];
	/** Commands, a line each. */
	readonly body: readonly string[];
}

export function shellScript({ name, purpose, parameters, body }: ShellScript): string {
	const usage = ["Usage: sh", name, ...parameters].join(" ");
	return `${[
		"#!/bin/sh",
		...[...purpose, usage].map((line) => `# ${line}`),
		"set -eu",
		`if [ "$#" -ne ${parameters.length} ]; then`,
		`	echo '${usage}' >&2`,
		"	exit 2",
		"fi",
		...parameters.map((parameter, index) => `${parameter.toLowerCase()}=$${index + 1}`),
		'cd -- "$(dirname -- "$0")"',
		"",
		...body,
	].join("\n")}\n`;
}

/** Lines that make one command, its words joined by continued lines. */
export const command = (...words: readonly string[]): string => words.join(" \\\n\t");
