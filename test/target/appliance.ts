import { writeFile } from "node:fs/promises";
import path from "node:path";
import { bytesSource } from "../../src/bytes/source.js";
import type { Disk } from "../../src/disk/disk.js";
import { openDisk } from "../../src/disk/registry.js";
import { everyHypervisor } from "../../src/hypervisor/registry.js";
import type { Machine } from "../../src/machine/machine.js";
import { outputFolder } from "../../src/source/folder.js";
import { layoutNamed, layoutsFor } from "../../src/target/registry.js";
import type { Appliance, LayoutOptions, PlacedLayout } from "../../src/target/target.js";

/** 2025-01-01, the time in every package of these tests. */
const NOW = 1_735_689_600;

export const machine: Machine = {
	name: "Web server №1",
	description: "Serves <pages> & 'more'",
	arch: "x86_64",
	firmware: "bios",
	secureBoot: false,
	cpus: 2,
	memory: 2 ** 31,
	controllers: [
		{ id: "ide0", model: "ide", index: 0 },
		{ id: "ide1", model: "ide", index: 1 },
	],
	disks: [
		{ id: "disk1", kind: "disk", file: "a.img", controller: "ide0", unit: 0 },
		{ id: "cdrom1", kind: "cdrom", controller: "ide1", unit: 0 },
		{ id: "disk2", kind: "disk", file: "b.img", controller: "ide0", unit: 1 },
	],
	nics: [{ model: "tulip", mac: "00:15:5d:01:02:03", network: "br0" }, { model: "tulip" }],
	origin: "libvirt",
	lost: ["The device <sound> is not carried over."],
};

/** A raw disk with data at both ends and in the middle and zeros between; `file` gets the same for judges. */
export async function rawDisk(file: string, size: number, seed = 1): Promise<Disk> {
	const bytes = new Uint8Array(size);
	let state = seed;
	const fill = (from: number, to: number) => {
		for (let at = Math.max(0, from); at < Math.min(size, to); at++) {
			state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
			bytes[at] = state >>> 16;
		}
	};
	fill(0, 150_000);
	fill(Math.floor(size / 2), Math.floor(size / 2) + 70_000);
	fill(size - 1000, size);
	await writeFile(file, bytes);
	return openDisk(bytesSource(bytes, file), { format: "raw" });
}

type Changes = Partial<Omit<Appliance, "hypervisor">> & { readonly disks: readonly Disk[] };

/** The machine for a hypervisor, with the devices that it prefers. */
export function applianceFor(hypervisorId: string, changes: Changes): Appliance {
	const hypervisor = everyHypervisor.find(({ id }) => id === hypervisorId);
	if (hypervisor === undefined) throw new Error(`there is no ${hypervisorId}`);
	return {
		machine,
		attach: { disk: hypervisor.boot.disk[0] ?? "", network: hypervisor.boot.network[0] ?? "" },
		hypervisor,
		guest: { system: "linux", id: "debian", version: "12", arch: "x86_64" },
		now: NOW,
		...changes,
	};
}

/** The package of a machine for a hypervisor, written below `root`; returns the folder it lies in. */
export async function written(
	root: string,
	hypervisorId: string,
	layoutId: string,
	changes: Changes,
	options: LayoutOptions = {},
): Promise<{ readonly folder: string; readonly layout: PlacedLayout }> {
	const layout = layoutNamed(layoutId) ?? layoutsFor(hypervisorId).find(({ id }) => id === layoutId);
	if (layout === undefined) throw new Error(`${hypervisorId} has no ${layoutId}`);
	const folder = path.join(root, `${layout.folder}-${Math.random().toString(36).slice(2)}`);
	await using output = await outputFolder(folder);
	await layout.write(applianceFor(hypervisorId, changes), output, options);
	await output.commit();
	return { folder, layout };
}
