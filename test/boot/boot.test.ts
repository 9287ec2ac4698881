import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readdir } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BootImage } from "../../src/certify/index.js";
import { modaliasOf } from "../../src/device/index.js";
import { openDisk } from "../../src/disk/index.js";
import { hypervisorsNamed } from "../../src/hypervisor/index.js";
import type { Inspection } from "../../src/inspection-schema.js";
import { look } from "../../src/pipeline.js";
import { openFile } from "../../src/source/index.js";
import { readTar } from "../../src/source/tar.js";
import { COMMAND } from "../cli/support.js";
import { guestTools, testGuest } from "../support/guests.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { bootAndCompare, expectUp, modelNamed, printSeen } from "./compare.js";

const exec = promisify(execFile);

const anyvisor = async (...args: string[]) =>
	(await exec("node", [COMMAND, ...args], { maxBuffer: 64 << 20, timeout: 600_000 })).stdout;

const inspect = async (vm: string) => JSON.parse(await anyvisor("inspect", "--json", vm)) as Inspection;

describe.skipIf(missing(...guestTools))(`boots ${because(...guestTools)}`, () => {
	afterAll(printSeen);

	describe.each(["initramfs-tools", "dracut"] as const)("a guest of %s", (generator) => {
		let guest = "";
		let before: Inspection["verdicts"] = [];
		let after: Inspection["verdicts"] = [];
		let packages = "";
		let digest = "";

		beforeAll(async () => {
			guest = await testGuest(generator);
			digest = await sha256(guest);
			before = (await inspect(guest)).verdicts;
			const folder = await temporaryFolder();
			const ova = path.join(folder, "appliance.ova");
			await anyvisor("pack", guest, "-o", ova);
			packages = path.join(folder, "packages");
			await mkdir(packages);
			await anyvisor("expand", ova, "--for", "all", "--checksum", "sha1", "-o", packages);
			after = (await inspect(ova)).verdicts;
		});

		/** The one file of that kind in a package's folder. */
		async function packaged(folder: string, suffix: string): Promise<string> {
			const [name, ...others] = (await readdir(path.join(packages, folder))).filter((file) => file.endsWith(suffix));
			if (name === undefined || others.length > 0) throw new Error(`${folder} has no single ${suffix}`);
			return path.join(packages, folder, name);
		}

		it("every hypervisor but home is fixable before, and ready after", () => {
			expect(before.map(({ verdict }) => verdict)).not.toContain("blocked");
			expect(after.map(({ hypervisor, verdict }) => [hypervisor, verdict])).toEqual(
				after.map(({ hypervisor }) => [hypervisor, "ready"]),
			);
			expect(after.flatMap(({ changes }) => changes)).toEqual([]);
		});

		it("untouched, it boots at home, on IDE", async () => {
			const seen = await bootAndCompare(
				generator,
				{ format: "raw", file: guest },
				modelNamed("virtualbox-ide"),
				before,
			);
			expect(seen.judged.works).toBe(true);
			expectUp(seen);
		});

		it.each(["vmware-pvscsi", "kvm-virtio-blk"])("untouched, it does not find its disk on %s", async (id) => {
			const seen = await bootAndCompare(generator, { format: "raw", file: guest }, modelNamed(id), before);
			expect(seen.judged.works).toBe(false);
			expect(seen.outcome.result, seen.tail).toBe("initramfs");
		});

		it("expanded for VMware, the .vmx folder's disk boots on PVSCSI with VMXNET3", async () => {
			const file = await packaged("vmware-vmx", ".vmdk");
			const seen = await bootAndCompare(generator, { format: "vmdk", file }, modelNamed("vmware-pvscsi"), after);
			expect(seen.judged.works).toBe(true);
			expectUp(seen);
		});

		it("expanded for KVM, the qcow2 boots on virtio-blk", async () => {
			const file = await packaged("kvm", ".qcow2");
			const seen = await bootAndCompare(generator, { format: "qcow2", file }, modelNamed("kvm-virtio-blk"), after);
			expect(seen.judged.works).toBe(true);
			expectUp(seen);
		});

		const unpackers = ["qemu-img", "debugfs", "zstd", "cpio", "modprobe"];
		it.skipIf(missing(...unpackers))(
			`expanded for Hyper-V, the initramfs resolves what VMBus announces, which cannot be booted here ${because(...unpackers)}`,
			async () => {
				const { root, version } = await unpackedInitramfs(await packaged("hyperv-gen2", ".vhdx"));
				const wanted = hypervisorsNamed("hyperv")
					.flatMap(({ devices }) => devices)
					.filter(({ id }) => id === "hyperv-ide" || id === "hyperv-scsi")
					.flatMap(({ addresses }) => addresses.filter(({ bus }) => bus === "vmbus" || bus === "acpi"));
				expect(wanted.length).toBeGreaterThan(2);
				for (const address of wanted) {
					const loaded = await run("modprobe", "-d", root, "-S", version, "--show-depends", modaliasOf(address));
					expect(loaded).toMatch(address.bus === "acpi" ? /hv_vmbus\.ko/ : /hv_vmbus\.ko[^]*hv_storvsc\.ko/);
				}
			},
		);

		if (generator === "dracut") return;

		it("expanded for VMware, the OVA's disk boots on NVMe under UEFI, by the fallback path", async () => {
			const file = await packaged("vmware-ova", ".ova");
			const image: BootImage = { format: "vmdk", file, range: await memberRange(file, /\.vmdk$/) };
			const seen = await bootAndCompare(generator, image, modelNamed("vmware-nvme"), after);
			expect(seen.judged.works).toBe(true);
			expectUp(seen);
		});

		it("expanded for KVM, the qcow2 boots on virtio-scsi", async () => {
			const file = await packaged("kvm", ".qcow2");
			expectUp(await bootAndCompare(generator, { format: "qcow2", file }, modelNamed("kvm-virtio-scsi"), after));
		});

		it("expanded for VirtualBox, the OVA's disk boots on AHCI with E1000", async () => {
			const file = await packaged("virtualbox", ".ova");
			const image: BootImage = { format: "vmdk", file, range: await memberRange(file, /\.vmdk$/) };
			const seen = await bootAndCompare(generator, image, modelNamed("virtualbox-ahci"), after);
			expect(seen.judged.works).toBe(true);
			expectUp(seen);
		});

		it("expanded for Hyper-V, the VHDX boots on generation 1's emulated devices", async () => {
			const file = await packaged("hyperv-gen1", ".vhdx");
			expectUp(await bootAndCompare(generator, { format: "vhdx", file }, modelNamed("hyperv-gen1-emulated"), after));
		});

		it("with Microsoft's identity ata_piix steps aside, as inspect says it will", async () => {
			const file = await packaged("hyperv-gen1", ".vhdx");
			const seen = await bootAndCompare(generator, { format: "vhdx", file }, modelNamed("hyperv-gen1-identity"), after);
			expect(seen.judged.works).toBe(false);
			expect(seen.judged.note).toMatch(/hv_storvsc/);
			expect(seen.outcome.result, seen.tail).toBe("initramfs");
		});

		it.skipIf(missing("xva-img", "tar"))(
			`expanded for XenServer, the disk in the XVA boots on its emulated devices ${because("xva-img", "tar")}`,
			async () => {
				const folder = await temporaryFolder();
				await run("tar", "-xf", await packaged("xenserver", ".xva"), "-C", folder);
				const raw = path.join(folder, "disk.raw");
				const disk = (await readdir(folder)).find((name) => name.startsWith("Ref:"));
				await run("xva-img", "-p", "disk-export", path.join(folder, disk ?? ""), raw);
				expectUp(
					await bootAndCompare(generator, { format: "raw", file: raw }, modelNamed("xenserver-emulated"), after),
				);
			},
		);

		it("the source is byte for byte what it was", async () => {
			expect(await sha256(guest)).toBe(digest);
		});
	});
});

