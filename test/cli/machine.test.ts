import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { machineSchema } from "../../src/machine/schema.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { anyvisor } from "./support.js";

const CONFIGURATION = `name: web
memory: 1024
ostype: l26
scsihw: virtio-scsi-pci
scsi0: local:100/vm-100-disk-0.qcow2,size=32G
net0: virtio=A2:C0:43:77:08:A0,bridge=vmbr0
smbios1: uuid=7b10d7af-b932-4c66-b2c3-3996152ec465
usb0: spice
`;

describe("machine", () => {
	let folder = "";
	const at = (...names: string[]) => path.join(folder, ...names);

	beforeAll(async () => {
		folder = await temporaryFolder();
		await writeFile(at("100.conf"), CONFIGURATION);
	});

	it("show tells what a descriptor says whose disks are not there", async () => {
		expect(await anyvisor(["machine", "show", at("100.conf")])).toEqual({
			code: 0,
			signal: null,
			stderr: "",
			stdout: `web (proxmox)
1 CPU (x86_64), 1.0 GiB of memory, BIOS
UUID 7b10d7af-b932-4c66-b2c3-3996152ec465
disk1  scsi0:0 (virtio-scsi)  100/vm-100-disk-0.qcow2, 32.0 GiB
nic1   virtio-net             a2:c0:43:77:08:a0, vmbr0
! The USB device usb0 (spice) is not carried over.
`,
		});
		const { stdout } = await anyvisor(["machine", "show", "--json", at("100.conf")]);
		expect(machineSchema.parse(JSON.parse(stdout)).uuid).toBe("7b10d7af-b932-4c66-b2c3-3996152ec465");
	});

	it("convert writes another descriptor, and replaces none unasked", async () => {
		const args = ["machine", "convert", at("100.conf"), "--to", "libvirt", "-o", at("web.xml")];
		const first = await anyvisor(args);
		expect(first).toMatchObject({ code: 0, stderr: "anyvisor: The USB device usb0 (spice) is not carried over.\n" });
		const text = await readFile(at("web.xml"), "utf8");
		const printed = await anyvisor(["machine", "convert", at("100.conf"), "--to", "libvirt"]);
		expect(printed.stdout).toBe(text);
		expect(text).toContain("<uuid>7b10d7af-b932-4c66-b2c3-3996152ec465</uuid>");
		expect(await anyvisor(args)).toMatchObject({ code: 5 });
		expect(await anyvisor([...args, "--force"])).toMatchObject({ code: 0 });
		expect((await readdir(folder)).toSorted()).toEqual(["100.conf", "web.xml"]);
	});

	it("convert writes a configuration for Proxmox VE", async () => {
		const { code, stdout } = await anyvisor(["machine", "convert", at("100.conf"), "--to", "proxmox"]);
		expect(code).toBe(0);
		expect(stdout).toMatch(/^scsi0: local:100\//m);
		expect(stdout).toMatch(/^scsihw: virtio-scsi-pci$/m);
	});

	it("convert replaces devices that the other description does not have, and says so", async () => {
		const { code, stdout, stderr } = await anyvisor(["machine", "convert", at("100.conf"), "--to", "vmx"]);
		expect(code).toBe(0);
		expect(stderr.split("\n").slice(1)).toEqual([
			"anyvisor: vmx has no controller of model virtio-scsi: what hangs on scsi0 is on AHCI.",
			"anyvisor: vmx has no network card of model virtio-net: number 1 is an e1000.",
			"",
		]);
		expect(stdout).toContain('sata0:0.fileName = "100/vm-100-disk-0.qcow2"');
		expect(stdout).toContain('ethernet0.virtualDev = "e1000"');
	});

	it("show takes a folder for the VM that lies in it", async () => {
		const inside = at("vm");
		await mkdir(path.join(inside, "images"), { recursive: true });
		expect(await anyvisor(["machine", "show", inside])).toMatchObject({ code: 6, stdout: "" });
		await writeFile(path.join(inside, "disk.raw"), new Uint8Array(4096));
		expect((await anyvisor(["disk", "info", inside])).stdout).toContain("4096 bytes");
		await writeFile(path.join(inside, "100.conf"), CONFIGURATION);
		await writeFile(path.join(inside, "100.conf.bak"), CONFIGURATION);
		expect((await anyvisor(["machine", "show", inside])).stdout).toMatch(/^web \(proxmox\)\n/);
		await writeFile(path.join(inside, "101.conf"), CONFIGURATION);
		const refused = await anyvisor(["machine", "show", inside]);
		expect(refused).toMatchObject({ code: 5, stdout: "" });
		expect(refused.stderr).toContain("has 2 files that are a descriptor: 100.conf, 101.conf");
	});

	it.skipIf(missing("virt-xml-validate"))(
		`convert makes a domain that libvirt's schema takes ${because("virt-xml-validate")}`,
		async () => {
			await anyvisor(["machine", "convert", at("100.conf"), "--to", "libvirt", "-o", at("valid.xml")]);
			await expect(run("virt-xml-validate", at("valid.xml"), "domain")).resolves.toBeDefined();
		},
	);
});
