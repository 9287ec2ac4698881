import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { closure, requirements } from "../../src/driver/closure.js";
import type { ModuleIndex } from "../../src/guest/guest.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { because, missing, run } from "../support/tools.js";
import { hostModules, reason, version } from "./host-kernel.js";

type Softdeps = Record<string, { readonly pre?: readonly string[]; readonly post?: readonly string[] }>;

function index(
	dependencies: Record<string, readonly string[]>,
	{
		softdeps = {},
		aliases = [],
		builtin = [],
	}: { softdeps?: Softdeps; aliases?: [string, string][]; builtin?: string[] } = {},
): ModuleIndex {
	return {
		dependencies: new Map(Object.entries(dependencies)),
		paths: new Map(Object.keys(dependencies).map((name) => [name, `${name}.ko`])),
		softdeps: new Map(Object.entries(softdeps).map(([name, { pre = [], post = [] }]) => [name, { pre, post }])),
		aliases,
		builtin: new Set(builtin),
	};
}

test("dependencies come first, each once, built-in ones not at all", () => {
	const modules = index({ a: ["b", "c"], b: ["c", "core"], c: [] }, { builtin: ["core"] });
	expect(closure(["a"], modules)).toEqual({ order: ["c", "b", "a"], missing: [] });
	expect(closure(["c", "a"], modules)).toEqual({ order: ["c", "b", "a"], missing: [] });
	expect(closure(["core"], modules)).toEqual({ order: [], missing: [] });
});

test("what is nowhere is missing", () => {
	expect(closure(["a", "x"], index({ a: ["gone"] }))).toEqual({ order: ["a"], missing: ["gone", "x"] });
});

test("a soft dependency may be an alias, may come after, and may be absent", () => {
	const modules = index(
		{ crc_t10dif: [], crct10dif_generic: [], crct10dif_pclmul: [], late: [] },
		{
			softdeps: { crc_t10dif: { pre: ["crct10dif", "nobody"], post: ["late"] } },
			aliases: [
				["crct10dif", "crct10dif_pclmul"],
				["crct10dif", "crct10dif_generic"],
				["crct10dif", "not_installed"],
			],
		},
	);
	const order = ["crct10dif_pclmul", "crct10dif_generic", "crc_t10dif", "late"];
	expect(closure(["crc_t10dif"], modules)).toEqual({ order, missing: [] });
	expect(requirements(["crc_t10dif"], modules)).toEqual({ order: ["crc_t10dif"], missing: [] });
});

test("a cycle ends, a chain of any length is walked", () => {
	const cycle = index({ a: ["b"], b: ["a"] }, { softdeps: { b: { pre: ["a"], post: ["b"] } } });
	expect(closure(["a"], cycle).order.toSorted()).toEqual(["a", "b"]);

	const chain = Array.from({ length: 50_000 }, (_, at): [string, string[]] => [`m${at}`, [`m${at + 1}`]]);
	const { order, missing: absent } = closure(["m0"], index(Object.fromEntries(chain)));
	expect(order.length).toBe(50_000);
	expect(absent).toEqual(["m50000"]);
});

test("any acyclic kernel: every module after what it needs", () => {
	const dependencies = fc.array(fc.array(fc.nat(30), { maxLength: 4 }), { minLength: 1, maxLength: 30 });
	fc.assert(
		fc.property(dependencies, (lists) => {
			const names = lists.map((needs, at): [string, string[]] => [
				`m${at}`,
				needs.filter((one) => one < at).map((one) => `m${one}`),
			]);
			const { order } = closure([`m${lists.length - 1}`], index(Object.fromEntries(names)));
			for (const [at, name] of order.entries()) {
				for (const need of Object.fromEntries(names)[name] ?? []) expect(order.slice(0, at)).toContain(need);
			}
		}),
	);
});

const unavailable = version === undefined || missing("modprobe");

describe.skipIf(unavailable)(`loads what modprobe would load ${reason}${because("modprobe")}`, async () => {
	const modules = unavailable ? undefined : await hostModules();
	const devices = hypervisors.flatMap((hypervisor) => hypervisor.devices);
	const named = devices.flatMap(({ addresses, needs = [] }) =>
		needs.concat(addresses.flatMap(({ drivers = [] }) => drivers)),
	);
	const modelled = [...new Set(named)].filter((name) => modules?.paths.has(name));
	// Of a module with several lines of soft dependencies modprobe heeds the first only.
	const alike = [...(modules?.paths.keys() ?? [])].filter((name) => !["btrfs", "cifs", "ksmbd"].includes(name));
	const others = fc.sample(fc.constantFrom(...alike), alike.length === 0 ? 0 : 40);

	test.each([...modelled, "ext4", "xfs", ...others])("%s", async (name) => {
		if (modules === undefined) throw new Error("skipped");
		const { order, missing: absent } = closure([name], modules);
		expect(absent).toEqual([]);
		const printed = await run("modprobe", "-C", "/dev/null", "-S", `${version}`, "--show-depends", name);
		const theirs = Array.from(printed.matchAll(/^insmod .*\/([^/]+)\.ko/gm), ([, file = ""]) =>
			file.replaceAll("-", "_"),
		);
		expect(order.toSorted()).toEqual([...new Set(theirs)].sort());
		for (const [at, module] of order.entries()) {
			for (const need of modules.dependencies.get(module) ?? []) expect(order.slice(0, at)).toContain(need);
		}
	});
});
