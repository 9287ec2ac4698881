import { readdir } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { importers } from "../../src/lint/index.js";
import { lintNamed } from "../../src/linting.js";
import { layoutsFor } from "../../src/target/registry.js";
import { temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "../target/appliance.js";

const root = await temporaryFolder();
const disks = [await rawDisk(path.join(root, "a.img"), 5 << 20), await rawDisk(path.join(root, "b.img"), 3 << 20, 2)];

/** Who imports a hypervisor's package, where not the importer of the same name. */
const ALSO: Readonly<Record<string, readonly string[]>> = {
	kvm: ["virt-v2v"],
	xenserver: ["xenserver", "xencenter", "xen-orchestra"],
};
const PACKAGE = /\.(?:ova|ovf|xva|vmx|vhd|raw|xml|tar\.gz)$/;

/** A hypervisor that has no such firmware says so. */
function unsupported(error: unknown): undefined {
	if (error instanceof AnyvisorError && error.kind === "unsupported") return undefined;
	throw error;
}

const cases = hypervisors.flatMap((hypervisor) =>
	layoutsFor(hypervisor.id).flatMap((layout) => {
		const names = ALSO[hypervisor.id] ?? [hypervisor.id];
		const asked = importers.filter(({ id }) => names.includes(id));
		return asked.length === 0 ? [] : [{ hypervisor: hypervisor.id, layout: layout.id, asked }];
	}),
);

describe("what expand writes", () => {
	test("has importers whose rules are known", () => {
		const known = cases.map(({ hypervisor, layout }) => `${hypervisor}/${layout}`);
		expect(known).toEqual(
			expect.arrayContaining(["vmware/ova", "vmware/vmx", "virtualbox/ova", "xenserver/xva", "kvm/libvirt"]),
		);
	});

	test.each(cases)(
		"for $hypervisor as $layout passes the lint of who imports it",
		async ({ hypervisor, layout, asked }) => {
			for (const firmware of ["bios", "uefi"] as const) {
				const changed = { ...machine, firmware };
				const made = await written(root, hypervisor, layout, { disks, machine: changed }).catch(unsupported);
				if (made === undefined) continue;
				const { folder } = made;
				const packages = (await readdir(folder)).filter((name) => PACKAGE.test(name));
				expect(packages.length).toBeGreaterThan(0);
				for (const name of packages) {
					await using linted = await lintNamed(path.join(folder, name), {
						importers: asked,
						verify: true,
						hardwareVersion: 11,
					});
					expect(linted.verdicts.flatMap(({ findings }) => findings.map(({ rule }) => rule))).toEqual([]);
				}
			}
		},
	);

	test("for VMware and VirtualBox is refused by none of those who import OVAs", async () => {
		for (const hypervisor of ["vmware", "virtualbox"]) {
			const { folder } = await written(root, hypervisor, "ova", { disks });
			const name = (await readdir(folder)).find((file) => file.endsWith(".ova")) ?? "";
			await using linted = await lintNamed(path.join(folder, name), { verify: true });
			expect(linted.verdicts.length).toBeGreaterThan(7);
			expect(linted.verdicts.filter(({ verdict }) => verdict === "refuses" || verdict === "loses")).toEqual([]);
		}
	});

	test("for VMware is refused by a host whose hardware is older, in either form", async () => {
		for (const layout of ["ova", "vmx"]) {
			const { folder } = await written(root, "vmware", layout, { disks });
			const name = (await readdir(folder)).find((file) => file.endsWith(`.${layout}`)) ?? "";
			await using linted = await lintNamed(path.join(folder, name), {
				importers: importers.filter(({ id }) => id === "vmware"),
				hardwareVersion: 9,
			});
			const rules = linted.verdicts.flatMap(({ findings }) => findings.map(({ rule }) => rule));
			expect([layout, rules]).toEqual([layout, ["vmware/hardware-version"]]);
		}
	});
});
