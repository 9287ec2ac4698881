import { cp, mkdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Aliases, aliasIndex } from "../../src/device/alias-index.js";
import { matchesGlob } from "../../src/device/glob.js";
import { KmodIndex } from "../../src/guest/linux/kmod-index.js";
import { indexedAliases, moduleName, parseAliases, readModuleIndex } from "../../src/guest/linux/modules.js";
import { kmodIndex } from "../../src/prepare/kmod-index.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { processorTime } from "./support/cpu.js";
import { hostKernel, hostKernelReason, hostModulesFile } from "./support/host.js";
import { memoryTree } from "./support/memory.js";
import { survivesMutation } from "./support/mutation.js";

const names = ["dep", "alias", "softdep", "builtin", "builtin.modinfo"].map((name) => `modules.${name}`);
const binaryNames = ["dep.bin", "alias.bin", "builtin.bin", "builtin.alias.bin"].map((name) => `modules.${name}`);

async function hostIndex(files: readonly string[]) {
	const contents = await Promise.all(files.map(async (name) => [`/m/${name}`, await hostModulesFile(name)] as const));
	return readModuleIndex(memoryTree(Object.fromEntries(contents)), "/m");
}

/** Order and the spelling of `-` aside. */
const aliasSet = (aliases: Aliases) =>
	new Set(
		[...aliases].map(
			([pattern, module]) => `${pattern.replace(/\[[^\]]*\]|-/g, (part) => (part === "-" ? "_" : part))} ${module}`,
		),
	);

describe.skipIf(hostKernel === undefined)(`module indexes of an installed kernel ${hostKernelReason}`, () => {
	it("finds in the binary indexes what depmod wrote as text", async () => {
		const text = await hostIndex(names);
		const binary = await hostIndex([...binaryNames, "modules.softdep"]);
		const modules = [...text.paths.keys()];
		expect([...binary.paths.keys()]).toEqual(modules);
		expect(modules.length).toBeGreaterThan(1000);
		expect(modules.filter((name) => binary.paths.get(name) !== text.paths.get(name))).toEqual([]);
		const needs = (index: typeof text) => modules.map((name) => index.dependencies.get(name));
		expect(needs(binary)).toEqual(needs(text));
		const absent = ["", "ext", "ext44", "pci:v*", "\0"];
		expect(absent.filter((name) => binary.paths.has(name) || binary.dependencies.get(name))).toEqual([]);
		expect(binary.builtin).toEqual(text.builtin);
		expect(binary.softdeps).toEqual(text.softdeps);
		expect(aliasSet(binary.aliases)).toEqual(aliasSet(text.aliases));
	});

	it("reads the text indexes in well under 150 ms", async () => {
		await hostIndex(names);
		expect(await processorTime(() => hostIndex(names))).toBeLessThan(150);
	});

	it.skipIf(missing("modprobe"))(`resolves names as modprobe does ${because("modprobe")}`, async () => {
		const { aliases, builtin } = await hostIndex(names);
		const index = aliasIndex(aliases);
		const indexed = aliasIndex(
			indexedAliases(new KmodIndex(await hostModulesFile("modules.alias.bin"), "modules.alias.bin")),
		);
		const concrete = [...aliases]
			.filter((_, i) => i % 400 === 0)
			.map(([pattern]) => pattern.replaceAll("*", "0").replaceAll(/\[(.)[^\]]*\]/g, "$1"));
		concrete.push(
			"scsi:t-0x00",
			"pci:v000015ADd000007C0sv000015ADsd000007C0bc01sc07i02",
			"fs-ext4",
			"virtio:d00000002v00001AF4",
		);
		let resolvable = 0;
		const fromIndex: { name: string; found: Set<string>; loadable: Set<string> }[] = [];
		for (const name of concrete) {
			const options = ["-S", hostKernel ?? "", "-C", "/dev/null", "-R", "-a"];
			const resolved = (await run("/sbin/modprobe", ...options, name)).split("\n").filter((line) => line !== "");
			const expected = new Set(resolved.map(moduleName));
			if (expected.size > 0) resolvable++;
			// modprobe stops at the kernel's own modules, where some modules have the same alias.
			const loadable = new Set([...expected].filter((module) => !builtin.has(module)));
			if (loadable.size > 0) fromIndex.push({ name, found: new Set(indexed.modules(name)), loadable });
			expect(index.modules(name)).toEqual(expect.arrayContaining([...expected]));
		}
		expect(resolvable).toBeGreaterThan(50);
		expect(fromIndex.filter(({ found, loadable }) => [...found].sort().join() !== [...loadable].sort().join())).toEqual(
			[],
		);
	});

	it.skipIf(missing("depmod"))(`reads what depmod writes for other modules ${because("depmod")}`, async () => {
		const root = await temporaryFolder();
		const from = `/lib/modules/${hostKernel}`;
		const folder = path.join(root, "lib/modules/9.9.9-test");
		const { paths, dependencies } = await hostIndex(names);
		const wanted = ["ext4", "virtio_net"].flatMap((name) => [name].concat(dependencies.get(name) ?? []));
		for (const name of wanted) {
			const file = paths.get(name) ?? "";
			await mkdir(path.dirname(path.join(folder, file)), { recursive: true });
			await cp(path.join(from, file), path.join(folder, file));
		}
		await run("/sbin/depmod", "-b", root, "9.9.9-test");
		const written = async (name: string) => new Uint8Array(await readFile(path.join(folder, name)));
		const index = await readModuleIndex(
			memoryTree({
				"/m/modules.dep.bin": await written("modules.dep.bin"),
				"/m/modules.alias.bin": await written("modules.alias.bin"),
			}),
			"/m",
		);
		expect(new Set(index.paths.keys())).toEqual(new Set(wanted));
		expect(aliasSet(index.aliases)).toEqual(
			aliasSet(parseAliases(new TextDecoder().decode(await written("modules.alias")))),
		);
		expect(index.dependencies.get("virtio_net")).toContain("net_failover");
		await rm(folder, { recursive: true });
	});
});

