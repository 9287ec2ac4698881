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

	it("convert gives another identity, size and network when asked, and names the networks there are", async () => {
		const options = [
			"--new-identity",
			"--memory",
			"1.5G",
			"--cpus",
			"3",
			"--network",
			"vmbr0=lan=1",
			"--firmware",
			"uefi",
		];
		const wrong = await anyvisor(["machine", "convert", at("100.conf"), "--to", "vmx", ...options]);
		expect(wrong).toMatchObject({ code: 2, stdout: "" });
		expect(wrong.stderr).toContain('web has no network "vmbr0=lan"\n  Next: There is vmbr0.');
		options[options.indexOf("vmbr0=lan=1")] = "vmbr0=lan 1";
		const { code, stdout } = await anyvisor(["machine", "convert", at("100.conf"), "--to", "vmx", ...options]);
		expect(code).toBe(0);
		for (const line of ['memsize = "1536"', 'numvcpus = "3"', 'firmware = "efi"', 'ethernet0.networkName = "lan 1"']) {
			expect(stdout).toContain(`${line}\n`);
		}
		expect(stdout).toMatch(/^ethernet0\.address = "00:50:56:[0-3][\da-f](?::[\da-f]{2}){2}"$/m);
		expect(stdout).toMatch(/^uuid\.bios = "(?!7b 10 d7)/m);
		expect(stdout).not.toContain("checkMACAddress");
		const domain = await anyvisor(["machine", "convert", at("100.conf"), "--to", "libvirt", "--new-identity"]);
		expect(domain.stdout).toMatch(/<mac address="52:54:00:/);
		expect(domain.stdout).not.toContain("7b10d7af");
	});

	it("convert never replaces the descriptor that it reads", async () => {
		const args = ["machine", "convert", at("100.conf"), "--to", "proxmox", "-o", at("100.conf"), "--force"];
		expect(await anyvisor(args)).toMatchObject({ code: 5 });
		expect(await readFile(at("100.conf"), "utf8")).toBe(CONFIGURATION);
	});

	it.each([
		["--memory", "100"],
		["--memory", "2Q"],
		["--cpus", "0"],
		["--cpus", "9999"],
		["--network", "vmbr0"],
		["--firmware", "coreboot"],
	])("convert %s %s is refused as usage", async (...option) => {
		expect(await anyvisor(["machine", "convert", at("100.conf"), "--to", "vmx", ...option])).toMatchObject({
			code: 2,
			stdout: "",
		});
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

	it("show takes several descriptions of one name for one machine, in a folder and in an archive", async () => {
		const inside = at("many");
		await mkdir(inside);
		for (const [to, file] of [
			["libvirt", "web.xml"],
			["xl", "web.cfg"],
			["vmx", "web.vmx"],
		] as const) {
			const output = path.join(inside, file);
			expect(await anyvisor(["machine", "convert", at("100.conf"), "--to", to, "-o", output])).toMatchObject({
				code: 0,
			});
		}
		const archive = async () => {
			await run("tar", "-cf", at("many.tar"), "-C", folder, "many");
			return at("many.tar");
		};
		for (const named of [inside, await archive()]) {
			expect((await anyvisor(["machine", "show", named])).stdout).toMatch(/^web \(vmx\)\n/);
		}
		expect((await anyvisor(["machine", "show", `${at("many.tar")}:web.cfg`])).stdout).toMatch(/^web \(xl\)\n/);
		await writeFile(path.join(inside, "other.conf"), CONFIGURATION);
		expect(await anyvisor(["machine", "show", inside])).toMatchObject({ code: 5, stdout: "" });
		const several = await anyvisor(["machine", "show", await archive()]);
		expect(several).toMatchObject({ code: 2, stdout: "" });
		expect(several.stderr).toContain("many.tar has several machines or disks in it");
		expect(several.stderr).toContain("many/web.vmx");
	});

	it("convert writes a domain for xl, and says what it has not", async () => {
		const options = ["--to", "xl", "--firmware", "uefi"];
		const { code, stdout, stderr } = await anyvisor(["machine", "convert", at("100.conf"), ...options]);
		expect(code).toBe(0);
		expect(stderr.split("\n").slice(1)).toEqual([
			"anyvisor: xl has no controller of model virtio-scsi: what hangs on scsi0 is on Xen's paravirtual disks.",
			"anyvisor: xl has no network card of model virtio-net: number 1 is an e1000.",
			"",
		]);
		expect(stdout).toContain("'format=qcow2,vdev=xvda,access=rw,target=100/vm-100-disk-0.qcow2'");
		expect(stdout).toContain("'type=ioemu,model=e1000,bridge=vmbr0,mac=a2:c0:43:77:08:a0'");
		expect(stdout).toContain('bios = "ovmf"');
	});

	it("show takes one of the machines of an OVF by --system, and lists them without it", async () => {
		const system = (id: string) =>
			`<VirtualSystem ovf:id="${id}"><Info/><VirtualHardwareSection><Info/></VirtualHardwareSection></VirtualSystem>`;
		await writeFile(
			at("two.ovf"),
			`<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/2" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/2">
			<VirtualSystemCollection>${system("web")}${system("db")}</VirtualSystemCollection></Envelope>`,
		);
		expect((await anyvisor(["machine", "show", at("two.ovf"), "--system", "db"])).stdout).toMatch(/^db \(ovf\)\n/);
		const several = await anyvisor(["machine", "show", at("two.ovf")]);
		expect(several).toMatchObject({ code: 2, stdout: "" });
		expect(several.stderr).toContain("two.ovf describes 2 machines: web, db");
		expect(await anyvisor(["machine", "show", at("100.conf"), "--system", "db"])).toMatchObject({
			code: 2,
			stdout: "",
		});
	});

	it.skipIf(missing("virt-xml-validate"))(
		`convert makes a domain that libvirt's schema takes ${because("virt-xml-validate")}`,
		async () => {
			await anyvisor(["machine", "convert", at("100.conf"), "--to", "libvirt", "-o", at("valid.xml")]);
			await expect(run("virt-xml-validate", at("valid.xml"), "domain")).resolves.toBeDefined();
		},
	);
});
