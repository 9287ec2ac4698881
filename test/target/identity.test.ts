import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import type { Machine } from "../../src/machine/machine.js";
import { NewIdentity } from "../../src/machine/new-identity.js";
import { readDescribed } from "../../src/open.js";
import { openNamedOrigin } from "../../src/open-disk.js";
import { asLibvirtReads, vmwareStandIns } from "../machine/judges.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "./appliance.js";

const uuid = "7b10d7af-b932-4c66-b2c3-3996152ec465";
const root = await temporaryFolder();
const disks = [await rawDisk(path.join(root, "a.img"), 1 << 20), await rawDisk(path.join(root, "b.img"), 2 << 20, 2)];

async function packed(hypervisor: string, layout: string) {
	const { folder } = await written(root, hypervisor, layout, { machine: { ...machine, uuid }, disks });
	const note = await readFile(path.join(folder, "IMPORT.md"), "utf8");
	return { folder, note, names: await readdir(folder) };
}

describe("the UUID of the firmware", () => {
	test.each([
		["vmware", "vmx", ".vmx"],
		["kvm", "libvirt", ".xml"],
		["xenserver", "xva", ".xva"],
	] as const)("is in what %s gets as %s, and is read from there", async (hypervisor, layout, ending) => {
		const { folder, note, names } = await packed(hypervisor, layout);
		await using origin = await openNamedOrigin(path.join(folder, names.find((name) => name.endsWith(ending)) ?? ""));
		expect((await readDescribed(origin))?.uuid).toBe(uuid);
		expect(note).not.toContain("the guest will see another one");
	});

	test.skipIf(missing("virt-xml-validate"))(
		`is where libvirt's schema has it ${because("virt-xml-validate")}`,
		async () => {
			const { folder, names } = await packed("kvm", "libvirt");
			const domain = path.join(folder, names.find((name) => name.endsWith(".xml")) ?? "");
			await expect(run("virt-xml-validate", domain, "domain")).resolves.toBeDefined();
			expect(await readFile(domain, "utf8")).toContain(`<uuid>${uuid}</uuid>`);
		},
	);

	test.each([
		["vmware", "ova"],
		["hyperv-gen1", "hyperv"],
	])("is told to be another one where %s has no place for it in its %s", async (hypervisor, layout) => {
		const { note } = await packed(hypervisor, layout);
		expect(note).toContain(`- The firmware's UUID, ${uuid}: the guest will see another one.`);
	});
});

/** Not in the order of their MACs, and the last one's network is that of the first. */
const cards: Machine["nics"] = [
	{ model: "e1000", mac: "02:00:00:00:00:33", network: "front" },
	{ model: "e1000", mac: "02:00:00:00:00:11", network: "back" },
	{ model: "e1000", mac: "02:00:00:00:00:22", network: "front" },
];
const macs = cards.map(({ mac }) => mac);
const networks = new Map([
	["front", "Front LAN"],
	["back", "br7"],
]);
const connected = ["Front LAN", "br7", "Front LAN"];

type Changes = Partial<Parameters<typeof written>[3]>;

/** A package of the machine with three cards, the machine that it is said to have, and its file that ends in `ending`. */
async function carried(hypervisor: string, layout: string, ending: string, changes: Changes = {}) {
	let told: Machine | undefined;
	const onAttached = (packed: Machine) => {
		told = packed;
	};
	const given = { machine: { ...machine, nics: cards }, disks, networks, onAttached, ...changes };
	const { folder } = await written(root, hypervisor, layout, given);
	const file = path.join(folder, (await readdir(folder)).find((name) => name.endsWith(ending)) ?? "");
	if (told === undefined) throw new Error("nobody was told of the machine");
	return { folder, file, told };
}

/** What an XPath expression finds, as libxml2 reads the file. */
const found = async (file: string, expression: string) =>
	(await run("xmllint", "--xpath", expression, file))
		.trim()
		.split("\n")
		.map((line) => line.replace(/^\s*[\w:]+="(.*)"$/, "$1"));

/** The virtual sizes of image files, as qemu-img sees them. */
const sizes = (folder: string, files: readonly (string | undefined)[]) =>
	Promise.all(
		files.map(async (file) => {
			const info = await run("qemu-img", "info", "--output=json", path.join(folder, path.basename(file ?? "")));
			return (JSON.parse(info) as { "virtual-size": number })["virtual-size"];
		}),
	);
const wanted = disks.map(({ size }) => size);

