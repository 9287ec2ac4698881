import { describe, expect, test } from "vitest";
import { inferMachine } from "../../src/machine/infer.js";
import { ovf } from "../../src/machine/ovf/ovf.js";
import { refitted } from "../../src/machine/refit.js";
import { machineFormatOf, machineFormats } from "../../src/machine/registry.js";
import { libvirtUnit, macAddress, unitBytes, wholeNumber } from "../../src/machine/units.js";
import { encode, outcome, sample } from "./samples.js";

const item = (type: number, fields: Readonly<Record<string, string | number>>, attributes = "") =>
	`<Item${attributes}>${Object.entries({ InstanceID: 900 + type, ...fields, ResourceType: type })
		.map(([name, value]) => `<rasd:${name}>${value}</rasd:${name}>`)
		.join("")}</Item>`;

const cpu = (count: number, attributes = "") => item(3, { InstanceID: 1, VirtualQuantity: count }, attributes);
const memory = (fields: Readonly<Record<string, string | number>>) => item(4, { InstanceID: 2, ...fields });

interface Parts {
	readonly items?: string;
	readonly hardware?: string;
	readonly sections?: string;
	readonly envelope?: string;
	readonly files?: string;
	readonly disks?: string;
}

const document = ({ items = "", hardware = "", sections = "", envelope = "", files = "", disks = "" }: Parts) =>
	`<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1"
	 xmlns:rasd="rasd" xmlns:vmw="http://www.vmware.com/schema/ovf" xmlns:vbox="vbox">
	<References>${files}</References><DiskSection><Info/>${disks}</DiskSection>${envelope}
	<VirtualSystem ovf:id="vm"><Info/>${sections}
	<VirtualHardwareSection><Info/>${items}${hardware}</VirtualHardwareSection></VirtualSystem></Envelope>`;

const read = (parts: Parts) => ovf.read({ name: "test.ovf", bytes: encode(document(parts)) });

describe("OVF memory", () => {
	test.each([
		["byte * 2^20", 512, 2 ** 29],
		["byte*2^30", 2, 2 ** 31],
		["byte * 2 ^ 20", 512, 2 ** 29],
		["MegaBytes", 512, 2 ** 29],
		["MB", 512, 2 ** 29],
		["GigaBytes", 1, 2 ** 30],
		["GB", 1, 2 ** 30],
		["byte", 2 ** 29, 2 ** 29],
		["KiloBytes", 2 ** 19, 2 ** 29],
	])("in %s", async (units, quantity, bytes) => {
		const machine = await read({ items: memory({ AllocationUnits: units, VirtualQuantity: quantity }) });
		expect(machine.memory).toBe(bytes);
	});

	test("without units is MiB when it can be nothing else", async () => {
		expect((await read({ items: memory({ VirtualQuantity: 512 }) })).memory).toBe(2 ** 29);
		expect((await read({ items: memory({ VirtualQuantity: 2 ** 29 }) })).memory).toBe(2 ** 29);
	});

	test.each([
		["parsecs", "512"],
		["byte * 2^20", "-1"],
		["byte * 2^20", "0"],
		["byte * 2^20", "many"],
		["byte * 2^60", "1"],
		["byte * 2^99", "1"],
		["byte * 2^20", "99999999999999999999"],
	])("of %s and %s is damage", async (units, quantity) => {
		expect(await outcome(read({ items: memory({ AllocationUnits: units, VirtualQuantity: quantity }) }))).toBe(
			"damaged",
		);
	});
});

