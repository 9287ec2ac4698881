import { randomUUID } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { editable } from "../../src/disk/overlay.js";
import { openRaw } from "../../src/disk/raw/read.js";
import { findVolume } from "../../src/guest/index.js";
import { look } from "../../src/pipeline.js";
import type { Keys } from "../../src/volume/index.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { emptyImage, feed } from "./images.js";
import { bytesIn, encrypted, pbkdf2, secret } from "./luks.js";
import { Lvm, withoutLvm } from "./lvm.js";
import { dataOf, writeMember } from "./md.js";

const mebibyte = 2 ** 20;
const tools = ["mke2fs", "e2fsck", "sfdisk", "debugfs"];
const reason = because(...tools) || withoutLvm();
const rootUuid = "6f5ce5ac-0d43-4a2b-9e4b-7a7b1b8f0c11";

describe.skipIf(missing(...tools) || reason !== "")(`a system on volumes that lie on volumes ${reason}`, async () => {
	const folder = await temporaryFolder();
	const files = new Map<string, string>();

	/** An ext4 file system with what an installed system is known by. */
	beforeAll(async () => {
		const fstab = "/dev/mapper/vg-root / ext4 defaults 0 1\n/dev/vg/var /var ext4 defaults 0 2\n";
		const trees: Readonly<Record<string, Readonly<Record<string, string>>>> = {
			root: { "etc/os-release": "ID=debian\nVERSION_ID=12\n", "etc/fstab": fstab, "usr/lib/libc": "" },
			var: { "lib/dpkg/status": "Package: base\n".repeat(5000) },
		};
		for (const [name, tree] of Object.entries(trees)) {
			for (const [file, contents] of Object.entries(tree)) {
				await mkdir(path.join(folder, name, path.dirname(file)), { recursive: true });
				await writeFile(path.join(folder, name, file), contents);
			}
			const image = await emptyImage(path.join(folder, `${name}.img`), 12 * mebibyte);
			const uuid = name === "root" ? ["-U", rootUuid] : [];
			await run("mke2fs", "-q", "-F", "-t", "ext4", ...uuid, "-L", name, "-d", path.join(folder, name), image);
			files.set(name, image);
		}
	});

	/** Fills volumes of `vg` as the device mapper would, by what lvs says of them. */
	async function fill(lvm: Lvm, images: readonly Uint8Array[], extent = mebibyte) {
		const starts = (await lvm.report("pvs", "pe_start")).map(({ pe_start }) => Number(pe_start));
		for (const { lv_name = "", seg_start, seg_pe_ranges } of await lvm.report(
			"lvs",
			"lv_name,seg_start,seg_pe_ranges",
		)) {
			const [, device = "", first, last] = /^(.*):(\d+)-(\d+)$/.exec(seg_pe_ranges ?? "") ?? [];
			const which = lvm.devices.indexOf(device);
			const bytes = new Uint8Array(await readFile(files.get(lv_name) ?? ""));
			const from = Number(seg_start);
			const length = (Number(last) - Number(first) + 1) * extent;
			images[which]?.set(bytes.subarray(from, from + length), (starts[which] ?? 0) + Number(first) * extent);
		}
	}

	const groups = new Map<string, readonly Uint8Array[]>();

	/** The group `vg` with root and var, on physical volumes of so many MiB. */
	async function group(...sizes: readonly number[]) {
		const known = groups.get(sizes.join());
		if (known) return known;
		const lvm = await Lvm.on(...sizes);
		await lvm.command("vgcreate", "-s", "1m", "vg", ...lvm.devices);
		for (const name of ["root", "var"]) {
			await lvm.command("lvcreate", "-an", "-Zn", "-Wn", "-y", "-L", "12m", "-n", name, "vg");
		}
		const images = await lvm.bytes();
		await fill(lvm, images);
		groups.set(sizes.join(), images);
		return images;
	}

	/** A disk with `contents` as its second partition, beside one that is empty. */
	async function partitioned(contents: Uint8Array, name: string): Promise<Uint8Array> {
		const file = await emptyImage(path.join(folder, name), contents.length + 4 * mebibyte);
		await feed(`label: gpt\nsize=1M\nstart=4096, size=${contents.length / 512}\n`, "sfdisk", "-q", file);
		const disk = new Uint8Array(await readFile(file));
		disk.set(contents, 4096 * 512);
		return disk;
	}

	const opened = (disks: readonly Uint8Array[]) => ({
		name: "vm",
		disks: disks.map((disk, i) => editable(openRaw(bytesSource(disk, `disk${i}.img`)))),
	});

	/** Reads the guest, edits its root, and lets e2fsck judge what the volume then holds. */
	async function judge(vm: ReturnType<typeof opened> & { readonly keys?: Keys }) {
		const contents = await look(vm);
		expect(contents.tree.mounts.map(({ mount }) => mount)).toEqual(["/", "/var"]);
		expect(await contents.tree.readText("/var/lib/dpkg/status")).toContain("Package: base");
		const root = findVolume("/dev/mapper/vg-root", contents.volumes);
		expect(root).toBeDefined();
		for (const name of ["/dev/vg/root", `UUID=${rootUuid}`, "LABEL=root"]) {
			expect(findVolume(name, contents.volumes)).toBe(root);
		}
		const editor = await root?.filesystem?.edit?.();
		if (!root || !editor) throw new Error("the root cannot be edited");
		await editor.writeFile("/etc/added", new TextEncoder().encode("added\n"), {
			mode: 0o644,
			uid: 0,
			gid: 0,
			mtime: 1,
		});
		await editor.close();
		const again = await look(vm);
		expect(await again.tree.readText("/etc/added")).toBe("added\n");
		const bytes = new Uint8Array(root.volume.size);
		await root.volume.source.read(0, bytes);
		const file = path.join(folder, "judged.img");
		await writeFile(file, bytes);
		await run("e2fsck", "-f", "-n", file);
		expect(await run("debugfs", "-R", "cat /etc/added", file)).toBe("added\n");
		return again;
	}

	it("a physical volume on a partition", async () => {
		const [pv = new Uint8Array()] = await group(32);
		const { volumes } = await judge(opened([await partitioned(pv, "disk.img")]));
		expect(
			volumes.map(({ disk, volume, filesystem, recognised, mount }) => ({
				disk,
				scheme: volume.scheme,
				what: filesystem?.kind ?? recognised?.name,
				mount,
			})),
		).toEqual([
			{ disk: 0, scheme: "gpt", what: undefined, mount: undefined },
			{ disk: 0, scheme: "gpt", what: "an LVM2 physical volume", mount: undefined },
			{ disk: 0, scheme: "lvm2", what: "ext4", mount: "/" },
			{ disk: 0, scheme: "lvm2", what: "ext4", mount: "/var" },
		]);
	});

	it("a group over whole disks", async () => {
		const { volumes } = await judge(opened(await group(8, 10, 16)));
		expect(volumes.filter(({ recognised }) => recognised?.name === "an LVM2 physical volume")).toHaveLength(3);
	});

	it.each(["1.0", "1.2"] as const)("a physical volume on a mirror of version %s over partitions", async (version) => {
		const [pv = new Uint8Array()] = await group(32);
		const halves = [0, 1].map((number) => {
			const half = new Uint8Array(34 * mebibyte);
			half.set(pv, dataOf(version, half.length).at);
			writeMember(half, version, number, { level: 1, count: 2 });
			return half;
		});
		const disks = await Promise.all(halves.map((half, i) => partitioned(half, `mirror${i}.img`)));
		const vm = opened(disks);
		const { volumes } = await judge(vm);
		expect(volumes.filter(({ filesystem }) => filesystem).map(({ volume }) => volume.scheme)).toEqual(["lvm2", "lvm2"]);
		expect(volumes.filter(({ recognised }) => recognised?.name === "a Linux RAID member")).toHaveLength(2);
		// What was written to one half was written to the other.
		const [first, second] = await Promise.all(
			vm.disks.map(async (disk) => {
				const bytes = new Uint8Array(30 * mebibyte);
				await disk.read(4096 * 512 + dataOf(version, 34 * mebibyte).at, bytes);
				return bytes;
			}),
		);
		expect(first && second && Buffer.compare(first, second)).toBe(0);
	});

	it.skipIf(missing("cryptsetup"))(`a physical volume on an encrypted partition ${because("cryptsetup")}`, async () => {
		const [pv = new Uint8Array()] = await group(32);
		await writeFile(path.join(folder, "pv.img"), pv);
		const file = await encrypted(path.join(folder, "pv.img"), path.join(folder, "encrypted.img"), ...pbkdf2);
		const disk = await partitioned(await bytesIn(file), "disk.img");
		await expect(look(opened([disk]))).rejects.toMatchObject({
			kind: "refused",
			hint: expect.stringContaining("--key"),
		});
		// e2fsck also judges what was written through the encryption.
		const { volumes } = await judge({ ...opened([disk]), keys: [secret] });
		expect(volumes.map(({ volume }) => volume.scheme)).toEqual(["gpt", "gpt", "luks", "lvm2", "lvm2"]);
	});

	it.skipIf(missing("cryptsetup"))(
		`an encrypted root has the name of its crypttab ${because("cryptsetup")}`,
		async () => {
			const fstab = "/dev/mapper/secret / ext4 defaults 0 1\n/dev/mapper/more /var ext4 defaults 0 2\n";
			for (const [name, tree] of [
				["root", { "etc/os-release": "ID=debian\n", "etc/fstab": fstab, "usr/x": "" }],
				["var", { "lib/x": "" }],
			] as const) {
				for (const [at, contents] of Object.entries(tree)) {
					await mkdir(path.join(folder, "crypttab", name, path.dirname(at)), { recursive: true });
					await writeFile(path.join(folder, "crypttab", name, at), contents);
				}
			}
			const uuids = [randomUUID(), randomUUID()];
			const crypttab = `# name device\nsecret UUID=${uuids[0]} none luks\nmore /dev/sda2 none\nswap /dev/sda9 /dev/urandom swap\n`;
			await writeFile(path.join(folder, "crypttab", "root", "etc/crypttab"), crypttab);
			const parts: Uint8Array[] = [];
			for (const [i, name] of ["root", "var"].entries()) {
				const image = await emptyImage(path.join(folder, `${name}.fs`), 4 * mebibyte);
				await run("mke2fs", "-q", "-F", "-t", "ext4", "-d", path.join(folder, "crypttab", name), image);
				parts.push(await bytesIn(await encrypted(image, `${image}.luks`, ...pbkdf2, "--uuid", uuids[i] ?? "")));
			}
			const size = parts[0]?.length ?? 0;
			const file = await emptyImage(path.join(folder, "two.img"), 2 * size + 4 * mebibyte);
			const table = `label: gpt\nstart=2048, size=${size / 512}\nstart=${2048 + size / 512}, size=${size / 512}\n`;
			await feed(table, "sfdisk", "-q", file);
			const disk = await bytesIn(file);
			for (const [i, part] of parts.entries()) disk.set(part, mebibyte + i * size);
			const { tree, volumes } = await look({ ...opened([disk]), keys: [secret] });
			expect(tree.mounts.map(({ mount }) => mount)).toEqual(["/", "/var"]);
			expect(volumes.map(({ volume, mount }) => [volume.assembled?.devices[0], mount])).toEqual([
				[undefined, undefined],
				[undefined, undefined],
				["/dev/mapper/secret", "/"],
				["/dev/mapper/more", "/var"],
			]);
			expect(findVolume(`/dev/mapper/luks-${uuids[1]}`, volumes)?.mount).toBe("/var");
		},
	);

	it("a group that lacks a disk is told by it", async () => {
		const [pv = new Uint8Array()] = await group(8, 32);
		await expect(look(opened([pv]))).rejects.toMatchObject({
			kind: "not-found",
			message: expect.stringContaining("the volume group vg lacks its physical volume"),
		});
	});
});
