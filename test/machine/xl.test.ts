import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Machine } from "../../src/machine/machine.js";
import { machineFormatOf, readMachine } from "../../src/machine/registry.js";
import { busOf } from "../../src/machine/shape.js";
import { writeXl, XL_TAKES } from "../../src/machine/xl-write.js";
import { loadXlutil, xlutilReason } from "../support/xlutil.js";
import { encode, machines, outcome, sample } from "./samples.js";

const read = (text: string) => readMachine({ name: "web.cfg", bytes: encode(text) });

test("a domain of Xen's xl", async () => {
	const machine = await read(`# a comment, with = and [
type = "hvm"; name = 'web'
uuid = "7b10d7af-b932-4c66-b2c3-3996152ec465"
firmware="ovmf"
memory = 2048   # MiB
vcpus = 4
vif = [ 'mac=00:16:3e:00:00:01, bridge=xenbr0, model=e1000',
        'type=vif,mac=00:16:3e:00:00:02' , ]
disk = [ '/var/web.qcow2,qcow2,xvda,rw',
  "format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/root/image,1.iso"
]
pci = [ '01:00.0' ]
on_crash = "restart"
`);
	expect(machine).toEqual({
		name: "web",
		uuid: "7b10d7af-b932-4c66-b2c3-3996152ec465",
		arch: "x86_64",
		firmware: "uefi",
		secureBoot: false,
		cpus: 4,
		memory: 2 ** 31,
		controllers: [
			{ id: "xen0", model: "xen-vbd", index: 0 },
			{ id: "ide1", model: "ide", index: 1 },
		],
		disks: [
			{ id: "disk1", kind: "disk", file: "/var/web.qcow2", controller: "xen0", unit: 0 },
			{ id: "cdrom1", kind: "cdrom", file: "/root/image,1.iso", controller: "ide1", unit: 0 },
		],
		nics: [
			{ model: "e1000", mac: "00:16:3e:00:00:01", network: "xenbr0" },
			{ model: "xen-vif", mac: "00:16:3e:00:00:02" },
		],
		origin: "xl",
		lost: ["The passed-through PCI devices (01:00.0) are not carried over."],
	});
});

const written: Machine = {
	name: 'Web "1"',
	description: "Serves\npages",
	uuid: "7b10d7af-b932-4c66-b2c3-3996152ec465",
	arch: "x86_64",
	firmware: "uefi",
	secureBoot: false,
	cpus: 4,
	memory: 2 ** 31 + 1,
	controllers: [
		{ id: "xen0", model: "xen-vbd", index: 0 },
		{ id: "ide1", model: "ide", index: 1 },
	],
	disks: [
		{ id: "disk1", kind: "disk", file: "web 1.vmdk", controller: "xen0", unit: 0 },
		{ id: "disk2", kind: "disk", file: "data,1.qcow2", controller: "xen0", unit: 27 },
		{ id: "cdrom1", kind: "cdrom", controller: "ide1", unit: 1 },
		{ id: "disk3", kind: "disk", file: "logs.VHD" },
		{ id: "floppy1", kind: "floppy", file: "a.img" },
	],
	nics: [
		{ model: "xen-vif", mac: "00:16:3e:00:00:02", network: "xenbr1" },
		{ model: "rtl8139", network: "VM Network" },
	],
	origin: "ovf",
	lost: [],
};

test("a domain that is written: drives by their controllers, and what xl has no format for as what it must become", () => {
	expect(writeXl(written)).toBe(`# Serves
# pages
name = "Web -1-"
uuid = "7b10d7af-b932-4c66-b2c3-3996152ec465"
type = "hvm"
bios = "ovmf"
vcpus = 4
memory = 2049
boot = "c"
vnc = 1
serial = 'pty'
# xl has no disks of this format: anyvisor disk convert 'web 1.vmdk' 'web 1.img'
# xl takes full paths: put the folder of these files in front of their names
disk = [
	'format=raw,vdev=xvda,access=rw,target=web 1.img',
	'format=qcow2,vdev=xvdab,access=rw,target=data,1.qcow2',
	'format=raw,vdev=hdd,access=ro,devtype=cdrom,target=',
	'format=vhd,vdev=xvdb,access=rw,target=logs.VHD'
]
vif = [
	'type=vif,bridge=xenbr1,mac=00:16:3e:00:00:02',
	'type=ioemu,model=rtl8139,bridge=xenbr0'
]
`);
});

const xlutil = loadXlutil();

