import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { everyHypervisor } from "../../src/hypervisor/registry.js";
import type { Machine } from "../../src/machine/machine.js";
import { layoutsFor } from "../../src/target/registry.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "./appliance.js";
import { runScript, valueOf } from "./stand-ins.js";

const root = await temporaryFolder();
const disks = [
	await rawDisk(path.join(root, "a.img"), (5 << 20) + 1536),
	await rawDisk(path.join(root, "b.img"), 3 << 20, 2),
];
const tiny = [await rawDisk(path.join(root, "tiny.img"), 1024)];
const BASE = "Web-server-No1";
const uefi: Machine = { ...machine, firmware: "uefi" };
const one: Machine = { ...machine, disks: machine.disks.slice(0, 1) };
/** What a shell would stumble over. */
const hostile = `it's "$(touch pwned)" \`id\`; \\ \n-x`;

const compare = (format: string, source: string, file: string) =>
	run("qemu-img", "compare", "-f", "raw", "-F", format, path.join(root, source), file);

const word = (call: readonly string[] | undefined, name: string) =>
	call?.find((one) => one.startsWith(`${name}=`))?.slice(name.length + 1);

describe("scripts", () => {
	const layouts = everyHypervisor.flatMap(({ id, firmware }) =>
		layoutsFor(id).map((layout) => [id, layout.id, firmware.includes("uefi") ? "uefi" : "bios"] as const),
	);

	test.skipIf(missing("shellcheck"))(
		`are what shellcheck has nothing to say about, whatever the machine is called ${because("shellcheck")}`,
		async () => {
			const scripts: string[] = [];
			for (const [hypervisor, layout, firmware] of layouts) {
				const named = { ...one, firmware, secureBoot: firmware === "uefi", name: hostile };
				const { folder } = await written(root, hypervisor, layout, { disks: tiny, machine: named });
				const files = await readdir(folder);
				scripts.push(...files.filter((name) => name.endsWith(".sh")).map((name) => path.join(folder, name)));
			}
			expect(scripts.length).toBeGreaterThan(5);
			// A note is all that single quotation marks around "$" get, which is what they are for.
			await run("shellcheck", "--shell=sh", "--severity=warning", ...scripts);
			for (const script of scripts) await run("sh", "-n", script);
		},
	);
});

describe.skipIf(missing("qemu-img"))(`disks ${because("qemu-img")}`, () => {
	test.each([
		["openstack", "qcow2", "qcow2"],
		["bhyve", "raw", "img"],
	])("of %s are what they were", async (target, format, extension) => {
		const { folder } = await written(root, target, target, { disks, machine: uefi });
		expect(await compare(format, "a.img", path.join(folder, `${BASE}.${extension}`))).toContain("identical");
		expect(await compare(format, "b.img", path.join(folder, `${BASE}-disk2.${extension}`))).toContain("identical");
	});
});

describe("OpenStack", () => {
	const properties = (call: readonly string[] | undefined) =>
		call?.filter((_, index) => call[index - 1] === "--property");

	test.each([
		[
			machine,
			{ disk: "virtio-blk", network: "virtio-net" },
			["hw_disk_bus=virtio", "hw_vif_model=virtio", "hw_machine_type=q35", "hw_firmware_type=bios"],
		],
		[
			uefi,
			{ disk: "virtio-scsi", network: "e1000e" },
			[
				"hw_disk_bus=scsi",
				"hw_scsi_model=virtio-scsi",
				"hw_vif_model=e1000e",
				"hw_machine_type=q35",
				"hw_firmware_type=uefi",
			],
		],
		[
			machine,
			{ disk: "ide", network: "rtl8139" },
			["hw_disk_bus=ide", "hw_vif_model=rtl8139", "hw_machine_type=pc", "hw_firmware_type=bios"],
		],
	] as const)("is told which devices the guest drives: %#", async (given, attach, expected) => {
		const { folder } = await written(root, "openstack", "openstack", { disks, machine: given, attach });
		const { calls } = await runScript(path.join(folder, "import.sh"), [], { openstack: ":" });
		expect(properties(calls[0])).toEqual([...expected, "os_type=linux", "os_distro=debian"]);
		expect(valueOf(calls[0], "--file")).toBe(`${BASE}.qcow2`);
		expect([valueOf(calls[0], "--min-disk"), valueOf(calls[0], "--min-ram")]).toEqual(["1", "2048"]);
		expect(calls.map((call) => call.at(-1))).toEqual(["web-server-no1", "web-server-no1-disk2"]);
		expect(properties(calls[1])).toEqual([]);
	});

	test("is told of Secure Boot; of MAC addresses, the reader", async () => {
		const { folder } = await written(root, "openstack", "openstack", { disks, machine: { ...uefi, secureBoot: true } });
		const { calls } = await runScript(path.join(folder, "import.sh"), [], { openstack: ":" });
		expect(properties(calls[0])).toContain("os_secure_boot=required");
		const note = await readFile(path.join(folder, "IMPORT.md"), "utf8");
		expect(note).toContain("Its MAC addresses were 00:15:5d:01:02:03. Create a port");
	});
});

