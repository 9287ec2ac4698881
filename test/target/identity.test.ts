import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { readDescribed } from "../../src/open.js";
import { openNamedOrigin } from "../../src/open-disk.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "./appliance.js";

const uuid = "7b10d7af-b932-4c66-b2c3-3996152ec465";
const root = await temporaryFolder();
const disks = [await rawDisk(path.join(root, "a.img"), 1 << 20), await rawDisk(path.join(root, "b.img"), 1 << 20, 2)];

async function packed(hypervisor: string, layout: string) {
	const { folder } = await written(root, hypervisor, layout, { machine: { ...machine, uuid }, disks });
	const note = await readFile(path.join(folder, "IMPORT.md"), "utf8");
	return { folder, note, names: await readdir(folder) };
}

describe("the UUID of the firmware", () => {
	test.each([
		["vmware", "vmx", ".vmx"],
		["kvm", "libvirt", ".xml"],
		["xenserver", "xva", ".xva"],
	] as const)("is in what %s gets as %s, and is read from there", async (hypervisor, layout, ending) => {
		const { folder, note, names } = await packed(hypervisor, layout);
		await using origin = await openNamedOrigin(path.join(folder, names.find((name) => name.endsWith(ending)) ?? ""));
		expect((await readDescribed(origin))?.uuid).toBe(uuid);
		expect(note).not.toContain("the guest will see another one");
	});

	test.skipIf(missing("virt-xml-validate"))(
		`is where libvirt's schema has it ${because("virt-xml-validate")}`,
		async () => {
			const { folder, names } = await packed("kvm", "libvirt");
			const domain = path.join(folder, names.find((name) => name.endsWith(".xml")) ?? "");
			await expect(run("virt-xml-validate", domain, "domain")).resolves.toBeDefined();
			expect(await readFile(domain, "utf8")).toContain(`<uuid>${uuid}</uuid>`);
		},
	);

	test.each([
		["vmware", "ova"],
		["hyperv-gen1", "hyperv"],
	])("is told to be another one where %s has no place for it in its %s", async (hypervisor, layout) => {
		const { note } = await packed(hypervisor, layout);
		expect(note).toContain(`- The firmware's UUID, ${uuid}: the guest will see another one.`);
	});
});