describe.skipIf(xlutil === undefined)(`xl's own reader ${xlutil === undefined ? xlutilReason : ""}`, () => {
	test("takes what is written, and understands it so", () => {
		const text = writeXl(written);
		expect(xlutil?.text(text, "name")).toBe("Web -1-");
		expect(xlutil?.text(text, "bios")).toBe("ovmf");
		expect(xlutil?.number(text, "memory")).toBe(2049);
		expect(xlutil?.list(text, "vif")).toEqual([
			"type=vif,bridge=xenbr1,mac=00:16:3e:00:00:02",
			"type=ioemu,model=rtl8139,bridge=xenbr0",
		]);
		expect(xlutil?.disks(text)).toEqual([
			{ target: "web 1.img", vdev: "xvda", format: 4, writable: true, cdrom: false },
			{ target: "data,1.qcow2", vdev: "xvdab", format: 2, writable: true, cdrom: false },
			{ target: "", vdev: "hdd", format: 5, writable: false, cdrom: true },
			{ target: "logs.VHD", vdev: "xvdb", format: 3, writable: true, cdrom: false },
		]);
	});

	test("takes any machine, and says of it what our own says", async () => {
		const any = machines(XL_TAKES.controllers, XL_TAKES.nics, busOf);
		await fc.assert(
			fc.asyncProperty(any, async (machine) => {
				fc.pre(!machine.disks.some(({ file = "" }) => /["'\\]|^\s|[,\s]$/.test(file)));
				fc.pre(machine.disks.filter(({ controller }) => controller === "ide0").length <= 4);
				const text = writeXl(machine);
				const again = await read(text);
				expect(xlutil?.text(text, "name")).toBe(again.name);
				expect(xlutil?.number(text, "vcpus")).toBe(machine.cpus);
				expect(xlutil?.list(text, "vif")).toHaveLength(machine.nics.length);
				expect(xlutil?.disks(text).map(({ target }) => target)).toEqual(machine.disks.map(({ file }) => file));
				expect(again.disks.map(({ file }) => file)).toEqual(machine.disks.map(({ file }) => file));
			}),
			{ numRuns: 60 },
		);
	});
});

test.each([
	[{ arch: "aarch64" }, "xl fully virtualizes x86 machines, not aarch64"],
	[{ disks: [{ id: "d", kind: "disk", file: "it's.img" }] }, 'xl cannot have a disk in a file named "it\'s.img"'],
	[
		{
			controllers: [{ id: "ide2", model: "ide", index: 2 }],
			disks: [{ id: "d", kind: "disk", file: "a.img", controller: "ide2", unit: 0 }],
		},
		"xl has 4 IDE drives at most",
	],
] as const)("what no domain can have is refused: %j", (changes, message) => {
	expect(() => writeXl({ ...sample, ...changes })).toThrow(message);
});

/** Those that xl-disk-configuration(5) calls equivalent. */
test.each([
	["/dev/vg/guest-volume,,hda"],
	["/dev/vg/guest-volume,raw,hda,rw"],
	["format=raw, vdev=hda, access=rw, target=/dev/vg/guest-volume"],
	["raw:/dev/vg/guest-volume,hda,w"],
])("disk %j", async (spec) => {
	const { disks } = await read(`name="x"\ndisk=['${spec}']`);
	expect(disks).toEqual([{ id: "disk1", kind: "disk", file: "/dev/vg/guest-volume", controller: "ide0", unit: 0 }]);
});

test.each([
	["/root/image.iso,,hdc,cdrom"],
	["/root/image.iso,,hdc,,cdrom"],
	["/root/image.iso,raw,hdc,devtype=cdrom"],
	["format=raw, vdev=hdc, access=ro, devtype=cdrom, target=/root/image.iso"],
	["raw:/root/image.iso,hdc:cdrom,ro"],
])("cdrom %j", async (spec) => {
	const { disks } = await read(`name="x"\ndisk=['${spec}']`);
	expect(disks).toEqual([{ id: "cdrom1", kind: "cdrom", file: "/root/image.iso", controller: "ide1", unit: 0 }]);
});

test.each([
	["tap:aio:/var/web.img,xvdb,w", { file: "/var/web.img", controller: "xen0", unit: 1 }],
	["file:/var/web.img,sda1,w", { file: "/var/web.img" }],
	["/var/web.img,raw,d2p0,rw", { file: "/var/web.img", controller: "xen0", unit: 2 }],
])("older and rarer disks %j", async (spec, expected) => {
	const { disks } = await read(`name="x"\ndisk=['${spec}']`);
	expect(disks).toMatchObject([expected]);
});

test("what is no such file is left to others", () => {
	for (const text of [
		"memory = 4\n",
		"[section]\nname = 'x'\n",
		"disk = [ 'a' ]\n",
		'.encoding = "UTF-8"\nname = "x"\n',
	]) {
		expect(machineFormatOf({ name: "x", bytes: encode(text) })).toBeUndefined();
	}
});

test.each([
	["disk=['a,,xvda'\nname='x'"],
	["name='x'\ndisk=[['a,,xvda']"],
	["name='x'\ndisk=['a']"],
	["name='x'\ndisk=[ = ]"],
])("tells where it cannot be read: %j", async (text) => {
	await expect(read(text)).rejects.toMatchObject({ kind: "damaged" });
});

test("whatever it says, it is read or a typed error", async () => {
	const token = fc.constantFrom(
		"disk",
		"vif",
		"name",
		"=",
		"[",
		"]",
		",",
		";",
		"\n",
		"#",
		"'",
		'"',
		"a,,xvda",
		"7",
		"'x'",
		" ",
	);
	await fc.assert(
		fc.asyncProperty(fc.array(token, { maxLength: 40 }), async (tokens) => {
			const found = await outcome(read(`name='x'\ndisk=['a,,xvda']\n${tokens.join("")}`));
			expect(["read", "damaged", "unsupported"]).toContain(found);
		}),
	);
});

test("a number is given once, whether to an IDE drive or a paravirtual disk: the first four are the same", () => {
	const place = (controller: string, unit: number) => ({ controller, unit });
	const text = writeXl({
		...sample,
		controllers: [
			{ id: "xen0", model: "xen-vbd", index: 0 },
			{ id: "ide0", model: "ide", index: 0 },
			{ id: "ide1", model: "ide", index: 1 },
		],
		disks: [
			{ id: "disk1", kind: "disk", file: "a.img", ...place("xen0", 0) },
			{ id: "disk2", kind: "disk", file: "b.img", ...place("xen0", 1) },
			{ id: "cdrom1", kind: "cdrom", ...place("ide0", 0) },
			{ id: "cdrom2", kind: "cdrom", ...place("ide1", 0) },
		],
	});
	expect(Array.from(text.matchAll(/vdev=(\w+)/g), ([, name]) => name)).toEqual(["xvdb", "xvdd", "hda", "hdc"]);
});
