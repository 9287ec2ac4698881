import { describe, expect, test } from "vitest";
import { libvirt, writeDomain } from "../../src/machine/libvirt.js";
import type { ControllerModel } from "../../src/machine/machine.js";
import { refitted } from "../../src/machine/refit.js";
import { encode, outcome, sample } from "./samples.js";

const domain = (inside: string, devices = "") =>
	`<domain type='kvm'><name>vm</name><memory>1048576</memory><vcpu>2</vcpu>${inside}<devices>${devices}</devices></domain>`;
const read = (inside: string, devices = "") => libvirt.read({ name: "vm.xml", bytes: encode(domain(inside, devices)) });

const disk = (target: string, inside = "", attributes = "type='file' device='disk'") =>
	`<disk ${attributes}><source file='/images/${target}.img'/><target dev='${target}'/>${inside}</disk>`;
const address = (controller: number, bus: number, unit: number) =>
	`<address type='drive' controller='${controller}' bus='${bus}' target='0' unit='${unit}'/>`;

describe("a domain", () => {
	test.each([
		["<os firmware='efi'><type>hvm</type></os>", "uefi", false],
		[
			"<os><type>hvm</type><loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE.fd</loader></os>",
			"uefi",
			false,
		],
		["<os><type>hvm</type><loader secure='yes' type='pflash'>/x</loader></os>", "uefi", true],
		[
			"<os firmware='efi'><type>hvm</type><firmware><feature enabled='yes' name='secure-boot'/></firmware></os>",
			"uefi",
			true,
		],
		[
			"<os firmware='efi'><type>hvm</type><firmware><feature enabled='no' name='secure-boot'/></firmware></os>",
			"uefi",
			false,
		],
		["<os><type>hvm</type></os>", "bios", false],
	])("with %s boots by %s", async (os, firmware, secureBoot) => {
		expect(await read(os)).toMatchObject({ firmware, secureBoot });
	});

	test("has its disks in boot order, then as listed", async () => {
		const machine = await read("", disk("vda") + disk("vdb", "<boot order='2'/>") + disk("vdc", "<boot order='1'/>"));
		expect(machine.disks.map(({ file }) => file)).toEqual(["/images/vdc.img", "/images/vdb.img", "/images/vda.img"]);
		expect(machine.disks.map(({ unit }) => unit)).toEqual([2, 1, 0]);
	});

	test("has its disks where their addresses or names put them", async () => {
		const machine = await read(
			"",
			`<controller type='scsi' index='1' model='virtio-scsi'/>${[
				disk("hdc"),
				disk("hdd", address(0, 1, 1)),
				disk("sda", address(1, 0, 5)),
				disk("sdb"),
				disk("xvda"),
				"<disk device='cdrom'><target dev='sdc' bus='sata'/></disk>",
			].join("")}`,
		);
		expect(machine.disks.map(({ id, controller, unit }) => [id, controller, unit])).toEqual([
			["disk1", "ide1", 0],
			["disk2", "ide1", 1],
			["disk3", "scsi1", 5],
			["disk4", "storage0", 0],
			["disk5", "xen0", 0],
			["cdrom1", "sata0", 0],
		]);
	});

	test("is written with disks that QEMU can attach: targets where a controller has no units, no IDE with Secure Boot", () => {
		const machine = (model: ControllerModel) => ({
			...sample,
			controllers: [{ id: "c", model, index: 0 }],
			disks: [0, 1].map((unit) => ({ id: `d${unit}`, kind: "disk" as const, file: "a.img", controller: "c", unit })),
		});
		const places = (model: ControllerModel) =>
			Array.from(writeDomain(machine(model)).matchAll(/ target="(\d)" unit="(\d)"/g), ([, ...numbers]) =>
				numbers.join(":"),
			);
		expect(places("pvscsi")).toEqual(["0:0", "1:0"]);
		expect(places("lsisas1068")).toEqual(["0:0", "1:0"]);
		for (const model of ["lsilogic", "virtio-scsi", "ahci"] as const) expect(places(model)).toEqual(["0:0", "0:1"]);
		const secure = { ...machine("ide"), firmware: "uefi" as const, secureBoot: true };
		expect(() => writeDomain(secure)).toThrow("no machine with an IDE controller and Secure Boot");
		const fitted = refitted(secure, libvirt);
		expect(writeDomain(fitted)).toMatch(/machine="q35"/);
		expect(fitted.lost).toEqual([
			"libvirt has no controller of model ide with Secure Boot: what hangs on c is on AHCI.",
		]);
		expect(refitted(machine("buslogic"), libvirt).controllers).toMatchObject([{ model: "ahci" }]);
	});

	test("says what a machine cannot hold", async () => {
		const machine = await read(
			"<os><type>hvm</type><kernel>/boot/vmlinuz</kernel></os><cputune/>",
			`<hostdev/><disk type='network'><source protocol='rbd' name='pool/image'/><target dev='vda' bus='virtio'/></disk>
			 <disk type='file'><source file='/x'><encryption format='luks'/></source><target dev='vdb'/></disk>
			 <disk type='file'><source file='/y'/><target dev='sda' bus='usb'/></disk>`,
		);
		expect(machine.lost).toEqual([
			"The drive vda lies on network storage, not in a file.",
			"The drive vdb is encrypted with a secret that the host keeps.",
			"The drive sda is on a usb bus, which machines do not have.",
			"The device <hostdev> is not carried over.",
			"The domain boots a kernel from a file of its host, not the one on its disk.",
			"These parts of the domain are not carried over: cputune.",
		]);
	});

	test.each([
		["<memory unit='GiB'>2</memory>", 2 ** 31],
		["<memory unit='MB'>512</memory>", 512e6],
		["<memory>1048576</memory>", 2 ** 30],
	])("of %s has %d bytes", async (memory, bytes) => {
		const text = domain("").replace("<memory>1048576</memory>", memory);
		expect((await libvirt.read({ name: "x", bytes: encode(text) })).memory).toBe(bytes);
	});

	test.each([
		["<vcpu>2</vcpu>", "<vcpu>0</vcpu>"],
		["<vcpu>2</vcpu>", "<vcpu>two</vcpu>"],
		["<memory>1048576</memory>", "<memory unit='stones'>4</memory>"],
		["<memory>1048576</memory>", "<memory>-1</memory>"],
	])("with %s replaced by %s is damaged", async (good, bad) => {
		const bytes = encode(domain("").replace(good, bad));
		expect(await outcome(libvirt.read({ name: "x", bytes }))).toBe("damaged");
	});

	test.each(["nvme", "hyperv-scsi", "unknown"] as const)("cannot be written with a %s controller", (model) => {
		const controllers = [{ id: "sata0", model, index: 0 }];
		expect(() => libvirt.write?.({ ...sample, controllers })).toThrow(`no controller of model ${model}`);
	});
});