describe("OVF CPUs", () => {
	test("of the default deployment option count, ranges do not", async () => {
		const machine = await read({
			envelope: `<DeploymentOptionSection><Info/>
				<Configuration ovf:id="small"/><Configuration ovf:id="large" ovf:default="true"/></DeploymentOptionSection>`,
			items:
				cpu(1) +
				cpu(2, ' ovf:configuration="small"') +
				cpu(8, ' ovf:configuration="medium large"') +
				cpu(64, ' ovf:bound="max"'),
		});
		expect(machine.cpus).toBe(8);
		expect(machine.lost).toContain('Of 2 deployment options, the default one, "large", is used.');
	});

	test("that are none are assumed, and that is said", async () => {
		const machine = await read({});
		expect(machine).toMatchObject({ cpus: 2, memory: 2 ** 31 });
		expect(machine.lost).toEqual([
			"The descriptor gives no number of CPUs; 2 are assumed.",
			"The descriptor gives no memory size; 2 GiB are assumed.",
		]);
	});

	test.each([0, 4097])("as many as %d are damage", async (count) => {
		expect(await outcome(read({ items: cpu(count) }))).toBe("damaged");
	});
});

describe("OVF firmware", () => {
	test.each([
		['<vmw:Config vmw:key="firmware" vmw:value="efi"/>', "uefi", false],
		['<vmw:Config vmw:key="firmware" vmw:value="bios"/>', "bios", false],
		[
			'<vmw:Config vmw:key="firmware" vmw:value="efi"/><vmw:Config vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="TRUE"/>',
			"uefi",
			true,
		],
		["", "bios", false],
	])("from %j is %s", async (hardware, firmware, secureBoot) => {
		expect(await read({ hardware })).toMatchObject({ firmware, secureBoot });
	});

	test("is taken from VirtualBox's own section too", async () => {
		const sections = '<vbox:Machine><Hardware><Firmware type="EFI64"/></Hardware></vbox:Machine>';
		expect(await read({ sections })).toMatchObject({ firmware: "uefi" });
	});
});

describe("OVF drives", () => {
	const files = '<File ovf:id="f" ovf:href="a%20b.vmdk"/>';
	const disk = (attributes: string) => `<Disk ovf:diskId="d" ovf:fileRef="f" ${attributes}/>`;
	const scsi = item(6, { InstanceID: 3, Address: 0, ResourceSubType: "someother, lsilogic" });
	const drive = (resource: string) => item(17, { HostResource: resource, Parent: 3, AddressOnParent: 1 });

	test.each(["ovf:/disk/d", "/disk/d", "ovf://disk/d"])("at %s are found", async (resource) => {
		const disks = disk('ovf:capacity="3" ovf:capacityAllocationUnits="byte * 2^30"');
		const machine = await read({ files, disks, items: scsi + drive(resource) });
		expect(machine.controllers).toEqual([{ id: "scsi0", model: "lsilogic", index: 0 }]);
		expect(machine.disks).toEqual([
			{ id: "disk1", kind: "disk", file: "a%20b.vmdk", capacity: 3 * 2 ** 30, controller: "scsi0", unit: 1 },
		]);
	});

	test.each([
		["a disk that is not described", "", "ovf:/disk/other", files, "damaged"],
		["a file that is not listed", disk('ovf:capacity="512"'), "ovf:/disk/d", "", "damaged"],
		["a difference to another disk", disk('ovf:capacity="512" ovf:parentRef="p"'), "ovf:/disk/d", files, "unsupported"],
		["a negative capacity", disk('ovf:capacity="-9223372036854775809"'), "ovf:/disk/d", files, "damaged"],
		["a capacity beyond all disks", disk('ovf:capacity="9223372036854775808"'), "ovf:/disk/d", files, "damaged"],
	])("with %s are a typed error", async (_, disks, resource, listed, kind) => {
		expect(await outcome(read({ files: listed, disks, items: scsi + drive(resource) }))).toBe(kind);
	});

	test.each([
		['ovf:href="a.vmdk.gz" ovf:compression="gzip"', "The file a.vmdk.gz is compressed as a whole (gzip)."],
		['ovf:href="a.vmdk" ovf:chunkSize="7516192768"', "The file a.vmdk is stored in chunks of 7516192768 bytes."],
	])("say how %s is stored", async (attributes, sentence) => {
		const disks = disk('ovf:capacity="512"');
		const machine = await read({
			files: `<File ovf:id="f" ${attributes}/>`,
			disks,
			items: scsi + drive("ovf:/disk/d"),
		});
		expect(machine.lost).toContain(sentence);
	});

	test("whose capacity is left to a property are read without it, and that is said", async () => {
		const machine = await read({ files, disks: disk('ovf:capacity="${size}"'), items: scsi + drive("ovf:/disk/d") });
		expect(machine.disks[0]).not.toHaveProperty("capacity");
		expect(machine.lost.join()).toContain("${size}");
	});
});

