import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { judge } from "../../src/driver/index.js";
import { GuestTree } from "../../src/filesystem/tree.js";
import { detectLinux } from "../../src/guest/linux/detect.js";
import { readPe } from "../../src/guest/linux/uki/pe.js";
import { readAddOn } from "../../src/guest/linux/uki/uki.js";
import { kvm } from "../../src/hypervisor/kvm.js";
import { addOn } from "../../src/prepare/add-on.js";
import { apply, plan } from "../../src/prepare/index.js";
import { archive, folder as directory } from "../guest/support/cpio.js";
import { memoryFilesystem } from "../guest/support/memory.js";
import { survivesMutation } from "../guest/support/mutation.js";
import { systemdBoot, systemdBootReason, unifiedKernel } from "../guest/support/uki.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const x64 = 0x8664;
const folder = await temporaryFolder();

/** What binutils finds in a section. */
async function section(image: Uint8Array, name: string): Promise<Uint8Array> {
	const [file, out] = [path.join(folder, "image.efi"), path.join(folder, "section")];
	await writeFile(file, image);
	await run("objcopy", "-O", "binary", "--dump-section", `${name}=${out}`, file, path.join(folder, "rest"));
	return new Uint8Array(await readFile(out));
}

describe.skipIf(missing("objcopy", "objdump"))(`an add-on ${because("objcopy", "objdump")}`, () => {
	it("is an EFI program whose sections are what was given", async () => {
		const contents = Uint8Array.from({ length: 70_001 }, (_, i) => i % 251);
		const image = addOn(x64, "6.1.0-18-amd64", contents);
		expect(await section(image, ".initrd")).toEqual(contents);
		expect(new TextDecoder().decode(await section(image, ".uname"))).toBe("6.1.0-18-amd64");
		const told = await run("objdump", "-p", "-h", path.join(folder, "image.efi"));
		expect(told).toContain("file format pei-x86-64");
		expect(told).toMatch(/Subsystem\s+0*a\s+\(EFI application\)/);
		expect(told).toMatch(/SectionAlignment\s+0*1000/);
		for (const name of [".text", ".sbat", ".uname", ".initrd"]) expect(told).toMatch(new RegExp(`\\d \\${name} `));
	});

	it("starts with what returns at once", async () => {
		const image = addOn(x64, "", new Uint8Array());
		const code = await run("objdump", "-d", "-M", "intel", await saved(image));
		expect(code).toMatch(/movabs rax,0x8000000000000003[^]*\bret\b/);
	});

	async function saved(image: Uint8Array): Promise<string> {
		const file = path.join(folder, "add-on.efi");
		await writeFile(file, image);
		return file;
	}
});

it("an add-on comes back as it was written, and survives damage", async () => {
	await fc.assert(
		fc.asyncProperty(fc.uint8Array({ maxLength: 9000 }), fc.constantFrom(x64, 0xaa64), async (bytes, machine) => {
			const image = bytesSource(addOn(machine, "6.1", bytes));
			expect((await readPe(image))?.machine).toBe(machine);
			const read = await readAddOn(image);
			const inside = new Uint8Array(read?.initrd?.size ?? -1);
			await read?.initrd?.read(0, inside);
			expect(inside).toEqual(bytes);
		}),
	);
	const read = (bytes: Uint8Array) => readAddOn(bytesSource(bytes));
	expect(await survivesMutation(addOn(x64, "6.1", new Uint8Array(9)), read, { numRuns: 150 })).toBe(0);
	expect(() => addOn(0x1234, "", new Uint8Array())).toThrow("0x1234");
});

const release = "6.1.0-18-amd64";
const skip = systemdBoot === undefined || missing("objcopy", "cpio");