describe("network cards and disks", () => {
	test.each([
		["vmware", "ova", ".ova"],
		["virtualbox", "ova", ".ova"],
		["vmware", "vmx", ".vmx"],
		["xenserver", "xva", ".xva"],
		["kvm", "libvirt", ".xml"],
	])("keep MACs and order in what %s gets as %s, and are told so", async (hypervisor, layout, ending) => {
		const { file, told } = await carried(hypervisor, layout, ending);
		await using origin = await openNamedOrigin(file);
		const read = await readDescribed(origin);
		for (const one of [told, read]) {
			expect(one?.nics.map(({ mac }) => mac)).toEqual(macs);
			expect(one?.nics.map(({ network }) => network)).toEqual(connected);
		}
		expect(read?.disks.map(({ unit }) => unit)).toEqual([0, 1]);
		expect(told.disks.map(({ capacity }) => capacity)).toEqual(wanted);
		expect(read?.disks.map(({ file }) => path.basename(file ?? ""))).toEqual(told.disks.map(({ file }) => file));
	});

	test.skipIf(missing("xmllint", "tar"))(
		`are in the OVF as libxml2 reads it ${because("xmllint", "tar")}`,
		async () => {
			const { folder, file } = await carried("vmware", "ova", ".ova");
			await run("tar", "-xf", file, "-C", folder);
			const ovf = path.join(folder, (await readdir(folder)).find((name) => name.endsWith(".ovf")) ?? "");
			const card = "//*[local-name()='Item'][*[local-name()='ResourceType']='10']";
			expect(await found(ovf, `${card}/*[local-name()='Address']/text()`)).toEqual(macs);
			expect(await found(ovf, `${card}/*[local-name()='Connection']/text()`)).toEqual(connected);
			expect(await found(ovf, "//*[local-name()='Disk']/@*[local-name()='capacity']")).toEqual(wanted.map(String));
		},
	);

	test.skipIf(missing("xmllint", "qemu-img"))(
		`are in the domain as libxml2 reads it ${because("xmllint", "qemu-img")}`,
		async () => {
			const { folder, file } = await carried("kvm", "libvirt", ".xml");
			expect(await found(file, "//interface/mac/@address")).toEqual(macs);
			expect(await found(file, "//interface/source/@network")).toEqual(connected);
			expect(await sizes(folder, await found(file, "//disk/source/@file"))).toEqual(wanted);
		},
	);

	test.skipIf(missing("virsh", "qemu-img"))(
		`are in the .vmx as libvirt reads it ${because("virsh", "qemu-img")}`,
		async () => {
			const { folder, file } = await carried("vmware", "vmx", ".vmx");
			const theirs = await asLibvirtReads(file, await vmwareStandIns(folder));
			expect(theirs.nics.map(({ mac }) => mac)).toEqual(macs);
			expect(
				await sizes(
					folder,
					theirs.disks.map(({ file }) => file),
				),
			).toEqual(wanted);
		},
	);

	test.skipIf(missing("python3", "tar"))(
		`are in the XVA as Python's XML-RPC reads it ${because("python3", "tar")}`,
		async () => {
			const { folder, file } = await carried("xenserver", "xva", ".xva");
			await run("tar", "-xf", file, "-C", folder, "ova.xml");
			const program = `
import json, sys, xmlrpc.client
text = open(sys.argv[1]).read().split("?>", 1)[1]
(value,), _ = xmlrpc.client.loads("<params><param>" + text + "</param></params>")
of = lambda kind: [o for o in value["objects"] if o["class"] == kind]
networks = {o["id"]: o["snapshot"] for o in of("network")}
vifs = sorted((o["snapshot"] for o in of("VIF")), key=lambda v: int(v["device"]))
vdis = {o["id"]: o["snapshot"] for o in of("VDI")}
vbds = sorted((o["snapshot"] for o in of("VBD")), key=lambda v: int(v["userdevice"]))
print(json.dumps({"macs": [v["MAC"] for v in vifs], "names": [networks[v["network"]]["name_label"] for v in vifs],
  "bridges": [n["bridge"] for n in networks.values()], "sizes": [int(vdis[v["VDI"]]["virtual_size"]) for v in vbds]}))
`;
			const script = path.join(folder, "read.py");
			await writeFile(script, program);
			expect(JSON.parse(await run("python3", script, path.join(folder, "ova.xml")))).toEqual({
				macs,
				names: connected,
				bridges: ["", "br7"],
				sizes: wanted,
			});
		},
	);

	test.each(["hyperv-gen1", "hyperv-gen2"])("are in import.ps1 for %s", async (hypervisor) => {
		const firmware = hypervisor === "hyperv-gen1" ? ("bios" as const) : ("uefi" as const);
		const { file, told } = await carried(hypervisor, "hyperv", ".ps1", {
			machine: { ...machine, nics: cards, firmware },
		});
		const script = await readFile(file, "utf8");
		const column = (pattern: RegExp) => [...script.matchAll(pattern)].map(([, value]) => value);
		expect(column(/@\{ Mac = '(\w+)'/g)).toEqual(macs.map((mac) => mac?.replaceAll(":", "").toUpperCase()));
		expect(column(/; Switch = '([^']+)' \}/g)).toEqual(connected);
		expect(column(/@\{ File = '([^']+)'/g)).toEqual(told.disks.map(({ file }) => file));
		expect(told.nics.map(({ mac, network }) => [mac, network])).toEqual(macs.map((mac, i) => [mac, connected[i]]));
	});

	test.each([
		["kvm", "libvirt", `The network "back": its cards are on "default".`],
		["xenserver", "xva", `The network "back": connect its cards where the machine is created.`],
		["vmware", "ova", `The network "back": its cards are on "VM Network".`],
	])("lose no network's name in silence: %s as %s", async (hypervisor, layout, sentence) => {
		const { file, told } = await carried(hypervisor, layout, "IMPORT.md", { networks: new Map([["front", "LAN"]]) });
		expect(told.lost.filter((one) => one.startsWith("The network"))).toEqual([sentence]);
		expect(await readFile(file, "utf8")).toContain(`- ${sentence}\n`);
		const { told: kept } = await carried("vmware", "ova", "IMPORT.md", {
			machine: { ...machine, nics: cards, origin: "vmx" },
			networks: new Map(),
		});
		expect(kept.nics.map(({ network }) => network)).toEqual(["front", "back", "front"]);
		expect(kept.lost.join()).not.toContain("The network");
	});

	test("are told to whoever makes the machine by hand", async () => {
		const { file, told } = await carried("nxtop", "vhd", "IMPORT.md");
		expect(await readFile(file, "utf8")).toContain(`these addresses, in this order: ${macs.join(", ")}.`);
		expect(told.nics.map(({ mac }) => mac)).toEqual(macs);
	});
});

describe("a new identity", () => {
	test("has MACs of each platform's own kind, none of them twice, and a UUID of its own", () => {
		const identity = new NewIdentity();
		const given = new Set<string>(macs.flatMap((mac) => mac ?? []));
		const uuids = new Set<string>([uuid]);
		const kinds = {
			vmware: /^00:50:56:[0-3]/,
			xen: /^00:16:3e:[0-7]/,
			virtualbox: /^08:00:27:/,
			hyperv: /^00:15:5d:/,
			kvm: /^52:54:00:/,
			somebody: /^52:54:00:/,
		};
		const many = { ...machine, uuid, nics: Array.from({ length: 200 }, (_, at) => cards[at] ?? { model: "e1000" }) };
		for (const [platform, kind] of Object.entries(kinds)) {
			const fresh = identity.of(platform, many);
			expect(identity.of(platform, many)).toEqual(fresh);
			expect({ ...fresh, uuid, nics: [] }).toEqual({ ...many, nics: [] });
			expect(fresh.uuid).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/);
			uuids.add(fresh.uuid ?? "");
			for (const [at, { mac = "", model, network }] of fresh.nics.entries()) {
				expect(mac).toMatch(/^[\da-f]{2}(?::[\da-f]{2}){5}$/);
				expect(mac).toMatch(kind);
				expect({ model, network }).toEqual({ model: "e1000", network: cards[at]?.network });
				given.add(mac);
			}
		}
		expect(given.size).toBe(3 + 6 * 200);
		expect(uuids.size).toBe(7);
	});

	test.skipIf(missing("qemu-img"))(
		`gives disks' files other ids, and the same contents ${because("qemu-img")}`,
		async () => {
			const fresh = disks.map((disk) => Object.assign({}, disk, { salt: new NewIdentity().salt }));
			const id = async (file: string) => /^CID=.*$/m.exec(await readFile(file, "latin1"))?.[0];
			const [old, again, other] = await Promise.all(
				[disks, disks, fresh].map(async (disks) => id((await carried("vmware", "vmx", ".vmdk", { disks })).file)),
			);
			expect(old).toMatch(/=[\da-f]{8}$/);
			expect(again).toBe(old);
			expect(other).not.toBe(old);
			for (const layout of ["vhd", "hyperv"] as const) {
				const [hypervisor, ending, format] =
					layout === "vhd" ? (["nxtop", ".vhd", "vpc"] as const) : (["hyperv-gen1", ".vhdx", "vhdx"] as const);
				const [one, two] = await Promise.all([
					carried(hypervisor, layout, ending),
					carried(hypervisor, layout, ending, { disks: fresh }),
				]);
				const [left, right] = await Promise.all([one.file, two.file].map((file) => readFile(file)));
				expect(left?.equals(right ?? Buffer.of())).toBe(false);
				await run("qemu-img", "compare", "-f", format, "-F", format, one.file, two.file);
			}
		},
	);
});
