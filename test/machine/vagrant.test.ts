import { cp, mkdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { readBytes } from "../../src/bytes/source.js";
import { ovf } from "../../src/machine/ovf/ovf.js";
import { vmx } from "../../src/machine/vmx.js";
import { openVm, readDescribed } from "../../src/open.js";
import { openNamedOrigin } from "../../src/open-disk.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { outcome, sample } from "./samples.js";

const tools = ["qemu-img", "tar", "gzip"];
const SIZE = 1 << 20;

describe.skipIf(missing(...tools))(`a Vagrant box ${because(...tools)}`, () => {
	let folder = "";
	const at = (...names: string[]) => path.join(folder, ...names);
	const convert = (to: string, file: string, ...options: string[]) =>
		run("qemu-img", "convert", "-O", to, ...options, at("raw"), at(file));
	const machine = (file: string) => ({
		...sample,
		disks: [{ id: "disk1", kind: "disk" as const, file, capacity: SIZE, controller: "sata0", unit: 0 }],
	});

	beforeAll(async () => {
		folder = await temporaryFolder();
		await mkdir(at("Virtual Machines"));
		await mkdir(at("Virtual Hard Disks"));
		await writeFile(at("raw"), new Uint8Array(SIZE).fill(0x5a));
		await writeFile(at("Vagrantfile"), "Vagrant.configure(2)\n");
		await convert("qcow2", "box.img");
		await convert("qcow2", "second.qcow2");
		await convert("vmdk", "box.vmdk", "-o", "subformat=twoGbMaxExtentSparse");
		await convert("vmdk", "box-disk001.vmdk", "-o", "subformat=streamOptimized");
		await convert("vhdx", "Virtual Hard Disks/box.vhdx");
		await writeFile(at("box.ovf"), ovf.write?.(machine("box-disk001.vmdk")) ?? "");
		await writeFile(at("box.vmx"), vmx.write?.(machine("box.vmdk")) ?? "");
		await writeFile(
			at("Virtual Machines", "box.xml"),
			`<configuration><_83f8638b-8dca-4152-9eda-2ca8b33039b4_><VDEVVersion type="integer">256</VDEVVersion><controller0><drive0>
			<type type="string">VHD</type><pathname type="string">C:\\VMs\\box.vhdx</pathname></drive0></controller0>
			</_83f8638b-8dca-4152-9eda-2ca8b33039b4_><manifest><vdev001><device type="string">83f8638b-8dca-4152-9eda-2ca8b33039b4</device>
			<instance type="string">83F8638B-8DCA-4152-9EDA-2CA8B33039B4</instance><name type="string">Microsoft Emulated IDE Controller</name>
			</vdev001></manifest><properties><name type="string">${sample.name}</name></properties></configuration>`,
		);
	});

	async function pack(metadata: unknown, ...members: string[]): Promise<string> {
		await writeFile(at("metadata.json"), typeof metadata === "string" ? metadata : JSON.stringify(metadata));
		await run(
			"tar",
			"-C",
			folder,
			"-czf",
			at("test.box"),
			"./metadata.json",
			"./Vagrantfile",
			...members.map((each) => `./${each}`),
		);
		return at("test.box");
	}

	async function opened(box: string) {
		await using origin = await openNamedOrigin(box);
		const vm = await openVm(origin);
		const contents = await Promise.all(vm.disks.map(async (disk) => (await readBytes(disk, SIZE - 1, 1))[0]));
		return { kind: vm.kind, name: vm.described?.name, contents, shown: (await readDescribed(origin))?.name };
	}

	test("of each provider is its machine with its disks", async () => {
		const one = { name: sample.name, shown: sample.name, contents: [0x5a] };
		const virtualbox = await pack({ provider: "virtualbox" }, "box.ovf", "box-disk001.vmdk");
		expect(await opened(virtualbox)).toEqual({ kind: "ovf", ...one });
		const vmware = await pack({ provider: "vmware_desktop" }, "box.vmx", "box.vmdk", "box-s001.vmdk");
		expect(await opened(vmware)).toEqual({ kind: "vmx", ...one });
		const hyperv = await pack({ provider: "hyperv" }, "Virtual Machines/box.xml", "Virtual Hard Disks/box.vhdx");
		expect(await opened(hyperv)).toEqual({ kind: "hyperv-xml", ...one });
		const alone = { kind: "vagrant", name: undefined, shown: undefined };
		const libvirt = await pack({ provider: "libvirt", format: "qcow2", virtual_size: 1 }, "box.img");
		expect(await opened(libvirt)).toEqual({ ...alone, contents: [0x5a] });
		const disks = [{ path: "box.img" }, { path: "second.qcow2" }];
		const two = await pack({ provider: "libvirt", disks }, "box.img", "second.qcow2");
		expect(await opened(two)).toEqual({ ...alone, contents: [0x5a, 0x5a] });
	});

	test.skipIf(missing("7zz"))(`is the same machine zipped ${because("7zz")}`, async () => {
		const zipped = async (metadata: unknown, ...members: string[]) => {
			await writeFile(at("metadata.json"), JSON.stringify(metadata));
			await rm(at("zipped.box"), { force: true });
			const box = ["a", "-tzip", "zipped.box", "metadata.json", "Vagrantfile", ...members];
			await run("sh", "-c", 'cd "$1" && shift && exec 7zz "$@"', "sh", folder, ...box);
			return at("zipped.box");
		};
		const one = { name: sample.name, shown: sample.name, contents: [0x5a] };
		const virtualbox = await zipped({ provider: "virtualbox" }, "box.ovf", "box-disk001.vmdk");
		expect(await opened(virtualbox)).toEqual({ kind: "ovf", ...one });
		await cp(at("box.vmx"), at("box.vmx.bak"));
		const left = ["box.vmx.bak", "box.vmx"];
		const vmware = await zipped({ provider: "vmware_desktop" }, ...left, "box.vmdk", "box-s001.vmdk");
		expect(await opened(vmware)).toEqual({ kind: "vmx", ...one });
		const hyperv = await zipped({ provider: "hyperv" }, "Virtual Machines/box.xml", "Virtual Hard Disks/box.vhdx");
		expect(await opened(hyperv)).toEqual({ kind: "hyperv-xml", ...one });
		const libvirt = await zipped({ provider: "libvirt" }, "box.img");
		expect(await opened(libvirt)).toEqual({ kind: "disk", name: undefined, shown: undefined, contents: [0x5a] });
		await cp(at("box.vmx"), at("other.vmx"));
		const two = await zipped(
			{ provider: "x" },
			"other.vmx",
			"box.vmdk",
			"box-s001.vmdk",
			"box.ovf",
			"box-disk001.vmdk",
		);
		expect(await outcome(opened(two))).toBe("usage");
		await using disk = await openNamedOrigin(`${two}:box.vmdk`);
		expect((await openVm(disk)).kind).toBe("disk");
	});

	test.each([
		["that leads out of it", { provider: "libvirt", disks: [{ path: "../raw" }] }, "not-found"],
		["without its disk", { provider: "libvirt" }, "not-found"],
		["without its descriptor", { provider: "virtualbox" }, "not-found"],
		["with disks that are none", { provider: "libvirt", disks: [{}] }, "damaged"],
		["of too many disks", { provider: "libvirt", disks: Array.from({ length: 65 }, () => ({ path: "x" })) }, "damaged"],
		["of an unknown provider", { provider: "docker" }, "unsupported"],
	])("%s is a typed error", async (_, metadata, kind) => {
		expect(await outcome(opened(await pack(metadata)))).toBe(kind);
	});

	test("is none by a file that only has the name of its metadata", async () => {
		expect(await opened(await pack("[1, 2]", "box.img"))).toMatchObject({ kind: "disk", contents: [0x5a] });
	});
});
