import { describe, expect, it } from "vitest";
import { damaged } from "../../src/bytes/errors.js";
import { bytesSource } from "../../src/bytes/source.js";
import type { Filesystem } from "../../src/filesystem/index.js";
import { assembleTree, findVolume, type MountableVolume } from "../../src/guest/index.js";
import { namedByGuest } from "../../src/guest/mounts.js";
import type { Volume } from "../../src/volume/volume.js";
import { type Contents, type MemoryOptions, memoryFilesystem, memoryTree } from "./support/memory.js";

function volume(
	number: number,
	files: Readonly<Record<string, Contents>>,
	{ filesystem = {}, ...rest }: Partial<Volume> & { filesystem?: MemoryOptions } = {},
): MountableVolume {
	return {
		volume: {
			number,
			scheme: "gpt",
			at: number * 1e9,
			size: 1e9,
			type: "0fc63daf-8483-4772-8e79-3d69d8477de4",
			bootable: false,
			source: bytesSource(new Uint8Array()),
			...rest,
		},
		filesystem: memoryFilesystem(files, filesystem),
	};
}

const root = (fstab: string, more: Readonly<Record<string, Contents>> = {}) => ({
	"/etc/os-release": "ID=debian",
	"/etc/fstab": fstab,
	"/usr/lib/": "",
	"/boot/": "",
	...more,
});
const esp = { type: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b", filesystem: { kind: "fat32", uuid: "1234-ABCD" } };

const mountsOf = async (volumes: readonly MountableVolume[]) =>
	(await assembleTree(volumes))?.mounts.map(({ mount, filesystem }) => [
		mount,
		volumes.findIndex((one) => one.filesystem === filesystem),
	]);

describe("assembling a guest's tree", () => {
	it("mounts what fstab says, and nothing else", async () => {
		const fstab =
			"UUID=aaaa / ext4 d 0 0\nUUID=bbbb /boot ext4 d 0 0\nUUID=1234-abcd /boot/efi/ vfat d 0 0\nUUID=cccc /home ext4 d 0 0\nUUID=gone /var ext4 d 0 0\n/dev/sr0 /media/cdrom iso9660 d 0 0\n";
		const volumes = [
			volume(1, {}, esp),
			volume(2, { "/vmlinuz": "" }, { filesystem: { uuid: "bbbb" } }),
			volume(3, root(fstab), { filesystem: { uuid: "aaaa" } }),
			volume(4, {}, { filesystem: { uuid: "cccc" } }),
		];
		expect(await mountsOf(volumes)).toEqual([
			["/", 2],
			["/boot", 1],
			["/boot/efi", 0],
		]);
		expect(await (await assembleTree(volumes))?.stat("/boot/vmlinuz")).toMatchObject({ type: "file" });
	});

	it("offers an ESP that nothing mounts", async () => {
		const home = (files: Readonly<Record<string, Contents>>) =>
			mountsOf([volume(1, {}, esp), volume(2, root("", files))]);
		expect(await home({ "/boot/efi/": "" })).toEqual([
			["/", 1],
			["/boot/efi", 0],
		]);
		expect(await home({ "/efi/": "", "/boot/vmlinuz": "" })).toEqual([
			["/", 1],
			["/efi", 0],
		]);
		// Nothing else is at /boot, and no folder is there for it.
		expect(await home({})).toEqual([
			["/", 1],
			["/boot", 0],
		]);
		expect(await home({ "/boot/vmlinuz": "" })).toEqual([
			["/", 1],
			["/boot/efi", 0],
		]);
		const mbr = { type: "ef", scheme: "mbr", filesystem: { kind: "fat16" } } as const;
		expect(await mountsOf([volume(1, {}, mbr), volume(2, root("", { "/boot/efi/": "" }))])).toEqual([
			["/", 1],
			["/boot/efi", 0],
		]);
		const mounted = root("UUID=1234-ABCD /efi vfat d 0 0");
		expect(await mountsOf([volume(1, {}, esp), volume(2, mounted)])).toEqual([
			["/", 1],
			["/efi", 0],
		]);
	});

	it("has the extended boot loader partition at /boot, where fstab has nothing there", async () => {
		const extended = { type: "bc13c2ff-59e6-4262-a352-b275fd6f7172", filesystem: { uuid: "eeee" } };
		const own = root("", { "/efi/": "" });
		expect(await mountsOf([volume(1, {}, esp), volume(2, {}, extended), volume(3, own)])).toEqual([
			["/", 2],
			["/boot", 1],
			["/efi", 0],
		]);
		const fstab = root("UUID=bbbb /boot ext4 d 0 0");
		const other = volume(4, {}, { filesystem: { uuid: "bbbb" } });
		expect(await mountsOf([volume(2, {}, extended), volume(3, fstab), other])).toEqual([
			["/", 1],
			["/boot", 2],
		]);
	});

	it("prefers the root that its boot loader names", async () => {
		const config = (spec: string) => ({
			"/boot/grub/grub.cfg": `menuentry a { linux /vmlinuz root=x root=${spec} ro }`,
		});
		const volumes = [
			volume(1, root("", config("UUID=bbbb")), { filesystem: { uuid: "aaaa" } }),
			volume(2, root("", config('"UUID=bbbb"')), { filesystem: { uuid: "bbbb" } }),
		];
		expect(await mountsOf(volumes)).toEqual([["/", 1]]);
		expect(await mountsOf(volumes.slice(0, 1))).toEqual([["/", 0]]);
	});

	it("passes over a volume that is damaged, and tells it where nothing else is found", async () => {
		const rotten = { ...memoryFilesystem({}), stat: () => Promise.reject(damaged("rotten root")) };
		const broken = { ...volume(1, {}), filesystem: rotten };
		const whole = volume(2, { ...root(""), "/etc/fstab": { ...bytesSource(new Uint8Array(9)), size: 1e9 } });
		expect(await mountsOf([broken, whole])).toEqual([["/", 1]]);
		await expect(assembleTree([broken])).rejects.toThrow("rotten root");
		const failing = { ...memoryFilesystem({}), stat: () => Promise.reject(new Error("EIO")) };
		await expect(assembleTree([whole, { ...broken, filesystem: failing }])).rejects.toThrow("EIO");
	});

	describe("from subvolumes", () => {
		const withSubvolumes = (top: Filesystem, subvolumes: Readonly<Record<string, Filesystem>>): Filesystem => ({
			...top,
			subvolume: (which) =>
				which === "rotten" ? Promise.reject(damaged("rotten")) : Promise.resolve(subvolumes[String(which)]),
		});
		const grub = (flags: string) => ({
			"/boot/grub/grub.cfg": `menuentry a { linux /vmlinuz root=UUID=aaaa ${flags} ro }`,
		});
		const top = memoryFilesystem({}, { kind: "btrfs", uuid: "aaaa" });
		const mounts = async (filesystem: Filesystem) => (await assembleTree([{ ...volume(1, {}), filesystem }]))?.mounts;

		it("mounts those that fstab names, by path or by id", async () => {
			const fstab = [
				"UUID=aaaa / btrfs subvol=@ 0 0",
				"UUID=aaaa /var btrfs defaults,subvol=/@var,compress=zstd 0 0",
				"UUID=aaaa /boot btrfs subvolid=258 0 0",
				"UUID=aaaa /usr btrfs subvol=gone 0 0",
				"UUID=aaaa /efi btrfs subvol=rotten 0 0",
				"UUID=aaaa /home btrfs subvol=@home 0 0",
			].join("\n");
			const [at, home, var_, boot] = [memoryFilesystem(root(fstab)), top, memoryFilesystem({}), memoryFilesystem({})];
			const filesystem = withSubvolumes(top, { "@": at, "@home": home, "/@var": var_, "258": boot });
			const found = await mounts(filesystem);
			expect(found?.map(({ mount }) => mount)).toEqual(["/", "/var", "/boot"]);
			expect(found?.[0]?.filesystem).toBe(at);
			expect(found?.[1]?.filesystem).toBe(var_);
			expect(found?.[2]?.filesystem).toBe(boot);
		});

		it("prefers what is mounted by default, unless the boot loader says otherwise", async () => {
			const [at, other] = [memoryFilesystem(root("")), memoryFilesystem(root("", grub("rootflags=ro,subvol=root")))];
			const byDefault = withSubvolumes(memoryFilesystem(root(""), { uuid: "aaaa" }), { "@": at });
			expect((await mounts(byDefault))?.[0]?.filesystem).toBe(byDefault);
			const named = withSubvolumes(top, { "@": at, root: other });
			expect((await mounts(named))?.[0]?.filesystem).toBe(other);
			expect((await mounts(withSubvolumes(top, { "@": at })))?.[0]?.filesystem).toBe(at);
			expect(await mounts(withSubvolumes(top, {}))).toBeUndefined();
		});

		it("of a file system without any, mount options choose nothing", async () => {
			const fstab = "UUID=bbbb /boot ext4 subvol=@ 0 0";
			const volumes = [volume(1, root(fstab)), volume(2, {}, { filesystem: { uuid: "bbbb" } })];
			expect(await mountsOf(volumes)).toEqual([
				["/", 0],
				["/boot", 1],
			]);
		});
	});

	it("knows no root where there is none", async () => {
		expect(await assembleTree([])).toBeUndefined();
		expect(
			await assembleTree([volume(1, { "/etc/fstab": "" }), volume(2, { "/usr/lib/os-release": "" })]),
		).toBeUndefined();
	});
});

describe("finding a volume by its name", () => {
	const first = volume(1, {}, { partUuid: "ab12cd34-01", filesystem: { uuid: "12AB-34CD", label: "my data" } });
	const second = volume(2, {});
	const third = volume(5, {}, { label: "Linux root" });
	const disk = [first, second, third];

	it.each([
		["UUID=12ab-34cd", first],
		['UUID="12AB-34CD"', first],
		["/dev/disk/by-uuid/12AB-34CD", first],
		["LABEL=my data", first],
		["/dev/disk/by-label/my\\x20data", first],
		["PARTUUID=AB12CD34-01", first],
		["PARTLABEL=Linux root", third],
		["/dev/disk/by-partlabel/Linux\\x20root", third],
		["/dev/sda2", second],
		["/dev/vda5", third],
		["/dev/xvda1", first],
		["/dev/hdc1", first],
		["/dev/nvme0n1p2", second],
		["/dev/mmcblk0p2", second],
		["/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:0:0-part2", second],
		["/dev/disk/by-id/ata-VBOX_HARDDISK_VB1-2-part5", third],
		["/dev/disk/by-id/ata-VBOX_HARDDISK_VB1-2", undefined],
		["/dev/disk/by-id/dm-name-vg-part2", undefined],
		["UUID=", undefined],
		["LABEL=none", undefined],
		["/dev/sda3", undefined],
		["/dev/sda", undefined],
		["/dev/mapper/vg-root", undefined],
		["tmpfs", undefined],
	])("finds %s", (name, expected) => {
		expect(findVolume(name, disk)).toBe(expected);
	});

	it("knows assembled volumes by the names that Linux gives them, and does not take them for disks", () => {
		const assembled = (scheme: "lvm2" | "md", ...devices: string[]) =>
			volume(0, {}, { scheme, assembled: { from: [first.volume], devices } });
		const root = assembled("lvm2", "/dev/vg-1/root", "/dev/mapper/vg--1-root");
		const array = assembled("md", "/dev/md/data");
		const all = [...disk, root, array];
		expect(findVolume("/dev/vg-1/root", all)).toBe(root);
		expect(findVolume("/dev/mapper/vg--1-root", all)).toBe(root);
		expect(findVolume("/dev/mapper/vg-1-root", all)).toBeUndefined();
		expect(findVolume("/dev/md/data", all)).toBe(array);
		expect(findVolume("/dev/md127", all)).toBe(array);
		expect(findVolume("/dev/md127", [...all, assembled("md", "/dev/md0")])).toBeUndefined();
		expect(findVolume("/dev/sdb2", all)).toBe(second);
	});

	it("counts disks", () => {
		const whole = volume(0, {}, { scheme: "whole-disk" });
		const other = volume(1, {});
		const volumes = [first, second, other, whole];
		expect(findVolume("/dev/sda1", volumes)).toBe(first);
		expect(findVolume("/dev/sdb1", volumes)).toBe(other);
		expect(findVolume("/dev/nvme1n1p1", volumes)).toBe(other);
		expect(findVolume("/dev/sdc", volumes)).toBe(whole);
		expect(findVolume("/dev/sdd1", volumes)).toBeUndefined();
		expect(findVolume("/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:1:0-part1", volumes)).toBeUndefined();
	});
});

describe("disks without partitions among others", () => {
	const whole = { scheme: "whole-disk" } as const;
	const [a1, a2, b, c1, d1] = [volume(1, {}), volume(2, {}), volume(0, {}, whole), volume(1, {}), volume(1, {})];

	it("count as disks of their own", () => {
		const volumes = [a1, a2, b, c1, d1];
		expect(["/dev/sdb", "/dev/sdc1", "/dev/sdd1"].map((name) => findVolume(name, volumes))).toEqual([b, c1, d1]);
		const first = [b, c1, d1];
		expect(["/dev/vda", "/dev/vdb1", "/dev/vdc1"].map((name) => findVolume(name, first))).toEqual([b, c1, d1]);
	});

	it("count when there is nothing on them, where it is known which disk each volume is on", () => {
		const on = (disk: number, found: ReturnType<typeof volume>) => Object.assign({}, found, { disk });
		const volumes = [on(0, a1), on(0, a2), on(2, c1), on(3, b)];
		expect(findVolume("/dev/sda2", volumes)).toBe(volumes[1]);
		expect(findVolume("/dev/sdb1", volumes)).toBeUndefined();
		expect(findVolume("/dev/sdc1", volumes)).toBe(volumes[2]);
		expect(findVolume("/dev/sdd", volumes)).toBe(volumes[3]);
	});
});

describe("encrypted volumes that the command line has opened", () => {
	const uuid = "0c9eb5cf-3d57-4f3b-9d4e-6a6f0a0ce9d6";
	const encrypted = { ...volume(2, {}), uuid };
	const opened = volume(
		0,
		{},
		{ scheme: "luks", assembled: { from: [encrypted.volume], devices: [`/dev/dm-uuid-${uuid}`] } },
	);
	const all = [volume(1, {}), encrypted, opened];

	it.each([
		[`rd.luks.name=${uuid}=cryptroot`, "/dev/mapper/cryptroot"],
		[`luks.name=UUID=${uuid}=cryptroot`, "/dev/mapper/cryptroot"],
		[`rd.luks.uuid=${uuid}`, `/dev/mapper/luks-${uuid}`],
		[`rd.luks.uuid=luks-${uuid}`, `/dev/mapper/luks-${uuid}`],
		[`cryptdevice=UUID=${uuid}:cryptroot:allow-discards`, "/dev/mapper/cryptroot"],
		["cryptdevice=/dev/sda2:cryptroot", "/dev/mapper/cryptroot"],
		[`cryptroot=UUID=${uuid} cryptdm=cryptroot`, "/dev/mapper/cryptroot"],
		[`cryptroot=UUID=${uuid}`, "/dev/mapper/root"],
	])("have the names that it gives: %s", async (argument, name) => {
		const tree = memoryTree({
			"/boot/grub/grub.cfg": `menuentry a {\nlinux /boot/vmlinuz root=${name} ${argument}\n}\n`,
			"/boot/vmlinuz": "",
		});
		const named = await namedByGuest(all, tree);
		expect(findVolume(name, named)?.volume.scheme).toBe("luks");
		expect(findVolume("/dev/mapper/other", named)).toBeUndefined();
	});
});
