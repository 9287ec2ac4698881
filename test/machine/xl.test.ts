import * as fc from "fast-check";
import { expect, test } from "vitest";
import { machineFormatOf, readMachine } from "../../src/machine/registry.js";
import { encode, outcome } from "./samples.js";

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