describe("what an OVF says and a machine cannot", () => {
	test("is told, a sentence each", async () => {
		const machine = await read({
			items:
				cpu(1) +
				memory({ VirtualQuantity: 512, Reservation: 512 }) +
				item(35, { ElementName: "sound" }) +
				item(24, { ElementName: "video" }) +
				item(20, { InstanceID: 9, ElementName: "nvdimm", ResourceSubType: "vmware.nvdimm.controller" }),
			sections: "<InstallSection/><ProductSection><Info/><Icon/></ProductSection>",
			hardware:
				'<vmw:Config vmw:key="cpuHotAddEnabled" vmw:value="true"/><vmw:ExtraConfig vmw:key="x.y" vmw:value="1"/>',
		});
		expect(machine.lost).toEqual([
			"The InstallSection is not carried over.",
			'The sound card "sound" is not carried over.',
			'The controller "nvdimm" is of an unknown model, vmware.nvdimm.controller.',
			"VMware settings are not carried over: cpuHotAddEnabled, x.y.",
			"Reservations, limits and shares of CPU and memory are not carried over.",
			"The icons of the product are not carried over.",
		]);
	});

	test("is refused when written: OVF has no word for virtio-blk", () => {
		const controllers = [{ id: "sata0", model: "virtio-blk" as const, index: 0 }];
		expect(() => ovf.write?.({ ...sample, controllers })).toThrow("no word for a controller of model virtio-blk");
	});
});

describe("units", () => {
	test.each([
		["byte * 10^6", 1e6],
		["byte * 1024", 1024],
		["byte * 2^10 * 4", 4096],
		["GiB", 2 ** 30],
		["", 1],
		["byte * 0", undefined],
		["MegaHertz", undefined],
		["byte * 2^2^2", undefined],
	])("%j is %s bytes", (unit, bytes) => expect(unitBytes(unit)).toBe(bytes));

	test.each([
		["KiB", 1024],
		["k", 1024],
		["KB", 1000],
		["GB", 1e9],
		["G", 2 ** 30],
		["b", 1],
		["bytes", 1],
	])("libvirt's %j is %d bytes", (unit, bytes) => expect(libvirtUnit(unit)).toBe(bytes));

	test.each([
		["00-15-5D-01-02-03", "00:15:5d:01:02:03"],
		["0015.5d01.0203", "00:15:5d:01:02:03"],
		["00:15:5d:01:02", undefined],
		["7", undefined],
	])("the address %s is %s", (text, mac) => expect(macAddress(text)).toBe(mac));

	test.each([
		["12", 12],
		[" 7 ", 7],
		["1e3", undefined],
		["-1", undefined],
		["9007199254740992", undefined],
	])("the number %j is %s", (text, value) => expect(wholeNumber(text)).toBe(value));
});