test("CloudStack registers a template with its details, and volumes", async () => {
	const attach = { disk: "virtio-scsi", network: "e1000" };
	const { folder } = await written(root, "cloudstack", "cloudstack", { disks, machine: uefi, attach });
	const { calls } = await runScript(path.join(folder, "import.sh"), ["http://x/y", "z 1", "o"], { cmk: ":" });
	const [template, volume] = calls;
	expect(template?.slice(0, 3)).toEqual(["cmk", "register", "template"]);
	expect(word(template, "url")).toBe(`http://x/y/${BASE}.qcow2`);
	expect(word(template, "displaytext")).toBe(machine.name);
	expect(word(template, "zoneid")).toBe("z 1");
	expect(template?.filter((one) => one.startsWith("details"))).toEqual([
		"details[0].rootDiskController=scsi",
		"details[0].nicAdapter=e1000",
		"details[0].UEFI=LEGACY",
	]);
	expect(volume?.slice(0, 3)).toEqual(["cmk", "upload", "volume"]);
	expect(word(volume, "url")).toBe(`http://x/y/${BASE}-disk2.qcow2`);
});

test("oVirt gets each disk, and its reader how to attach it", async () => {
	const { folder } = await written(root, "ovirt", "ovirt", { disks, machine: uefi });
	const { calls } = await runScript(path.join(folder, "import.sh"), ["my engine", "data"], { "ovirt-img": ":" });
	expect(calls.map((call) => [call[1], call.at(-1), valueOf(call, "--name")])).toEqual([
		["upload-disk", `${BASE}.qcow2`, "web-server-no1-disk1"],
		["upload-disk", `${BASE}-disk2.qcow2`, "web-server-no1-disk2"],
	]);
	expect(valueOf(calls[0], "--config")).toBe("my engine");
	const note = await readFile(path.join(folder, "IMPORT.md"), "utf8");
	expect(note).toContain("BIOS type Q35 Chipset with UEFI, and attach web-server-no1-disk1 by VirtIO-SCSI");
});

test("Nutanix gets images, then a machine whose cards keep their MACs", async () => {
	const { folder } = await written(root, "nutanix", "nutanix", { disks, machine: uefi });
	const { calls } = await runScript(path.join(folder, "import.sh"), ["http://x", "c", "net 1"], { acli: ":" });
	expect(calls.map((call) => call.slice(1, 3).join(" "))).toEqual([
		"image.create web-server-no1-disk1",
		"image.create web-server-no1-disk2",
		"vm.create web-server-no1",
		"vm.disk_create web-server-no1",
		"vm.disk_create web-server-no1",
		"vm.nic_create web-server-no1",
		"vm.nic_create web-server-no1",
	]);
	const [image, , vm, disk, , nic, other] = calls;
	expect(word(image, "source_url")).toBe(`http://x/${BASE}.qcow2`);
	expect([word(vm, "memory"), word(vm, "num_vcpus"), word(vm, "uefi_boot")]).toEqual(["2048M", "2", "true"]);
	expect([word(disk, "bus"), word(disk, "index")]).toEqual(["scsi", "0"]);
	expect([word(nic, "mac"), word(nic, "network"), word(nic, "model")]).toEqual([
		"00:15:5d:01:02:03",
		"net 1",
		"virtio",
	]);
	expect(word(other, "mac")).toBeUndefined();
});