describe.skipIf(skip)(`a unified kernel image ${systemdBootReason}${because("objcopy", "cpio")}`, () => {
	const modules = `/usr/lib/modules/${release}`;
	const root = {
		"/usr/lib/os-release": "ID=debian\n",
		"/efi/": "",
		"/etc/fstab": "LABEL=x / ext4 defaults 0 1\n",
		[`${modules}/modules.dep`]:
			"kernel/ext4.ko:\nkernel/virtio_blk.ko: kernel/virtio.ko\nkernel/virtio_pci.ko: kernel/virtio.ko\nkernel/virtio_net.ko: kernel/virtio.ko\nkernel/virtio.ko:\n",
		[`${modules}/modules.alias`]:
			"alias virtio:d00000002v* virtio_blk\nalias virtio:d00000001v* virtio_net\nalias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci\nalias fs-ext4 ext4\n",
		...Object.fromEntries(
			["ext4", "virtio", "virtio_blk", "virtio_pci"].map((name) => [
				`${modules}/kernel/${name}.ko`,
				`the module ${name}`,
			]),
		),
	};
	const lib = `lib/modules/${release}`;
	const initrd = archive([
		...["lib", "lib/modules", lib].map(directory),
		{ name: `${lib}/ext4.ko`, contents: "x" },
		{ name: `${lib}/modules.alias`, contents: "alias fs-ext4 ext4\n" },
		{ name: `${lib}/modules.dep`, contents: "ext4.ko:\n" },
	]);

	/** As its stub would be with another version. */
	function uki(version: string, inside = initrd): Uint8Array {
		const image = Buffer.from(unifiedKernel({ uname: release, cmdline: "root=LABEL=x", initrd: inside }));
		const mark = Buffer.from("LoaderInfo: systemd-stub ");
		const at = image.indexOf(mark);
		image.write(version, at + mark.length, "latin1");
		return new Uint8Array(image);
	}

	async function open(esp: Readonly<Record<string, Uint8Array>>, more: Readonly<Record<string, string>> = {}) {
		const all = { "/EFI/BOOT/BOOTX64.EFI": systemdBoot ?? new Uint8Array(), ...esp };
		const written: Record<string, Uint8Array> = {};
		const editor = {
			writeFile: (file: string, contents: Uint8Array) => Promise.resolve(void (written[file] = contents)),
			makeDirectory: () => Promise.resolve(),
			close: () => Promise.resolve(),
		};
		const editing = { edit: () => Promise.resolve(editor as never) };
		const tree = new GuestTree([
			{ mount: "/", filesystem: Object.assign(memoryFilesystem({ ...root, ...more }), editing) },
			{ mount: "/efi", filesystem: Object.assign(memoryFilesystem(all, { kind: "fat32" }), editing) },
		]);
		const guest = await detectLinux(tree, { volumes: [], diskHead: () => Promise.resolve(new Uint8Array()) });
		if (!guest) throw new Error("no guest");
		const changes = await plan({
			guest,
			tree,
			nics: [{ model: "vmxnet3", mac: "00:0c:29:00:00:01" }],
			targets: [kvm],
			stableName: () => undefined,
		});
		return { guest, tree, changes, verdict: judge(guest, kvm, { firmware: "uefi" }), written };
	}

	it("gets its drivers in an add-on, and is ready with it", async () => {
		const image = uki("257.9-1");
		const { guest, tree, changes, verdict, written } = await open({ "/EFI/Linux/debian.efi": image });
		const place = "/EFI/Linux/debian.efi.extra.d/anyvisor-1.addon.efi";
		expect(verdict.verdict).toBe("fixable");
		expect(verdict.reasons.join(" ")).toMatch(/add-on beside it .*not signed.*Secure Boot enforced it is ignored/);
		expect(changes).toMatchObject([
			{
				action: "append-modules",
				path: `/efi${place}`,
				addOnTo: "/efi/EFI/Linux/debian.efi",
				modules: [{ name: "virtio" }, { name: "virtio_blk" }, { name: "virtio_pci" }],
			},
		]);
		await apply(changes, guest, tree, 0);
		expect(Object.keys(written)).toEqual([place]);
		const file = written[place] ?? new Uint8Array();
		const listed = execFileSync("cpio", ["-it", "--quiet"], {
			input: await section(file, ".initrd"),
			encoding: "utf8",
		});
		expect(listed).toContain(`${lib}/kernel/virtio_blk.ko\n`);

		const after = await open({ "/EFI/Linux/debian.efi": image, ...written });
		expect(after.guest.kernels[0]?.initramfs).toMatchObject({
			path: `/efi${place}`,
			before: ["/efi/EFI/Linux/debian.efi"],
		});
		expect(after.verdict.verdict).toBe("ready");
		expect(after.verdict.reasons.join(" ")).toContain("Secure Boot");
		expect(after.changes).toEqual([]);
	});

	it("gets names of network interfaces in there as well, where udev would give them others", async () => {
		const withUdev = archive([
			...["usr", "usr/bin", "lib", "lib/modules", lib].map(directory),
			{ name: "usr/bin/udevadm", contents: "x" },
			{ name: `${lib}/ext4.ko`, contents: "x" },
			{ name: `${lib}/modules.alias`, contents: "alias fs-ext4 ext4\n" },
		]);
		const named = {
			"/etc/systemd/network/20-static.network": "[Match]\nName=ens192\n[Network]\nAddress=10.0.0.2/24\n",
			"/usr/lib/udev/rules.d/80-net-setup-link.rules": "x",
			"/usr/lib/systemd/libsystemd-shared-252.so": "x",
		};
		const link = "/etc/systemd/network/10-anyvisor-ens192.link";
		for (const inside of [initrd, withUdev]) {
			const { guest, tree, changes, written } = await open({ "/EFI/Linux/debian.efi": uki("257.9-1", inside) }, named);
			expect(changes.map(({ path: file }) => file)).toContain(link);
			await apply(changes, guest, tree, 0);
			const file = Object.entries(written).find(([name]) => name.endsWith(".addon.efi"))?.[1] ?? new Uint8Array();
			const input = await section(file, ".initrd");
			const unpacked = path.join(folder, `unpacked-${inside.length}`);
			await mkdir(unpacked);
			execFileSync("cpio", ["-idm", "--quiet", "-D", unpacked, "--make-directories"], { input });
			const there = await readFile(path.join(unpacked, link), "utf8").catch(() => "none");
			expect(there).toBe(inside === withUdev ? new TextDecoder().decode(written[link]) : "none");
		}
	});

	it("gets another one where one is there that lacks some, or is for another kernel", async () => {
		const image = uki("257.9-1");
		const folder = "/EFI/Linux/debian.efi.extra.d";
		const some = archive([...["lib", "lib/modules", lib].map(directory), { name: `${lib}/virtio.ko`, contents: "x" }]);
		const { changes } = await open({
			"/EFI/Linux/debian.efi": image,
			[`${folder}/anyvisor-1.addon.efi`]: addOn(x64, release, some),
			[`${folder}/other.addon.efi`]: addOn(x64, "6.2", initrd),
		});
		expect(changes).toMatchObject([
			{ path: `/efi${folder}/anyvisor-2.addon.efi`, modules: [{ name: "virtio_blk" }, { name: "virtio_pci" }] },
		]);
	});

	it("stays blocked where its stub takes none, or its name will change, and is told why", async () => {
		const old = await open({ "/EFI/Linux/debian.efi": uki("256.1-99") });
		expect(old.changes).toEqual([]);
		expect(old.verdict.verdict).toBe("blocked");
		expect(old.verdict.reasons.join(" ")).toMatch(/systemd-stub 256\.1-99\S*, while .* from version 257 on\. Rebuild/);
		const counted = await open({ "/EFI/Linux/debian+3.efi": uki("258.1-99") });
		expect(counted.changes).toEqual([]);
		expect(counted.verdict.reasons.join(" ")).toMatch(/its name counts boots/);
		// An add-on that it does not take is not counted on.
		const there = { "/EFI/Linux/debian.efi.extra.d/a.addon.efi": addOn(x64, release, initrd) };
		const ignored = await open({ "/EFI/Linux/debian.efi": uki("256.1-99"), ...there });
		expect(ignored.guest.kernels[0]?.initramfs).toMatchObject({ path: "/efi/EFI/Linux/debian.efi", before: [] });
	});
});