describe("a machine for a bare disk", () => {
	test.each([
		[["bios", "uefi"], "x86_64", "bios"],
		[["uefi"], "x86_64", "uefi"],
		[["bios"], "x86_64", "bios"],
		[[], "x86_64", "bios"],
		[[], "aarch64", "uefi"],
	] as const)("that boots by %j on %s has %s", (firmware, arch, expected) => {
		const machine = inferMachine({ name: "disk", file: "disk.img", capacity: 2 ** 30, firmware, arch });
		expect(machine).toMatchObject({ firmware: expected, arch, cpus: 2, memory: 2 ** 31, origin: "inferred" });
		expect(machine.disks).toMatchObject([
			{ file: "disk.img", capacity: 2 ** 30, controller: machine.controllers[0]?.id },
		]);
		expect(machine.nics).toHaveLength(1);
	});
});

describe("an OVF's product", () => {
	const sections = `<ProductSection ovf:class="org.example.app" ovf:instance="1"><Info/><Product>App</Product><Vendor>Example</Vendor>
		<Version>1.2</Version><FullVersion>1.2-b3</FullVersion><ProductUrl>http://example.org/p</ProductUrl>
		<Property ovf:key="ip" ovf:type="string" ovf:userConfigurable="true" ovf:value="192.0.2.1" ovf:qualifiers="MinLen(7)"><Label>Address</Label></Property>
		<Category ovf:msgid="cat"/><Property ovf:key="secret" ovf:type="string" ovf:password="true" ovf:value=""><Description>Say &lt;nothing&gt;</Description></Property>
		</ProductSection><EulaSection><Info/><License ovf:msgid="eula">Fallback</License></EulaSection><EulaSection><Info/><License ovf:msgid="eula"/></EulaSection>`;
	const envelope =
		'<Strings xml:lang="de-DE"><Msg ovf:msgid="eula">First.\nSecond.</Msg><Msg ovf:msgid="cat">Geheimes</Msg></Strings>';
	const products = [
		{
			class: "org.example.app",
			instance: "1",
			product: "App",
			vendor: "Example",
			version: "1.2",
			fullVersion: "1.2-b3",
			productUrl: "http://example.org/p",
			properties: [
				{
					key: "ip",
					type: "string",
					qualifiers: "MinLen(7)",
					value: "192.0.2.1",
					userConfigurable: true,
					label: "Address",
				},
				{
					key: "secret",
					type: "string",
					value: "",
					password: true,
					description: "Say <nothing>",
					category: "Geheimes",
				},
			],
		},
	];

	test("with its properties and licences is read, and is the same when written and read again", async () => {
		const machine = await read({ envelope, sections, items: cpu(1) });
		expect(machine).toMatchObject({ products, eulas: ["Fallback", "First.\nSecond."] });
		const written = ovf.write?.({ ...machine, propertyTransport: ["iso", "com.vmware.guestInfo"] }) ?? "";
		const again = await ovf.read({ name: "again.ovf", bytes: encode(written) });
		expect(again).toMatchObject({ products, eulas: machine.eulas, propertyTransport: ["iso", "com.vmware.guestInfo"] });
	});

	test("is told where another description has no place for it", async () => {
		const machine = await read({ envelope, sections, items: cpu(1) + memory({ VirtualQuantity: 512 }) });
		const vmx = machineFormats.find(({ id }) => id === "vmx");
		expect(vmx && refitted(machine, vmx).lost).toEqual([
			"The product information of App is not carried over, with the properties ip, secret.",
			"The licence agreement is not carried over.",
		]);
		expect(refitted(machine, ovf).lost).toEqual([]);
	});
});

