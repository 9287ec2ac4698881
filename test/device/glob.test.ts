import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { matchesGlob } from "../../src/device/glob.js";
import { because, missing, run } from "../support/tools.js";

/** Answers each `[pattern, text]` line on standard input with what the C library's fnmatch(3) says. */
const fnmatch = `
import ctypes, json, sys
libc = ctypes.CDLL(None)
print(json.dumps([libc.fnmatch(p.encode(), t.encode(), 0) == 0 for p, t in json.loads(sys.argv[1])]))`;

describe.skipIf(missing("python3"))(`agrees with fnmatch(3) ${because("python3")}`, () => {
	const pattern = fc.string({ unit: fc.constantFrom(..."ab01-_[]!^*?\\.:/".split("")), maxLength: 9 });
	const text = fc.string({ unit: fc.constantFrom(..."ab01-_[]!^\\.:/".split("")), maxLength: 6 });

	test("on patterns that are random", async () => {
		// A POSIX class, equivalence class or collating symbol, which no alias has.
		const plain = pattern.filter((one) => !/\[[:.=]/.test(one));
		const pairs = fc.sample(fc.tuple(plain, text), 4000);
		expect(await disagreements(pairs)).toEqual([]);
	});

	test("on patterns that are made from the text, so that many match", async () => {
		const pairs = fc.sample(
			text.chain((one) =>
				fc.tuple(
					fc.tuple(...Array.from(one, disguise)).map((parts) => parts.join("")),
					fc.constant(one),
				),
			),
			2000,
		);
		expect(pairs.filter(([pattern, text]) => matchesGlob(pattern, text)).length).toBeGreaterThan(500);
		expect(await disagreements(pairs)).toEqual([]);
	});

	async function disagreements(pairs: readonly (readonly [string, string])[]) {
		const answers = JSON.parse(await run("python3", "-c", fnmatch, JSON.stringify(pairs))) as boolean[];
		return pairs.filter(([pattern, text], at) => matchesGlob(pattern, text) !== answers[at]);
	}

	function disguise(character: string) {
		const quoted = "[]!^*?\\".includes(character) ? `\\${character}` : character;
		return fc.constantFrom(quoted, quoted, "?", "*", `[${quoted}]`, `[!x${quoted}]`, `[^y]`, `${quoted}*`);
	}
});

test("takes no time over a pattern that tempts to try everything", () => {
	const start = performance.now();
	expect(matchesGlob(`${"*a".repeat(200)}b`, "a".repeat(4000))).toBe(false);
	expect(performance.now() - start).toBeLessThan(2000);
});

test("knows what the kernel writes", () => {
	expect(matchesGlob("pci:v000015ADd000007C0sv*sd*bc*sc*i*", "pci:v000015ADd000007C0sv0sd0bc01sc07i00")).toBe(true);
	expect(matchesGlob("dmi:*:[bs]vnD[Ee][Ll][Ll]*:*", "dmi:x:svnDELLInc.:pn")).toBe(true);
	expect(matchesGlob("acpi*:VMBUS:*", "acpi:VMBUS:")).toBe(true);
});
