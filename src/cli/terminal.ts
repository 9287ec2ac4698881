import { styleText } from "node:util";

export type Style = Parameters<typeof styleText>[0];

/** What text is fitted to. */
export interface Terminal {
	readonly isTTY?: boolean;
	readonly columns?: number | undefined;
}

export interface TextStream extends Terminal {
	write(text: string): unknown;
}

/** https://no-color.org and https://force-color.org, then whether anybody is looking. */
export function wantsColour(stream: Terminal, env: NodeJS.ProcessEnv = process.env): boolean {
	if (env["NO_COLOR"]) return false;
	if (env["FORCE_COLOR"]) return env["FORCE_COLOR"] !== "0";
	return stream.isTTY === true && env["TERM"] !== "dumb";
}

/** Styles text for a stream, or leaves it plain. */
export type Paint = (style: Style, text: string) => string;

export const painter = (colour: boolean): Paint => (colour ? styleText : (_, text) => text);

export interface Cell {
	readonly text: string;
	readonly style?: Style;
}

/** Left-aligned columns, two spaces apart; the last one is wrapped to `width` columns. */
export function table(given: readonly (readonly Cell[])[], paint: Paint, width: number): string {
	// Much of what is shown comes out of images.
	const rows = given.map((row) => row.map((cell) => Object.assign({}, cell, { text: printable(cell.text) })));
	const columns = Math.max(0, ...rows.map((row) => row.length));
	const widths = Array.from({ length: columns }, (_, i) => Math.max(...rows.map((row) => row[i]?.text.length ?? 0)));
	const indent = widths.slice(0, -1).reduce((sum, value) => sum + value + 2, 0);
	const room = Math.max(24, width - indent);
	const lines: string[] = [];
	for (const row of rows) {
		const last = row.length === columns ? row.at(-1) : undefined;
		const wrapped = last ? wrap(last.text, room) : [];
		const head = row
			.slice(0, columns - 1)
			.map((cell, i) => styled(cell, cell.text.padEnd((widths[i] ?? 0) + 2), paint))
			.join("");
		lines.push(`${head}${last ? styled(last, wrapped[0] ?? "", paint) : ""}`.trimEnd());
		for (const line of wrapped.slice(1)) lines.push(" ".repeat(indent) + (last ? styled(last, line, paint) : line));
	}
	return `${lines.join("\n")}\n`;
}

const styled = ({ style }: Cell, text: string, paint: Paint) => (style === undefined ? text : paint(style, text));

/** Breaks text at spaces into lines of at most `width` columns; a longer word stays whole. */
export function wrap(text: string, width: number): string[] {
	const lines: string[] = [];
	let line = "";
	for (const word of text.split(" ")) {
		if (line !== "" && line.length + 1 + word.length > width) {
			lines.push(line);
			line = word;
		} else line = line === "" ? word : `${line} ${word}`;
	}
	return [...lines, line];
}

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"] as const;

/** `1.5 GiB` */
export function humanBytes(bytes: number): string {
	let value = bytes;
	let unit = 0;
	while (value >= 1024 && unit < units.length - 1) {
		value /= 1024;
		unit++;
	}
	return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** `1.5 GiB (1610612736 bytes)` */
export const exactBytes = (bytes: number) =>
	bytes < 1024 ? `${bytes} bytes` : `${humanBytes(bytes)} (${bytes} bytes)`;

/** `1:05`, `2:03:04` */
export function humanSeconds(seconds: number): string {
	const whole = Math.max(0, Math.round(seconds));
	const parts = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
	const shown = parts[0] === 0 ? parts.slice(1) : parts;
	return shown.map((part, i) => (i === 0 ? String(part) : String(part).padStart(2, "0"))).join(":");
}

/** Text from inside an image, for a terminal, which would obey what it holds of control characters: `\x1b`. */
export const printable = (text: string): string =>
	// oxlint-disable-next-line no-control-regex -- these are what is looked for
	text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (found) => `\\x${found.charCodeAt(0).toString(16).padStart(2, "0")}`);
