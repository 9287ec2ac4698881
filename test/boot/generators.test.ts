import { execFileSync } from "node:child_process";
import { chmod, cp, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { closure } from "../../src/driver/closure.js";
import { modulesToAdd } from "../../src/driver/modules-to-add.js";
import type { Initramfs, LinuxKernel } from "../../src/guest/guest.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { planDropIns } from "../../src/prepare/rules/drop-in.js";
import { hostKernel, hostKernelReason } from "../guest/support/host.js";
import { memoryTree } from "../guest/support/memory.js";
import { guestWith, initramfsOf, kernelIn } from "../prepare/support.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const version = hostKernel ?? "";
const directory = `/lib/modules/${version}`;

/** The next kernel update, by the real generators: does their own run bring what had been added? */
describe.skipIf(hostKernel === undefined)(`after a kernel update ${hostKernelReason}`, () => {
	let folder = "";
	let kernel: LinuxKernel;
	let wanted: readonly string[] = [];
	const home = ["ata_piix", "sd_mod", "ext4"];
	const fstab = [{ spec: "UUID=1", mount: "/", type: "ext4", options: "defaults", line: 1 }];

	/** The drop-in for a guest whose initramfs has the drivers of its home alone. */
	async function dropIn(generator: "initramfs-tools" | "dracut") {
		const initramfs: Initramfs = {
			path: "/boot/initrd.img",
			size: 0,
			before: [],
			generator,
			udev: false,
			systemd: false,
			segments: [],
			modules: new Map(closure(home, kernel.modules).order.map((name) => [name, `kernel/${name}.ko`])),
			dependencies: new Map(),
			aliases: kernel.modules.aliases,
			forced: new Set(),
			modulesDirectory: `usr${directory}`,
		};
		const guest = guestWith({ fstab, kernels: [{ ...kernel, initramfs }], generators: [generator] });
		wanted = guest.kernels.flatMap((one) => modulesToAdd(guest, one, hypervisors));
		const tree = memoryTree({ "/etc/": "" });
		const [change] = await planDropIns({ guest, tree, nics: [], targets: hypervisors, stableName: () => undefined });
		if (change?.action !== "write-file") throw new Error("no drop-in");
		return change;
	}

	beforeAll(async () => {
		folder = await temporaryFolder();
		const names = ["dep", "alias", "softdep", "builtin", "builtin.modinfo"].map(
			(name) => `${directory}/modules.${name}`,
		);
		const files = await Promise.all(names.map(async (name) => [name, new Uint8Array(await readFile(name))] as const));
		kernel = await kernelIn(memoryTree(Object.fromEntries(files)), version, directory);
	});

	function expectAll(initramfs: Initramfs, listed: string) {
		expect(wanted.length).toBeGreaterThan(10);
		expect(wanted.filter((module) => !initramfs.modules.has(module))).toEqual([]);
		for (const module of ["vmw_pvscsi", "virtio_blk", "xen-blkfront", "hv_storvsc", "nvme"]) {
			expect(listed).toContain(`/${module}.ko`);
		}
		const guest = guestWith({ fstab, kernels: [{ ...kernel, initramfs }] });
		expect(guest.kernels.flatMap((one) => modulesToAdd(guest, one, hypervisors))).toEqual([]);
	}

	it.skipIf(missing("mkinitramfs", "lsinitramfs"))(
		`mkinitramfs includes the drivers ${because("mkinitramfs", "lsinitramfs")}`,
		async () => {
			const configuration = path.join(folder, "initramfs-tools");
			await cp("/etc/initramfs-tools", configuration, { recursive: true });
			const file = path.join(configuration, "initramfs.conf");
			const text = (await readFile(file, "utf8"))
				.replace(/^MODULES=.*/m, "MODULES=list")
				.replace(/^COMPRESS=.*/m, "COMPRESS=zstd");
			await writeFile(file, text);
			await writeFile(path.join(configuration, "modules"), home.join("\n"));
			const change = await dropIn("initramfs-tools");
			const hook = path.join(configuration, change.path.replace("/etc/initramfs-tools/", ""));
			await mkdir(path.dirname(hook), { recursive: true });
			await writeFile(hook, change.contents);
			await chmod(hook, change.mode);
			const output = path.join(folder, "initrd");
			await run("mkinitramfs", "-d", configuration, "-o", output, version);
			const initramfs = await initramfsOf(new Uint8Array(await readFile(output)), version);
			expectAll(initramfs, await run("lsinitramfs", output));
			expect(initramfs.forced).not.toContain("vmw_pvscsi");
		},
	);

	it.skipIf(missing("dracut", "lsinitrd"))(
		`dracut includes the drivers, and passes over what a kernel lacks ${because("dracut", "lsinitrd")}`,
		async () => {
			const configuration = path.join(folder, "dracut.conf");
			const dropIns = path.join(folder, "dracut.conf.d");
			await writeFile(configuration, "");
			await mkdir(dropIns);
			const change = await dropIn("dracut");
			const contents = change.contents.replace(" in ", " in of_another_kernel ");
			await writeFile(path.join(dropIns, path.basename(change.path)), contents);
			const output = path.join(folder, "initramfs");
			execFileSync(
				"dracut",
				[
					...["--conf", configuration, "--confdir", dropIns, "--force", "--kver", version],
					...["--hostonly", "--no-hostonly-cmdline", "--no-hostonly-default-device", "--zstd"],
					...["--modules", "bash udev-rules kernel-modules rootfs-block base fs-lib"],
					...["--drivers", [...home, "ata_generic", "crc32c_generic"].join(" "), "--filesystems", "ext4", output],
				],
				{ stdio: "pipe" },
			);
			const initramfs = await initramfsOf(new Uint8Array(await readFile(output)), version);
			expectAll(initramfs, await run("lsinitrd", output));
		},
	);
});
