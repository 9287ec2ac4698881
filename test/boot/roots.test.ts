import { execFile } from "node:child_process";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BootModel, BootOptions } from "../../src/certify/index.js";
import type { Inspection } from "../../src/inspection-schema.js";
import { COMMAND } from "../cli/support.js";
import { inodeField } from "../filesystem/xfs-images.js";
import { guestOn, type Root, rootPartition, withoutRoot } from "../support/guests.js";
import { because, run, temporaryFolder } from "../support/tools.js";
import { bootAndCompare, expectUp, modelNamed, printSeen } from "./compare.js";
import { remembering } from "./nvram.js";

interface Guest {
	readonly root: Root;
	readonly title: string;
	readonly home: BootModel;
	readonly away: string;
	/** What it is that its own firmware was told to start; the others start what any firmware does. */
	readonly program?: string;
	/** What it does on a firmware that was told nothing, and without its disk's driver. */
	readonly stranded: "initramfs" | "no-boot";
	/** Of the volume that holds its root: which partition, how far into that, and who finds no fault with it. */
	readonly volume: { readonly partition: number; readonly offset: number };
	readonly judge: readonly [string, ...string[]];
	readonly rules: readonly string[];
	readonly needs: readonly string[];
}

const virtio = modelNamed("kvm-virtio-blk");
const guests: readonly Guest[] = [
	{
		root: "lvm",
		title: "ext4 on LVM beside /boot, dracut host-only, GRUB by UEFI",
		home: { ...virtio, firmware: "uefi" },
		away: "vmware-nvme",
		program: "\\EFI\\debian\\grubx64.efi",
		stranded: "no-boot",
		volume: { partition: 2, offset: 1 << 20 },
		judge: ["e2fsck", "-fn"],
		rules: ["initramfs", "drop-in", "esp-fallback"],
		needs: [],
	},
	{
		root: "xfs",
		title: "XFS, initramfs-tools MODULES=dep, GRUB by BIOS",
		home: virtio,
		away: "vmware-pvscsi",
		stranded: "initramfs",
		volume: { partition: 1, offset: 0 },
		judge: ["xfs_repair", "-n"],
		rules: ["initramfs", "drop-in"],
		needs: ["guestfish"],
	},
	{
		root: "btrfs",
		title: "the Btrfs subvolume @rootfs, initramfs-tools MODULES=dep, systemd-boot",
		home: { ...virtio, firmware: "uefi" },
		away: "vmware-nvme",
		stranded: "initramfs",
		volume: { partition: 1, offset: 0 },
		judge: ["btrfs", "check", "--readonly"],
		rules: ["initramfs", "drop-in"],
		needs: ["guestfish"],
	},
];

/** Boots that show what is known before: at home, and elsewhere without being prepared. */
const all = process.env["ALL_BOOTS"] !== undefined;
const minutes = all ? "" : "(skipped: takes minutes; npm run test:boot:all)";

const anyvisor = async (...args: string[]) =>
	(await promisify(execFile)("node", [COMMAND, ...args], { maxBuffer: 64 << 20, timeout: 600_000 })).stdout;

const inspect = async (vm: string) => JSON.parse(await anyvisor("inspect", "--json", vm)) as Inspection;

afterAll(printSeen);

describe.each(guests)("a guest whose root is $title", (guest) => {
	const { root, home, away, program, judge } = guest;
	const reason = withoutRoot(root) || because("qemu-img", judge[0], ...guest.needs);

	describe.skipIf(reason !== "")(`${root} ${reason}`, () => {
		let folder = "";
		let image = "";
		let before: Inspection["verdicts"] = [];
		let firmware: BootOptions["firmware"];

		beforeAll(async () => {
			folder = await temporaryFolder();
			image = path.join(folder, "guest.raw");
			await run("cp", "--sparse=always", await guestOn(root), image);
			before = (await inspect(image)).verdicts;
			if (program !== undefined) firmware = await remembering(image, program, path.join(folder, "variables.fd"));
		});

		it.skipIf(!all)(`untouched, it boots at home ${minutes}`, async () => {
			expectUp(await bootAndCompare(root, { format: "raw", file: image }, home, before, firmware));
		});

		it.skipIf(!all)(`untouched, it does not start on ${away} ${minutes}`, async () => {
			const seen = await bootAndCompare(root, { format: "raw", file: image }, modelNamed(away), before);
			expect(seen.outcome.result, seen.tail).toBe(guest.stranded);
		});

		it(`packed and expanded, it boots on ${away}; ${judge[0]} finds nothing, and the source is as it was`, async () => {
			const ova = path.join(folder, "appliance.ova");
			if (root === "xfs") await switchOff(image, folder);
			const digest = await run("sha256sum", image);
			const { changes } = JSON.parse(await anyvisor("pack", image, "-o", ova, "--json")) as {
				changes: readonly { rule: string }[];
			};
			expect([...new Set(changes.map(({ rule }) => rule))].sort()).toEqual([...guest.rules].sort());
			const after = (await inspect(ova)).verdicts;
			expect(after.flatMap((verdict) => verdict.changes)).toEqual([]);
			expect(after.filter(({ verdict }) => verdict === "fixable")).toEqual([]);

			const packages = path.join(folder, "packages");
			await anyvisor("expand", ova, "--for", "kvm", "-o", packages);
			const [file = ""] = (await run("find", packages, "-name", "*.qcow2")).split("\n");
			expectUp(await bootAndCompare(root, { format: "qcow2", file }, modelNamed(away), after));

			const raw = path.join(folder, "after.raw");
			await run("qemu-img", "convert", "-O", "raw", file, raw);
			const volume = await volumeOf(raw, guest.volume);
			await run(judge[0], ...judge.slice(1), volume);
			const folderMode = "040755";
			const late = root === "xfs" ? await inodeField(volume, "/etc/late", "core.mode") : folderMode;
			expect(late).toBe(folderMode);
			expect(await run("sha256sum", image)).toBe(digest);
		});
	});
});

/** As a machine whose power failed: a folder is in the log of its XFS, and nowhere else. */
async function switchOff(disk: string, folder: string): Promise<void> {
	const at = path.join(folder, "running");
	await mkdir(at);
	await run("mount", "-o", `loop,offset=${(await rootPartition(disk)).start}`, disk, at);
	try {
		await mkdir(path.join(at, "etc/late"));
		await run("xfs_io", "-x", "-c", "shutdown -f", at);
	} finally {
		await run("umount", at);
	}
}

/** A volume of a disk as a file of its own. */
async function volumeOf(disk: string, { partition, offset }: Guest["volume"]): Promise<string> {
	const { start, size } = await rootPartition(disk, partition);
	const file = `${disk}.volume`;
	const range = [`skip=${start + offset}`, `count=${size - offset}`, "iflag=skip_bytes,count_bytes"];
	await run("dd", "status=none", "bs=1M", "conv=sparse", `if=${disk}`, `of=${file}`, ...range);
	return file;
}