/** Two keys, `ab` and `ac`, below a node with the prefix `a`; written by hand after kmod's description. */
const small = Uint8Array.from(
	[
		[0xb0, 0x07, 0xf4, 0x57, 0, 2, 0, 1, 0xa0, 0, 0, 0x28],
		// Node at 12: one value, "one", priority 7.
		[0, 0, 0, 1, 0, 0, 0, 7, 0x6f, 0x6e, 0x65, 0],
		// Node at 24: one value, "two", priority 3.
		[0, 0, 0, 1, 0, 0, 0, 3, 0x74, 0x77, 0x6f, 0],
		[0, 0, 0, 0],
		// Node at 40: prefix "a", children "b" to "c".
		[0x61, 0, 0x62, 0x63, 0x40, 0, 0, 12, 0x40, 0, 0, 24],
	].flat(),
);

describe("kmod index", () => {
	it("reads prefix, children and values, lowest priority first", () => {
		expect(new KmodIndex(small, "small").entries()).toEqual([
			{ key: "ac", value: "two", priority: 3 },
			{ key: "ab", value: "one", priority: 7 },
		]);
	});

	it("refuses another version, and another file", () => {
		expect(() => new KmodIndex(small.with(5, 3), "small")).toThrow("small is not a module index of version 2");
		expect(() => new KmodIndex(new Uint8Array(100), "zeros")).toThrow("zeros is not a module index");
		expect(() => new KmodIndex(new Uint8Array(3), "short")).toThrow("short");
	});

	it("ends where a node is its own child", () => {
		const loop = small.slice();
		loop.set([0xa0, 0, 0, 0x28], 44);
		expect(() => new KmodIndex(loop, "loop").entries()).toThrow("loop: the module index is broken at byte");
	});

	it("finds by pattern what looking through all of it finds", () => {
		const characters = fc.constantFrom(..."aab:*?[]".split(""));
		const patterns = fc.uniqueArray(fc.string({ unit: characters, maxLength: 6 }), { maxLength: 40 });
		const name = fc.string({ unit: fc.constantFrom(..."aab:*".split("")), maxLength: 6 });
		let found = 0;
		fc.assert(
			fc.property(patterns, name, (keys, name) => {
				const entries = keys.map((key, priority) => ({ key, value: "x", priority }));
				const index = new KmodIndex(kmodIndex(entries), "index");
				const matching = entries.filter(({ key }) => matchesGlob(key, name));
				found += matching.length;
				expect(index.matching(name)).toEqual(matching);
				expect(index.get(name)).toEqual(entries.filter(({ key }) => key === name));
			}),
			{ numRuns: 500 },
		);
		expect(found).toBeGreaterThan(100);
	});

	it("survives any damage", async () => {
		const read = (bytes: Uint8Array) => {
			const index = new KmodIndex(bytes, "mutated");
			return [index.matching("ab"), index.get("ac"), index.entries()];
		};
		expect(await survivesMutation(small, read, { numRuns: 2000 })).toBeGreaterThan(0);
	});
});
