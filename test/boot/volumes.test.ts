import { execFile, execFileSync } from "node:child_process";
import { chmod, copyFile, mkdir, open, readdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { readBytes } from "../../src/bytes/source.js";
import { noise } from "../filesystem/ext-images.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { emptyImage } from "../volume/images.js";
import { assembledFrom, lastName } from "../volume/lvm.js";

process.env["PATH"] += ":/usr/sbin:/sbin";

const tools = ["qemu-system-x86_64", "busybox", "cpio", "mdadm", "lvm"];
const mebibyte = 2 ** 20;
/** What the members of an array or of a group may take on the disk that comes back. */
const slot = 12;

/** Arrays that mdadm makes; their members are of so many MiB. */
const arrays: readonly (readonly [name: string, options: string, sizes: readonly number[]])[] = [
	["linear", "--metadata=1.2 --level=linear", [4, 6, 5]],
	["raid0", "--metadata=1.2 --level=0 --chunk=16", [4, 4, 4]],
	["raid0-zones", "--metadata=1.2 --level=0 --chunk=64", [5, 4, 7]],
	["raid1-1.0", "--metadata=1.0 --level=1 --assume-clean", [4, 4]],
	["raid1-1.1", "--metadata=1.1 --level=1 --assume-clean --bitmap=internal", [4, 4]],
	["raid1-1.2", "--metadata=1.2 --level=1 --assume-clean", [4, 5, 4]],
	["raid1-old", "--metadata=0.90 --level=1 --assume-clean", [4, 4]],
	["near-2", "--metadata=1.2 --level=10 --layout=n2 --chunk=16 --assume-clean", [4, 4, 4]],
	["near-3", "--metadata=1.0 --level=10 --layout=n3 --chunk=16 --assume-clean", [4, 4, 4]],
	["near-4", "--metadata=0.90 --level=10 --layout=n2 --chunk=64 --assume-clean", [4, 4, 4, 4]],
	["far-2", "--metadata=1.2 --level=10 --layout=f2 --chunk=16 --assume-clean", [4, 4, 4]],
	["far-3", "--metadata=1.1 --level=10 --layout=f3 --chunk=16 --assume-clean", [4, 4, 4]],
	["offset-2", "--metadata=1.2 --level=10 --layout=o2 --chunk=16 --assume-clean", [4, 4, 4]],
];

/** Logical volumes, in a group on four loop devices. */
const volumes: readonly (readonly [name: string, options: string])[] = [
	["linear", "-L 2m vg"],
	["striped", "-L 3m -i 3 -I 16k vg"],
	["raid0", "--type raid0 -L 2m -i 2 -I 8k vg"],
	["raid1", "--type raid1 -m 1 --nosync -L 1m vg"],
	["raid10", "--type raid10 -i 2 -m 1 -I 16k --nosync -L 1m vg"],
	["mirror", "--type mirror -m 1 --mirrorlog core --nosync -L 1m vg"],
	["thin-1", "--type thin -V 4m --thinpool pool vg"],
	["thin-2", "--type thin -V 6m --thinpool pool vg"],
];
const groupSizes = [12, 12, 12, 12];

const loops = (count: number) => Array.from({ length: count }, (_, i) => `/dev/loop${i}`).join(" ");
const attach = (sizes: readonly number[]) =>
	sizes
		.map((size, i) => `dd if=/dev/zero of=/m${i} bs=1M count=0 seek=${size} 2>/dev/null; losetup /dev/loop${i} /m${i}`)
		.join("\n");
const collect = (sizes: readonly number[], first: number) =>
	sizes
		.map(
			(_, i) =>
				`losetup -d /dev/loop${i}; dd if=/m${i} of=/dev/vda bs=1M seek=${(first + i) * slot} 2>/dev/null; rm /m${i}`,
		)
		.join("\n");
const fill = (device: string) => `dd if=/dev/vdb of=${device} bs=64k iflag=fullblock oflag=direct 2>/dev/null; sync`;

const slots = (at: number) => arrays.slice(0, at).reduce((sum, [, , sizes]) => sum + sizes.length, 0);

const init = (modules: readonly string[]) => `#!/bin/sh
export PATH=/bin
mount -t devtmpfs dev /dev; mount -t proc proc /proc; mount -t sysfs sys /sys; mkdir -p /run /etc/lvm /tmp
exec >/dev/ttyS0 2>&1
${modules.map((module) => `insmod /modules/${module}`).join("\n")}
${arrays
	.map(
		([name, options, sizes], i) => `${attach(sizes)}
yes | mdadm --create /dev/md7 --name=${name} ${options} --raid-devices=${sizes.length} --run ${loops(sizes.length)} >/log 2>&1 || cat /log
${fill("/dev/md7")}
echo ARRAY ${name} $(cat /sys/block/md7/size)
mdadm --stop /dev/md7 2>/dev/null
${collect(sizes, slots(i))}`,
	)
	.join("\n")}
${attach(groupSizes)}
printf 'devices { use_devicesfile=0 scan_lvs=0 obtain_device_list_from_udev=0 filter=["a|loop|","r|.*|"] }\\nactivation { udev_sync=0 udev_rules=0 monitoring=0 }\\nglobal { thin_check_executable="" }\\nbackup { backup=0 archive=0 }\\n' >/etc/lvm/lvm.conf
export LVM_SUPPRESS_FD_WARNINGS=1
lvm vgcreate -s 256k --dataalignment 64k vg ${loops(groupSizes.length)} >/log 2>&1 || cat /log
lvm lvcreate --type thin-pool -L 2m -c 64k --poolmetadatasize 2m -n pool -Zy vg >/log 2>&1 || cat /log
${volumes.map(([name, options]) => `lvm lvcreate -y -Wn ${name.startsWith("thin") ? "" : "-Zn"} ${options} -n ${name} >/log 2>&1 || cat /log`).join("\n")}
lvm vgmknodes
${volumes
	.map(([name]) =>
		name.startsWith("thin")
			? `for at in 3 9 10 40; do dd if=/dev/vdb of=/dev/vg/${name} bs=64k skip=$at seek=$at count=1 oflag=direct 2>/dev/null; done; sync`
			: fill(`/dev/vg/${name}`),
	)
	.join("\n")}
lvm lvs -a -o lv_name,segtype,lv_attr,sync_percent vg
lvm vgchange -an vg >/log 2>&1 || cat /log
${collect(groupSizes, slots(arrays.length))}
sync
echo VOLUMES-END
poweroff -f
`;

describe.skipIf(missing(...tools))(`volumes that a kernel made and filled ${because(...tools)}`, () => {
	let disk = "";
	let printed = "";
	const pattern = noise(24 * mebibyte, 7);

	beforeAll(async () => {
		const folder = await temporaryFolder();
		const root = path.join(folder, "root");
		for (const name of ["bin", "dev", "proc", "sys", "modules"])
			await mkdir(path.join(root, name), { recursive: true });
		const kernel = (await readdir("/boot")).filter((image) => image.startsWith("vmlinuz-")).sort()[0] ?? "";
		const modules = await modulesOf(kernel.replace("vmlinuz-", ""));
		for (const file of modules) await copyFile(file, path.join(root, "modules", path.basename(file)));
		for (const tool of ["mdadm", "lvm"]) await withLibraries(tool, root);
		await copyFile("/bin/busybox", path.join(root, "bin/busybox"));
		const names = "sh mount mkdir insmod dd losetup rm sync poweroff cat printf yes mknod";
		for (const name of names.split(" ")) await copyFile("/bin/busybox", path.join(root, "bin", name));
		await writeFile(path.join(root, "init"), init(modules.map((file) => path.basename(file))));
		await chmod(path.join(root, "init"), 0o755);
		const initramfs = path.join(folder, "initramfs");
		execFileSync("sh", ["-c", `find . | cpio -o -H newc --quiet >${initramfs}`], { cwd: root });
		disk = await emptyImage(
			path.join(folder, "disk.img"),
			(slots(arrays.length) + groupSizes.length) * slot * mebibyte,
		);
		await writeFile(path.join(folder, "pattern.img"), pattern);
		const drive = (file: string) => ["-drive", `file=${path.join(folder, file)},format=raw,if=virtio,cache=unsafe`];
		const { stdout } = await promisify(execFile)(
			"qemu-system-x86_64",
			[
				...["-accel", "kvm", "-accel", "tcg", "-m", "768", "-no-reboot", "-nodefaults", "-display", "none"],
				...["-serial", "stdio", "-monitor", "none", ...drive("disk.img"), ...drive("pattern.img")],
				...["-kernel", `/boot/${kernel}`, "-initrd", initramfs, "-append", "console=ttyS0 quiet panic=-1"],
			],
			{ timeout: 500_000 },
		);
		printed = stdout;
	});

	async function members(first: number, sizes: readonly number[]): Promise<readonly Uint8Array[]> {
		await using file = await open(disk);
		return Promise.all(
			sizes.map(async (size, i) => {
				const image = new Uint8Array(size * mebibyte);
				await file.read(image, 0, image.length, (first + i) * slot * mebibyte);
				return image;
			}),
		);
	}

	it("came to its end", () => {
		expect(printed).toContain("VOLUMES-END");
	});

	it.each(arrays.map(([name, , sizes], i) => [name, sizes, i] as const))("md: %s", async (name, sizes, i) => {
		const images = await members(slots(i), sizes);
		const [, sectors] = new RegExp(`ARRAY ${name} (\\d+)`).exec(printed) ?? [];
		const assembled = await assembledFrom(images);
		expect([...assembled.problems.values()]).toEqual([]);
		const [volume] = assembled.volumes;
		expect(volume?.size).toBe(Number(sectors) * 512);
		if (!volume) throw new Error("not assembled");
		const bytes = await readBytes(volume.source, 0, volume.size);
		expect(Buffer.compare(bytes, pattern.subarray(0, volume.size))).toBe(0);
	});

	it.each(volumes)("lvm: %s", async (name) => {
		const assembled = await assembledFrom(await members(slots(arrays.length), groupSizes));
		const volume = assembled.volumes.find((one) => lastName(one) === name);
		if (!volume) throw new Error("not assembled");
		const bytes = await readBytes(volume.source, 0, volume.size);
		const want = name.startsWith("thin") ? new Uint8Array(volume.size) : pattern.subarray(0, volume.size);
		const block = 64 << 10;
		for (const at of name.startsWith("thin") ? [3, 9, 10, 40] : []) {
			want.set(pattern.subarray(at * block, (at + 1) * block), at * block);
		}
		expect(Buffer.compare(bytes, want)).toBe(0);
	});
});

/** The files of what this needs, those that others need first. */
async function modulesOf(version: string): Promise<readonly string[]> {
	const names = "virtio_pci virtio_blk loop md-mod linear raid0 raid1 raid10 dm-mod dm-mirror dm-raid dm-thin-pool";
	const files = new Set<string>();
	for (const name of names.split(" ")) {
		for (const line of (await run("modprobe", "-S", version, "--show-depends", name)).split("\n")) {
			const [, file] = /^insmod (\S+)/.exec(line) ?? [];
			if (file !== undefined) files.add(file);
		}
	}
	return [...files];
}

async function withLibraries(tool: string, root: string): Promise<void> {
	const file = (await run("sh", "-c", `readlink -f "$(command -v ${tool})"`)).trim();
	await copyFile(file, path.join(root, "bin", tool));
	for (const [library] of (await run("ldd", file)).matchAll(/\/\S+/g)) {
		await mkdir(path.join(root, path.dirname(library)), { recursive: true });
		await copyFile(library, path.join(root, library));
	}
}
