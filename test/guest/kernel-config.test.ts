import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { expect, it } from "vitest";
import { builtinBy, symbols } from "../../src/guest/linux/kernel-config.js";
import { moduleName } from "../../src/guest/linux/modules.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { hostKernel, hostKernelReason, hostModulesFile } from "./support/host.js";

const file = `/boot/config-${hostKernel}`;
const skip = hostKernel === undefined || !existsSync(file);

it.skipIf(skip)(`symbols build the modules that a distribution's kernel has by them ${hostKernelReason}`, async () => {
	const names = async (list: string) =>
		new TextDecoder()
			.decode(await hostModulesFile(list))
			.split("\n")
			.map((line) => moduleName(line.replace(/:.*/, "")));
	const [modules, builtin] = [new Set(await names("modules.dep")), new Set(await names("modules.builtin"))];
	const configuration = await readFile(file, "utf8");
	const set = new Map(Array.from(configuration.matchAll(/^CONFIG_(\w+)=(.*)$/gm), ([, name, value]) => [name, value]));
	const wrong = Object.entries(symbols).filter(([module, symbol]) => {
		const value = set.get(symbol);
		// What is no module, but part of another object, is in no list.
		if (value === "y") return modules.has(module);
		return value === "m" ? !modules.has(module) : modules.has(module) || builtin.has(module);
	});
	expect(wrong).toEqual([]);
	for (const module of builtinBy(configuration).builtin) expect(modules.has(module)).toBe(false);
});

it("every driver of a disk or network card has one", () => {
	const named = hypervisors.flatMap(({ devices }) =>
		devices
			.filter(({ role }) => role === "disk" || role === "network")
			.flatMap(({ addresses, needs = [] }) => addresses.flatMap(({ drivers = [] }) => drivers).concat(needs)),
	);
	const others = ["xen_platform_pci"];
	expect([...new Set(named)].filter((module) => !(module in symbols) && !others.includes(module))).toEqual([]);
});