test("bhyve gets a configuration that sh reads as it is meant, and a folder of its own", async () => {
	const { folder } = await written(root, "bhyve", "bhyve", { disks, machine: { ...uefi, name: hostile } });
	const target = await temporaryFolder();
	await runScript(path.join(folder, "import.sh"), [target], {});
	const [vm = ""] = await readdir(target);
	expect((await readdir(path.join(target, vm))).sort()).toEqual(
		["it-s-touch-pwned-id--x-disk2.img", "it-s-touch-pwned-id-x.conf", "it-s-touch-pwned-id--x.img"].sort(),
	);
	const show =
		'. "$1"; echo $loader $cpu $memory $disk0_type $disk0_name $disk1_name $network0_type $network0_mac $network1_mac';
	const read = await run("sh", "-c", show, "sh", path.join(target, vm, `${vm}.conf`));
	expect(read.trim()).toBe(
		"uefi 2 2048M virtio-blk it-s-touch-pwned-id--x.img it-s-touch-pwned-id--x-disk2.img virtio-net 00:15:5d:01:02:03",
	);
	await expect(written(root, "bhyve", "bhyve", { disks, machine })).rejects.toThrow("does not boot machines by BIOS");
});

test("Cloud Hypervisor is started with the disks and cards of the machine", async () => {
	const { folder } = await written(root, "cloud-hypervisor", "cloud-hypervisor", { disks, machine: uefi });
	const started = async (help: string) => {
		const standIns = { "cloud-hypervisor": help };
		const { calls } = await runScript(path.join(folder, "run.sh"), ["/f w/CLOUDHV.fd"], standIns);
		return calls.at(-1) ?? [];
	};
	const call = await started(":");
	// Versions that know the word are told what the disks are: else sector 0 of them is not writable.
	const newer = await started("echo '--disk path=<p>,image_type=<t>'");
	expect(newer[newer.indexOf("--disk") + 2]).toBe(`path=${BASE}-disk2.img,image_type=raw`);
	expect(valueOf(call, "--firmware")).toBe("/f w/CLOUDHV.fd");
	const at = call.indexOf("--disk");
	expect(call.slice(at + 1, at + 3)).toEqual([`path=${BASE}.img`, `path=${BASE}-disk2.img`]);
	const net = call.indexOf("--net");
	expect(call.slice(net + 1, net + 3)).toEqual(["tap=,mac=00:15:5d:01:02:03", "tap="]);
	expect([valueOf(call, "--cpus"), valueOf(call, "--memory")]).toEqual(["boot=2", "size=2048M"]);
});

