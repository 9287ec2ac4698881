#!/usr/bin/env node
// Draws what a terminal shows, with its colours, as SVG: reads ANSI text from standard input.
//
//   FORCE_COLOR=1 npx anyvisor inspect vm.raw | node scripts/picture.mjs > docs/matrix.svg
import { readFileSync } from "node:fs";

const colours = { 31: "#ff7b72", 32: "#56d364", 33: "#e3b341" };
const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const lines = readFileSync(0, "utf8").trimEnd().split("\n");
const style = `${String.fromCharCode(27)}\\[(\\d+)m`;
const plain = (line) => line.replaceAll(new RegExp(style, "g"), "");
const [width, height] = [Math.max(...lines.map((line) => plain(line).length)) * 7.83 + 40, lines.length * 18 + 36];

const rows = lines.map((line, i) => {
	const spans = line.split(new RegExp(`(${style.replace(/[()]/g, "")})`)).reduce(
		({ attributes, out }, part) => {
			const code = new RegExp(`^${style}$`).exec(part)?.[1];
			if (code === undefined) {
				return { attributes, out: out + (part === "" ? "" : `<tspan${attributes}>${escape(part)}</tspan>`) };
			}
			if (code === "1") return { attributes: ' font-weight="bold"', out };
			if (code === "2") return { attributes: ' fill="#8b949e"', out };
			return { attributes: code in colours ? ` fill="${colours[code]}"` : "", out };
		},
		{ attributes: "", out: "" },
	);
	return `<text x="20" y="${32 + i * 18}" xml:space="preserve">${spans.out}</text>`;
});
console.log(
	`<svg xmlns="http://www.w3.org/2000/svg" width="${Math.ceil(width)}" height="${height}" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13" fill="#e6edf3">
<rect width="100%" height="100%" rx="8" fill="#0d1117"/>
${rows.join("\n")}
</svg>`,
);
