const tokens = /\d+|[A-Za-z]+|~|\^/g;

/**
 * Compares versions the way rpm does, which dpkg agrees with on kernel releases: runs of digits as numbers, runs of
 * letters as text, a number before text, and `~` before everything, the end included.
 * https://rpm.org/docs/4.20.x/man/rpm-version.7
 */
export function compareVersions(a: string, b: string): number {
	const left = a.match(tokens) ?? [];
	const right = b.match(tokens) ?? [];
	for (let i = 0; i < Math.max(left.length, right.length); i++) {
		const order = compareTokens(left[i], right[i]);
		if (order !== 0) return order;
	}
	return 0;
}

function compareTokens(a: string | undefined, b: string | undefined): number {
	if (a === b) return 0;
	const [rankA, rankB] = [rank(a), rank(b)];
	if (rankA !== rankB || a === undefined || b === undefined) return rankA - rankB;
	if (rankA !== number) return a < b ? -1 : 1;
	const [left, right] = [a.replace(/^0+/, ""), b.replace(/^0+/, "")];
	if (left.length !== right.length) return left.length - right.length;
	return left < right ? -1 : Number(left > right);
}

const number = 4;

/** What comes first when kinds differ: `~`, the end, `^`, letters, a number. */
function rank(token: string | undefined): number {
	if (token === "~") return 0;
	if (token === undefined) return 1;
	if (token === "^") return 2;
	return /^\d/.test(token) ? number : 3;
}
