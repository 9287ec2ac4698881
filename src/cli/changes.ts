import type { Change } from "../prepare/change.js";
import { humanBytes, type Paint, printable, wrap } from "./terminal.js";

/** A plan as a person reads it: what, and why. */
export function describeChanges(changes: readonly Change[], paint: Paint, width = 100): string {
	if (changes.length === 0) return "Nothing has to be changed.\n";
	const blocks = changes.map((change, i) => {
		const lines = detailsOf(change).map((line) => printable(line.replaceAll("\t", "    ")));
		const details = lines.flatMap((line) => wrap(line, width - 4).map((part) => `    ${part}`));
		const head = `${String(i + 1).padStart(2)}. ${paint("bold", printable(`${headline(change)} ${change.path}`))} ${paint("dim", `[${change.rule}]`)}`;
		return [
			head,
			...wrap(printable(change.why), width - 4).map((part) => `    ${paint("dim", part)}`),
			...details,
		].join("\n");
	});
	return `${blocks.join("\n")}\n`;
}

function headline(change: Change): string {
	switch (change.action) {
		case "append-modules":
			return `add ${change.modules.length} drivers (${humanBytes(change.bytes)}) ${change.addOnTo === undefined ? "to" : "in an add-on,"}`;
		case "write-file":
			return "write";
		case "replace-lines":
			return `change ${change.lines.length === 1 ? "a line" : `${change.lines.length} lines`} of`;
		case "copy-file":
			return `copy ${change.from} to`;
	}
}

function detailsOf(change: Change): string[] {
	switch (change.action) {
		case "append-modules":
			return [
				change.modules.map(({ name, bytes }) => `${name} (${humanBytes(bytes)})`).join(", "),
				...(change.files === undefined ? [] : [`and ${change.files.join(", ")}`]),
			];
		case "write-file":
			return change.contents.trimEnd().split("\n");
		case "replace-lines":
			return change.lines.flatMap(({ line, from, to }) => [`${line}: - ${from.trim()}`, `${line}: + ${to.trim()}`]);
		case "copy-file":
			return [];
	}
}
