import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { closure } from "../../src/driver/closure.js";
import { judgeAll, modulesToAdd } from "../../src/driver/index.js";
import type { Initramfs, LinuxGuest, LinuxKernel } from "../../src/guest/guest.js";
import { readInitramfs } from "../../src/guest/initramfs/initramfs.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { guest } from "./guests.js";
import { version as found, hostModules, reason } from "./host-kernel.js";

const version = found ?? "";

const image = `/boot/initrd.img-${version}`;
const skip = version === "" || !existsSync(image);
const why = version !== "" && skip ? `(skipped: there is no ${image})` : reason;

describe.skipIf(skip)(`Debian's kernel 6.1 and the initramfs that Debian makes for it ${why}`, () => {
	let read: Promise<Initramfs | undefined> | undefined;

	/** A guest with that kernel, and what `change` makes of its initramfs. */
	async function debian(change: (real: Initramfs) => Initramfs) {
		read ??= readInitramfs([{ path: image, source: bytesSource(readFileSync(image), image) }], version);
		const real = await read;
		if (real === undefined) throw new Error(`${image} is no initramfs`);
		const [sample] = guest({}).kernels;
		const kernel: LinuxKernel = { ...sample, version, modules: await hostModules(), initramfs: change(real) };
		const one: LinuxGuest = { ...guest({}), defaultKernel: version, kernels: [kernel] };
		return { guest: one, kernel };
	}

	test("with MODULES=most it has the preferred disk of every hypervisor", async () => {
		const verdicts = judgeAll((await debian((real) => real)).guest, hypervisors);
		for (const [at, { verdict, devices }] of verdicts.entries()) {
			expect(verdict).toBe("ready");
			const disk = devices.find(({ chosen, role }) => chosen && role === "disk");
			expect(disk).toMatchObject({ device: hypervisors[at]?.boot.disk[0], state: "initramfs", missing: [] });
		}
	});

	test("made for one controller it is fixable everywhere, and ready after adding what is named", async () => {
		const home = ["ata_piix", "sd_mod", "ext4"];
		const modules = await hostModules();
		const made = (names: readonly string[]) => (real: Initramfs) => ({
			...real,
			modules: new Map(closure(names, modules).order.map((name) => [name, `kernel/${name}.ko`])),
		});

		const before = await debian(made(home));
		const outcome = judgeAll(before.guest, hypervisors).map(({ hypervisor, verdict }) => `${hypervisor} ${verdict}`);
		expect(outcome).toEqual([
			"vmware fixable",
			"xenserver fixable",
			"hyperv-gen1 fixable",
			"hyperv-gen2 fixable",
			"kvm fixable",
			"virtualbox fixable",
			"nxtop fixable",
			"neocleus fixable",
		]);

		const added = modulesToAdd(before.guest, before.kernel, hypervisors);
		const after = await debian(made([...home, ...added]));
		expect(modulesToAdd(after.guest, after.kernel, hypervisors)).toEqual([]);
		expect(new Set(judgeAll(after.guest, hypervisors).map(({ verdict }) => verdict))).toEqual(new Set(["ready"]));
	});

	/** Counted on overlays of the same kernel that were booted. */
	test.each([
		[["vmw_pvscsi", "sd_mod"], 11],
		[["virtio_pci", "virtio_blk", "virtio_scsi", "sd_mod"], 17],
		[["xen_blkfront"], 1],
		[["hv_vmbus", "hv_storvsc", "sd_mod"], 13],
	])("%s come to %i modules", async (names, count) => {
		expect(closure(names, await hostModules()).order.length).toBe(count);
	});
});
