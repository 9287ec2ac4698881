import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type IndexEntry, KmodIndex } from "../../src/guest/linux/kmod-index.js";
import { isKey, kmodIndex } from "../../src/prepare/kmod-index.js";
import { hostKernel, hostKernelReason, hostModulesFile } from "../guest/support/host.js";

describe("indexes for kmod", () => {
	it.skipIf(hostKernel === undefined).each(["modules.dep.bin", "modules.alias.bin"])(
		`are byte for byte what depmod makes of the same entries: %s ${hostKernelReason}`,
		async (name) => {
			const theirs = await hostModulesFile(name);
			expect(Buffer.from(kmodIndex(new KmodIndex(theirs, name).entries())).equals(theirs)).toBe(true);
		},
	);

	it("hold any keys", () => {
		const key = fc.string({ unit: fc.constantFrom("a", "b", "*", "-", "~", " "), maxLength: 6 });
		const entries = fc.uniqueArray(fc.record({ key, value: fc.constantFrom("x", "yy"), priority: fc.nat(9) }), {
			selector: ({ key: one, priority }) => `${one}\0${priority}`,
		});
		const sorted = (list: readonly IndexEntry[]) =>
			list.map(({ key: one, priority, value }) => `${one}\0${priority}\0${value}`).sort();
		fc.assert(
			fc.property(entries, (list) => {
				expect(sorted(new KmodIndex(kmodIndex(list), "ours").entries())).toEqual(sorted(list));
			}),
		);
		expect(["", "pci:v*", "ä", "x".repeat(5000), "\n"].map(isKey)).toEqual([true, true, false, false, false]);
	});
});