describe.skipIf(missing("python3", "qemu-img"))(`a .utm ${because("python3", "qemu-img")}`, () => {
	const plist = async (file: string) => {
		const program = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))))";
		return JSON.parse(await run("python3", "-c", program, file)) as Record<string, Record<string, unknown>[]>;
	};
	/** What UTM's sources decode without "IfPresent": a bundle that lacks one of these is not opened. */
	const needed: Readonly<Record<string, readonly string[]>> = {
		Information: ["Name", "IconCustom", "UUID"],
		System: [
			"Architecture",
			"Target",
			"CPU",
			"CPUFlagsAdd",
			"CPUFlagsRemove",
			"CPUCount",
			"ForceMulticore",
			"MemorySize",
			"JITCacheSize",
		],
		QEMU: [
			"DebugLog",
			"UEFIBoot",
			"RNGDevice",
			"BalloonDevice",
			"TPMDevice",
			"Hypervisor",
			"RTCLocalTime",
			"PS2Controller",
			"AdditionalArguments",
		],
		Input: ["UsbBusSupport", "UsbSharing", "MaximumUsbShare"],
		Sharing: ["DirectoryShareMode", "DirectoryShareReadOnly", "ClipboardSharing"],
		Display: ["Hardware", "DynamicResolution", "UpscalingFilter", "DownscalingFilter", "NativeResolution"],
		Drive: ["ImageType", "Interface", "Identifier"],
		Network: ["Mode", "Hardware", "MacAddress", "IsolateFromHost", "PortForward"],
		Serial: [],
		Sound: [],
	};

	test("has its disks inside, and all that UTM reads", async () => {
		const named = { ...uefi, name: "A & <b>", uuid: "7b10d7af-b932-4c66-b2c3-3996152ec465" };
		const { folder } = await written(root, "utm", "utm", { disks, machine: named });
		expect((await readdir(folder)).sort()).toEqual(["A-b.utm", "IMPORT.md"]);
		expect((await readdir(path.join(folder, "A-b.utm"))).sort()).toEqual(["Data", "config.plist"]);
		expect(await compare("qcow2", "b.img", path.join(folder, "A-b.utm/Data/A-b-disk2.qcow2"))).toContain("identical");
		const config = await plist(path.join(folder, "A-b.utm/config.plist"));
		expect(config).toMatchObject({
			Backend: "QEMU",
			ConfigurationVersion: 4,
			Information: { Name: "A & <b>", UUID: "7B10D7AF-B932-4C66-B2C3-3996152EC465", Notes: machine.description },
			System: { Target: "q35", CPUCount: 2, MemorySize: 2048 },
			QEMU: { UEFIBoot: true },
			Drive: [
				{ ImageName: "A-b.qcow2", Interface: "VirtIO" },
				{ ImageName: "A-b-disk2.qcow2", Interface: "VirtIO" },
			],
			Network: [{ Hardware: "virtio-net-pci", MacAddress: "00:15:5D:01:02:03" }, { Hardware: "virtio-net-pci" }],
		});
		expect(config["Network"]?.[1]?.["MacAddress"]).toMatch(/^52:54:00(:[0-9A-F]{2}){3}$/);
		for (const [part, members] of Object.entries(needed)) {
			const given = [config[part] ?? []].flat();
			for (const one of given) expect(Object.keys(one)).toEqual(expect.arrayContaining([...members]));
		}
	});

	test("for a guest that only knows PIIX gets a machine that has it", async () => {
		const attach = { disk: "ide", network: "rtl8139" };
		const { folder } = await written(root, "utm", "utm", { disks, attach });
		const config = await plist(path.join(folder, `${BASE}.utm/config.plist`));
		expect(config).toMatchObject({
			System: { Target: "pc" },
			QEMU: { UEFIBoot: false },
			Drive: [{ Interface: "IDE" }, {}],
		});
	});
});

describe("Firecracker", () => {
	const json = async (file: string) => JSON.parse(await readFile(file, "utf8")) as unknown;

	test("gets the kernel, what goes with it, and the disks", async () => {
		const boot = { kernel: Uint8Array.of(1, 2), initramfs: Uint8Array.of(3), cmdline: "root=UUID=x ro" };
		const kernel = () => Promise.resolve(boot);
		const { folder } = await written(root, "firecracker", "firecracker", { disks, kernel });
		expect([...(await readFile(path.join(folder, "vmlinux")))]).toEqual([1, 2]);
		expect([...(await readFile(path.join(folder, "initrd")))]).toEqual([3]);
		expect(await json(path.join(folder, "config.json"))).toEqual({
			"boot-source": {
				kernel_image_path: "vmlinux",
				initrd_path: "initrd",
				boot_args: "root=UUID=x ro console=ttyS0 reboot=k panic=1",
			},
			drives: [`${BASE}.img`, `${BASE}-disk2.img`].map((file, index) => ({
				drive_id: `disk${index + 1}`,
				path_on_host: file,
				is_root_device: false,
				is_read_only: false,
			})),
			"machine-config": { vcpu_count: 2, mem_size_mib: 2048 },
			"network-interfaces": [
				{ iface_id: "eth0", host_dev_name: "tap0", guest_mac: "00:15:5d:01:02:03" },
				{ iface_id: "eth1", host_dev_name: "tap1" },
			],
		});
	});

	test("of a guest whose kernel cannot be had, says what is missing", async () => {
		const { folder } = await written(root, "firecracker", "firecracker", { disks });
		expect(await readFile(path.join(folder, "IMPORT.md"), "utf8")).toContain("Put the guest's kernel here first");
	});
});
