import type { Verdict } from "../lint/index.js";
import type { LintDocument } from "../lint/schema.js";
import { stdout } from "./standard-streams.js";
import { type Paint, painter, printable, type Style, type Terminal, wantsColour, wrap } from "./terminal.js";

type Told = LintDocument["verdicts"][number];

const marks: Record<Told["verdict"], readonly [mark: string, style: Style, words: string]> = {
	accepts: ["✔", "green", "nothing to say"],
	warns: ["✔", "green", "would accept it"],
	loses: ["!", "yellow", "would import less than there is"],
	refuses: ["✘", "red", "would refuse it"],
};

/** The verdicts as plain data, without what is not stated. */
export const plain = (verdicts: readonly Verdict[]): LintDocument["verdicts"] =>
	verdicts.map(({ findings, ...verdict }) => ({
		...verdict,
		findings: findings.map(({ file, line, ...finding }) => ({
			...finding,
			...(file !== undefined && { file }),
			...(line !== undefined && { line }),
		})),
	}));

export function lintText(document: LintDocument, stream: Terminal = stdout): string {
	const paint = painter(wantsColour(stream));
	const width = stream.columns ?? 120;
	const { fixed, unread } = document;
	const head = `${paint("bold", printable(document.name))} (${document.kind})\n`;
	const notes = unread.map(
		({ name, problem }) => `${paint("yellow", "!")} ${printable(name)} was not looked into: ${printable(problem)}\n`,
	);
	const original = document.verdicts.map((verdict) => importer(verdict, paint, width));
	if (fixed === undefined) return [head, ...notes, ...original].join("");
	const left = fixed.verdicts.map((verdict) => importer(verdict, paint, width));
	return [
		head,
		...notes,
		...original,
		"\n",
		`${paint("bold", printable(fixed.output))} (corrected copy)\n`,
		...left,
	].join("");
}

function importer({ title, importer: id, verdict, findings }: Told, paint: Paint, width: number): string {
	const [mark, style, words] = marks[verdict];
	const lines = findings.flatMap(({ rule, severity, what, file, line, reason, source, grade, fix, repairable }) => {
		const where = file === undefined ? "" : ` (${file}${line === undefined ? "" : `:${line}`})`;
		const body = [`${reason} [${grade}: ${source}]`, `Fix: ${fix}${repairable ? " Or let --fix do it." : ""}`];
		return [
			`  ${paint(marks[severity][1], severity)} ${rule}: ${printable(`${what}${where}`)}`,
			...body.flatMap((text) => wrap(printable(text), width - 4).map((each) => `    ${paint("dim", each)}`)),
		];
	});
	return `${[`${paint(style, `${mark} ${title}`)} (${id}) ${words}`, ...lines].join("\n")}\n`;
}
