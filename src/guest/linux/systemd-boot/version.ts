const digits = /\d*/y;
const letters = /[A-Za-z]*/y;

/**
 * Compares versions as systemd-boot does.
 * https://uapi-group.org/specifications/specs/version_format_specification/
 */
export function compareSystemdVersions(one: string, other: string): number {
	let a = one.replace(/[^A-Za-z0-9~^.-]/g, "");
	let b = other.replace(/[^A-Za-z0-9~^.-]/g, "");
	for (;;) {
		const tilde = mark("~");
		if (tilde !== 0) return tilde;
		if (a === "" || b === "") return Number(a !== "") - Number(b !== "");
		for (const separator of ["-", "^", "."]) {
			const order = mark(separator);
			if (order !== 0) return order;
		}
		if (a === "" || b === "") continue;
		const numeric = /^\d/.test(a) || /^\d/.test(b);
		const [left, right] = [take(a, numeric), take(b, numeric)];
		// A number is newer than what is none.
		if (numeric && (left === "" || right === "")) return left === "" ? -1 : 1;
		const order = numeric ? compareNumbers(left, right) : compareText(left, right);
		if (order !== 0) return order;
		if (left === "" && right === "") continue;
		a = a.slice(left.length);
		b = b.slice(right.length);
	}

	/** What has this character is older than what has not; where both have it, it is passed. */
	function mark(character: string): number {
		const [left, right] = [a.startsWith(character), b.startsWith(character)];
		if (left !== right) return left ? -1 : 1;
		if (left) {
			a = a.slice(1);
			b = b.slice(1);
		}
		return 0;
	}
}

function take(text: string, numeric: boolean): string {
	const run = numeric ? digits : letters;
	run.lastIndex = 0;
	return run.exec(text)?.[0] ?? "";
}

function compareNumbers(one: string, other: string): number {
	const [a, b] = [one.replace(/^0+/, ""), other.replace(/^0+/, "")];
	return a.length - b.length || compareText(a, b);
}

function compareText(a: string, b: string): number {
	return a < b ? -1 : Number(a > b);
}