test("OVF 2.x has items of its own for storage and Ethernet ports", async () => {
	const machine = await read({
		files: '<File ovf:id="f" ovf:href="a.vmdk"/>',
		disks: '<Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="4" ovf:capacityAllocationUnits="byte * 2^30"/>',
		items: `${item(20, { InstanceID: 5, ResourceSubType: "AHCI" })}
			<StorageItem><sasd:AddressOnParent xmlns:sasd="s">2</sasd:AddressOnParent><sasd:HostResource xmlns:sasd="s">/disk/d</sasd:HostResource>
			<sasd:InstanceID xmlns:sasd="s">7</sasd:InstanceID><sasd:Parent xmlns:sasd="s">5</sasd:Parent><sasd:ResourceType xmlns:sasd="s">31</sasd:ResourceType></StorageItem>
			<EthernetPortItem xmlns:e="e"><e:Address>00-16-8B-DB-00-5E</e:Address><e:Connection>VS Network</e:Connection>
			<e:InstanceID>8</e:InstanceID><e:ResourceSubType>virtio</e:ResourceSubType><e:ResourceType>33</e:ResourceType></EthernetPortItem>`,
	});
	expect(machine.disks).toEqual([
		{ id: "disk1", kind: "disk", file: "a.vmdk", capacity: 2 ** 32, controller: "sata0", unit: 2 },
	]);
	expect(machine.nics).toEqual([{ model: "virtio-net", mac: "00:16:8b:db:00:5e", network: "VS Network" }]);
	expect(machine.lost.filter((line) => !line.includes("descriptor gives no"))).toEqual([]);
});

describe("an OVF of several machines", () => {
	const system = (id: string, name: string, extra = "") =>
		`<VirtualSystem ovf:id="${id}"><Info/><Name>${name}</Name>${extra}<VirtualHardwareSection><Info/>${cpu(1)}</VirtualHardwareSection></VirtualSystem>`;
	const text = (...systems: readonly string[]) =>
		`<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="rasd">
		<VirtualSystemCollection ovf:id="all"><StartupSection/>${systems.join("")}</VirtualSystemCollection></Envelope>`;
	const inner = `<VirtualSystemCollection ovf:id="inner"><ScaleOutSection/>${system("db", "Same")}</VirtualSystemCollection>`;
	const bytes = encode(text(system("web", "Web"), inner, system("it's", "Same", "<InstallSection/>")));
	const choose = (wanted?: string) => ovf.read({ name: "all.ovf", bytes }, { system: wanted });

	test("is read by an id, or a name that only one has, with the sections around it", async () => {
		expect((await choose("db")).lost.filter((line) => line.includes("Section"))).toEqual([
			"The StartupSection is not carried over.",
			"The ScaleOutSection is not carried over.",
		]);
		expect(await choose("Web")).toMatchObject({ name: "Web" });
		expect((await choose("it's")).lost).toContain("The InstallSection is not carried over.");
	});

	test("lists them where none is chosen", async () => {
		await expect(choose()).rejects.toMatchObject({
			kind: "usage",
			message: "all.ovf describes 3 machines: web, db, it's",
			hint: "Choose one, as in --system web",
		});
		await expect(choose("gone")).rejects.toMatchObject({ kind: "usage", message: /no machine "gone"; it has web, db/ });
		await expect(choose("Same")).rejects.toMatchObject({
			kind: "damaged",
			message: /2 machines that are called "Same"/,
		});
	});
});

describe("an OVF in UTF-16", () => {
	const text = document({ items: cpu(3) }).replace('ovf:id="vm"', 'ovf:id="Maschine für ☃"');
	const little = (content: string) => Uint8Array.from(Buffer.from(content, "utf16le"));
	const big = (content: string) => Uint8Array.from(Buffer.from(content, "utf16le").swap16());
	const declared = `<?xml version="1.0" encoding="UTF-16"?>${text}`;

	test.each([
		["little-endian", little(`\ufeff${declared}`)],
		["big-endian", big(`\ufeff${declared}`)],
		["with a declaration that says otherwise", little(`\ufeff<?xml version="1.0" encoding="UTF-8"?>${text}`)],
		["without a byte order mark", little(declared)],
		["big-endian without a byte order mark", big(declared)],
	])("%s is recognised and read", async (_, bytes) => {
		const file = { name: "wide.ovf", bytes };
		expect(machineFormatOf(file)?.id).toBe("ovf");
		expect(await ovf.read(file)).toMatchObject({ name: "Maschine für ☃", cpus: 3 });
	});
});
