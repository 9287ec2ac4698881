import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Alias, AliasIndex, aliasIndex } from "../../src/device/alias-index.js";
import { matchesGlob } from "../../src/device/glob.js";
import { modaliasOf } from "../../src/device/modalias.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { hostModules, reason, version } from "../driver/host-kernel.js";
import { because, missing, run } from "../support/tools.js";

test("finds what trying every pattern finds, in file order", () => {
	const pattern = fc.string({ unit: fc.constantFrom(..."ab:*?".split("")), maxLength: 6 });
	const text = fc.string({ unit: fc.constantFrom(..."ab:".split("")), maxLength: 6 });
	fc.assert(
		fc.property(fc.array(pattern, { maxLength: 40 }), text, (patterns, text) => {
			const aliases = patterns.map((one, at): Alias => [one, `m${at}`]);
			expect(new AliasIndex(aliases).matching(text)).toEqual(aliases.filter(([one]) => matchesGlob(one, text)));
		}),
	);
});

test("takes - for _ as kmod does, but not in a set", () => {
	const index = new AliasIndex([
		["crypto-crc32c", "crc32c_generic"],
		["x[a-c]y", "ranged"],
		["x]y", "broken"],
		["x[y", "broken"],
	]);
	expect(index.modules("crypto_crc32c")).toEqual(["crc32c_generic"]);
	expect(index.modules("crypto-crc32c")).toEqual(["crc32c_generic"]);
	expect(index.modules("xby")).toEqual(["ranged"]);
	expect(index.modules("x_y")).toEqual([]);
	expect(index.modules("x]y")).toEqual([]);
	expect(index.modules("x[y")).toEqual([]);
});

test("is built once for a list", () => {
	const aliases: Alias[] = [["a*", "b"]];
	expect(aliasIndex(aliases)).toBe(aliasIndex(aliases));
});

const unavailable = version === undefined || missing("modprobe");

describe.skipIf(unavailable)(`resolves as modprobe does ${reason}${because("modprobe")}`, () => {
	/** One shell for all of them: a modprobe takes some milliseconds, a shell for each as long again. */
	async function modprobe(names: readonly string[]): Promise<string[][]> {
		const script = `for name; do modprobe -C /dev/null -S ${version} -R "$name" 2>/dev/null; echo .; done`;
		const printed = (await run("bash", "-c", script, "bash", ...names)).split(".\n").slice(0, -1);
		return printed.map((lines) => [...new Set(lines.split("\n").filter((line) => line !== ""))].sort());
	}

	async function disagreements(names: readonly string[]) {
		const { aliases, builtin, paths } = await hostModules();
		const index = aliasIndex(aliases);
		const theirs = await modprobe(names);
		return names.flatMap((name, at) => {
			const found = index.modules(name).sort();
			// kmod asks in this order and stops at the first answer: modules by name, aliases of files, built-in aliases.
			const files = paths.has(name) ? [name] : found.filter((module) => !builtin.has(module));
			const ours = files.length > 0 ? files : found;
			return ours.join() === theirs[at]?.join() ? [] : [{ name, ours, theirs: theirs[at] }];
		});
	}

	test("every address of every hypervisor", async () => {
		const addresses = hypervisors.flatMap(({ devices }) => devices.flatMap((device) => device.addresses));
		const names = [...new Set(addresses.map(modaliasOf))];
		expect(names.length).toBeGreaterThan(50);
		expect(await disagreements(names)).toEqual([]);
	});

	test("names made from 150 of the kernel's own patterns", async () => {
		const { aliases, builtin } = await hostModules();
		const patterns = [...aliases].filter(([, module]) => !builtin.has(module)).map(([pattern]) => pattern);
		const names = fc.sample(fc.constantFrom(...patterns).chain(instance), 150);
		expect(await disagreements(names)).toEqual([]);
	});

	/** A name that the pattern matches. */
	function instance(pattern: string): fc.Arbitrary<string> {
		const parts = pattern.match(/\[[^\]]*\]|[*?]|[^[*?]+/g) ?? [];
		const filled = parts.map((part) => {
			if (part === "*") return fc.constantFrom("", "0", "00000000", "1AF4");
			if (part === "?") return fc.constantFrom("0", "A");
			return part.startsWith("[") ? fc.constant(part.charAt(1)) : fc.constant(part);
		});
		return fc.tuple(...filled).map((texts) => texts.join(""));
	}

	test("a thousand look-ups among its 26,000 aliases take no time", async () => {
		const { aliases } = await hostModules();
		const start = performance.now();
		const index = new AliasIndex(aliases);
		for (let round = 0; round < 1000; round++) index.modules(`pci:v000015ADd000007C0sv0sd0bc01sc07i${round}`);
		expect(performance.now() - start).toBeLessThan(5000);
	});
});