/** The default kernel's initramfs out of a disk, each of its archives unpacked over the one before, by other tools. */
async function unpackedInitramfs(disk: string): Promise<{ root: string; version: string }> {
	const folder = await temporaryFolder();
	const raw = path.join(folder, "disk.raw");
	await run("qemu-img", "convert", "-O", "raw", disk, raw);
	await using source = await openFile(raw);
	const { guest, volumes } = await look({ name: raw, disks: [await openDisk(source, { format: "raw" })] });
	const kernel = guest.kernels.find(({ version }) => version === guest.defaultKernel);
	const at = volumes.find(({ mount }) => mount === "/")?.volume.at;
	if (!kernel?.initramfs || at === undefined) throw new Error(`${disk} has no initramfs`);

	const image = path.join(folder, "initrd");
	await run("debugfs", "-R", `dump ${kernel.initramfs.path} ${image}`, `${raw}?offset=${at}`);
	const root = path.join(folder, "root");
	await mkdir(root);
	for (const { at: from, length, compression } of kernel.initramfs.segments) {
		const open = compression === "none" ? "cat" : `${compression} -dcq`;
		// Each tool stops reading where the archive ends: what modprobe finds in the end is what counts.
		const cut = `tail -c +${from + 1} ${image} | head -c ${length} | ${open} | cpio -idum --quiet -D ${root}`;
		await run("sh", "-c", cut);
	}
	return { root, version: kernel.version };
}

async function memberRange(file: string, name: RegExp) {
	await using source = await openFile(file);
	const member = (await readTar(source)).find((candidate) => name.test(candidate.name));
	if (!member) throw new Error(`${file} has no member ${name}`);
	return { at: member.at, size: member.size };
}

async function sha256(file: string): Promise<string> {
	const hash = createHash("sha256");
	for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
	return hash.digest("hex");
}
