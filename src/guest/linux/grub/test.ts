import type { FileStat } from "../../../filesystem/filesystem.js";

/** Longer conditions, far beyond any real one, are false. */
const mostOperands = 100;

/** `test`: strings, numbers, `-z`, `-n`, files, `!`, `-a` and `-o`. */
export function test(args: readonly string[], stat: (path: string) => FileStat | undefined): boolean {
	if (args.length > mostOperands) return false;
	const or = args.lastIndexOf("-o");
	if (or > 0) return test(args.slice(0, or), stat) || testAll(args.slice(or + 1), stat);
	return testAll(args, stat);
}

function testAll(args: readonly string[], stat: (path: string) => FileStat | undefined): boolean {
	let start = 0;
	for (let and = args.indexOf("-a", 1); and >= 0; and = args.indexOf("-a", start + 1)) {
		if (!testOne(args.slice(start, and), stat)) return false;
		start = and + 1;
	}
	return testOne(args.slice(start), stat);
}

function testOne(args: readonly string[], stat: (path: string) => FileStat | undefined): boolean {
	const negated = args[0] === "!" && args.length > 1;
	const [first = "", second = "", third = ""] = negated ? args.slice(1) : args;
	const result = () => {
		if (second === "=" || second === "==") return first === third;
		if (second === "!=") return first !== third;
		if (/^-(eq|ne|lt|le|gt|ge)$/.test(second)) return compareNumbers(second, Number(first), Number(third));
		if (first === "-z") return second === "";
		if (first === "-n") return second !== "";
		if (/^-[sfed]$/.test(first)) return second !== "" && testFile(first, stat(second));
		return first !== "";
	};
	return result() !== negated;
}

function testFile(operator: string, stat: FileStat | undefined): boolean {
	if (operator === "-d") return stat?.type === "directory";
	if (operator === "-f") return stat?.type === "file";
	return stat !== undefined && (operator !== "-s" || stat.size > 0);
}

function compareNumbers(operator: string, a: number, b: number): boolean {
	if (operator === "-eq") return a === b;
	if (operator === "-ne") return a !== b;
	if (operator === "-lt") return a < b;
	if (operator === "-le") return a <= b;
	return operator === "-gt" ? a > b : a >= b;
}
