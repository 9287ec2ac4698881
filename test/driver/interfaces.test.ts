import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Card, interfaceName, schemeLevel } from "../../src/driver/interface-name.js";
import { interfaceSentence } from "../../src/driver/interface-reasons.js";
import { compareNames, judgeInterfaces } from "../../src/driver/interfaces.js";
import { judge } from "../../src/driver/judge.js";
import type { InterfaceNaming, LinkFile, NetworkFact } from "../../src/guest/guest.js";
import type { Hypervisor } from "../../src/hypervisor/hypervisor.js";
import { hypervisor as find, hypervisors } from "../../src/hypervisor/registry.js";
import type { MachineNic } from "../../src/machine/machine.js";
import { guest } from "./guests.js";

const defaultLink: LinkFile = {
	file: "/usr/lib/systemd/network/99-default.link",
	match: { OriginalName: ["*"] },
	namePolicy: ["keep", "kernel", "database", "onboard", "slot", "path"],
};
const usbLink: LinkFile = {
	file: "/usr/lib/systemd/network/73-usb-net-by-mac.link",
	match: { Path: ["*-usb-*"] },
	namePolicy: ["mac"],
};

const naming = (udev: number | null, more: Partial<InterfaceNaming> = {}): InterfaceNaming => ({
	udev,
	scheme: udev === null ? null : `v${udev}`,
	by: "links",
	links: [usbLink, defaultLink],
	rules: [],
	generator: false,
	biosdevname: false,
	...more,
});

const fact = (name: string, more: Partial<NetworkFact> = {}): NetworkFact => ({
	by: "ifupdown",
	file: "/etc/network/interfaces",
	interface: name,
	method: "static",
	addresses: ["10.0.0.5/24"],
	...more,
});

function on(id: string): Hypervisor {
	const found = find(id);
	if (found === undefined) throw new Error(`no hypervisor ${id}`);
	return found;
}

const mac = (n: number) => `00:50:56:00:00:0${n}`;
const nics = (count: number, macs = false): MachineNic[] =>
	Array.from({ length: count }, (_, i) => ({ model: "e1000", ...(macs && { mac: mac(i) }) }));

interface Setting {
	readonly naming?: InterfaceNaming;
	readonly network?: readonly NetworkFact[];
	readonly nics?: readonly MachineNic[];
	/** Modules that the kernel was built without, so that another card or disk is chosen. */
	readonly without?: readonly string[];
	readonly initramfs?: readonly string[] | "all";
}

function judged(id: string, setting: Setting = {}) {
	const cards = setting.nics ?? nics(1);
	const configured = setting.network ?? Array.from(cards, (_, i) => fact(`ens${i + 1}`));
	const subject = guest({
		initramfs: setting.initramfs ?? "all",
		...(setting.without && { without: setting.without }),
		guest: { naming: setting.naming ?? naming(252), network: configured },
	});
	return judgeInterfaces(subject, cards, on(id), judge(subject, on(id)));
}

/** The names that cards get; null where nobody knows. */
const namesOn = (id: string, setting: Setting = {}) => judged(id, setting).map(({ name }) => name);

describe("the first card", () => {
	// What guests of these hypervisors are known to show, and what systemd.net-naming-scheme(7) says of the schemes.
	it.each([
		["vmware", "vmxnet3 behind PVSCSI", {}, "ens192"],
		["vmware", "vmxnet3 with another disk", { without: ["vmw_pvscsi", "mptsas"] }, "ens160"],
		["vmware", "e1000", { without: ["vmxnet3", "e1000e"] }, "ens32"],
		["vmware", "systemd of RHEL 7", { naming: naming(219) }, null],
		["vmware", "systemd 257", { naming: naming(257) }, null],
		["kvm", "virtio on Q35", {}, "enp1s0"],
		["kvm", "e1000e on Q35", { without: ["virtio_net"] }, "enp1s0"],
		["kvm", "virtio on i440FX", { without: ["virtio_blk", "virtio_scsi", "ahci"] }, "ens3"],
		["kvm", "virtio before systemd 226", { naming: naming(219) }, "eth0"],
		["kvm", "systemd 257, which asks ACPI", { naming: naming(257) }, null],
		["virtualbox", "e1000", {}, "enp0s3"],
		["virtualbox", "systemd 209", { naming: naming(209) }, "enp0s3"],
		["hyperv-gen1", "netvsc", {}, "eth0"],
		["hyperv-gen2", "netvsc", { naming: naming(257) }, "eth0"],
		["xenserver", "vif, scheme v250", { naming: naming(250) }, "enX0"],
		["xenserver", "vif, scheme v249", { naming: naming(249) }, "eth0"],
		["xenserver", "vif, RHEL 8", { naming: naming(239, { scheme: "rhel-8.0" }) }, "eth0"],
		["xenserver", "vif, RHEL 9", { naming: naming(252, { scheme: "rhel-9.0" }) }, "enX0"],
		["xenserver", "vif, SLE 15", { naming: naming(254, { scheme: "sle15-sp3" }) }, "eth0"],
		["xenserver", "vif, a scheme of its own", { naming: naming(254, { scheme: "mine" }) }, null],
		["nxtop", "vif", {}, "enX0"],
	] as const)("on %s with %s", (id, _, setting, expected) => {
		expect(namesOn(id, setting)).toEqual([expected]);
	});

	it.each(hypervisors.map(({ id }) => id))("on %s is eth0 where nothing renames it", (id) => {
		for (const plain of [
			naming(252, { disabledBy: "net.ifnames=0" }),
			naming(252, { links: [] }),
			naming(204, { by: "rules" }),
			naming(null, { by: "kernel" }),
		]) {
			expect(namesOn(id, { naming: plain })).toEqual(["eth0"]);
		}
	});

	it("is named by place where udev's older rule does that", () => {
		expect(namesOn("virtualbox", { naming: naming(204, { by: "slots", links: [] }) })).toEqual(["enp0s3"]);
		expect(namesOn("kvm", { naming: naming(null, { by: "slots", links: [] }) })).toEqual(["eth0"]);
	});
});

describe("several cards", () => {
	it("are named in the order of the machine", () => {
		const setting = { nics: nics(3) };
		expect(namesOn("vmware", setting)).toEqual(["ens192", "ens224", null]);
		expect(namesOn("kvm", setting)).toEqual(["enp1s0", "enp2s0", "enp3s0"]);
		expect(namesOn("virtualbox", setting)).toEqual(["enp0s3", "enp0s8", "enp0s9"]);
		expect(namesOn("hyperv-gen2", setting)).toEqual(["eth0", "eth1", "eth2"]);
		expect(namesOn("xenserver", setting)).toEqual(["enX0", "enX1", "enX2"]);
	});

	it("are found by MAC, then in the order of their names", () => {
		const outcome = judged("kvm", {
			nics: nics(3, true),
			network: [fact("ens224", { mac: mac(0) }), fact("ens193"), fact("ens192"), fact("ens192.7"), fact("br0")],
		});
		expect(outcome.map(({ interface: name, card }) => [name, card])).toEqual([
			["ens224", 0],
			["ens193", 2],
			["ens192", 1],
		]);
	});

	it("are not guessed where there are more than names, and are missed where there are fewer", () => {
		expect(judged("kvm", { nics: nics(2), network: [fact("ens192")] })).toMatchObject([
			{ card: null, state: "unknown" },
		]);
		expect(judged("kvm", { nics: nics(1), network: [fact("ens224"), fact("ens192")] })).toMatchObject([
			{ interface: "ens224", state: "no-card" },
			{ interface: "ens192", card: 0, state: "renamed" },
		]);
	});

	it("are put in order as people count them", () => {
		const ordered = ["enp0s3", "enp0s10", "enp2s1"];
		expect(ordered.toReversed().sort(compareNames)).toEqual(ordered);
		const vmware = ["ens160", "ens192", "ens224", "ens256", "ens161"];
		expect(vmware.toSorted().sort(compareNames)).toEqual(vmware);
		expect(["eth10", "eth2", "eth0"].sort(compareNames)).toEqual(["eth0", "eth2", "eth10"]);
	});
});

describe("a configuration", () => {
	it("by name applies where the name stays", () => {
		expect(judged("virtualbox", { network: [fact("enp0s3")] })).toMatchObject([{ state: "kept", name: "enp0s3" }]);
		expect(judged("virtualbox", { network: [fact("ens192")] })).toMatchObject([{ state: "renamed", name: "enp0s3" }]);
	});

	it("by MAC applies where the MAC stays", () => {
		const byMac = { nics: nics(1, true), network: [fact(mac(0), { renamedTo: "lan0" })] };
		expect(judged("kvm", byMac)).toMatchObject([{ state: "kept", name: "lan0" }]);
		expect(judged("virtualbox", byMac)).toMatchObject([{ state: "mac", name: null }]);
		expect(judged("kvm", { ...byMac, nics: nics(1) })).toMatchObject([{ state: "mac" }]);
		const both = { nics: nics(1, true), network: [fact("ens192", { mac: mac(0), renamedTo: "ens192" })] };
		expect(judged("hyperv-gen1", both)).toMatchObject([{ state: "kept", name: "ens192" }]);
		expect(judged("vmware", both)).toMatchObject([{ state: "mac" }]);
	});

	it("for any card needs nothing, unless no card will fit", () => {
		for (const name of ["*", "en* eth*", "e*"]) expect(judged("hyperv-gen1", { network: [fact(name)] })).toEqual([]);
		expect(judged("hyperv-gen1", { network: [fact("en*")] })).toMatchObject([{ state: "renamed", name: "eth0" }]);
		expect(judged("kvm", { network: [fact("en*")] })).toEqual([]);
	});

	it("is told by nobody where the guest has no driver for a card", () => {
		expect(judged("hyperv-gen2", { without: ["hv_netvsc"] })).toEqual([]);
	});

	it("follows .link files and rules, the first that fits", () => {
		const link = (match: LinkFile["match"], name = "lan0"): LinkFile => ({
			file: "/a.link",
			match,
			namePolicy: [],
			name,
		});
		const first = (id: string, match: LinkFile["match"]) =>
			namesOn(id, { nics: nics(1, true), naming: naming(252, { links: [link(match), defaultLink] }) });
		expect(first("kvm", { MACAddress: [mac(0).toUpperCase().replaceAll(":", "-")] })).toEqual(["lan0"]);
		expect(first("virtualbox", { MACAddress: [mac(0)] })).toEqual(["enp0s3"]);
		expect(first("xenserver", { Driver: ["vif"] })).toEqual(["lan0"]);
		expect(first("kvm", { Driver: ["!virtio_*"] })).toEqual(["enp1s0"]);
		expect(first("virtualbox", { Path: ["pci-0000:00:03.0"], Virtualization: ["oracle"] })).toEqual(["lan0"]);
		expect(first("virtualbox", { Path: ["pci-0000:00:08.0"] })).toEqual(["enp0s3"]);
		expect(first("vmware", { Path: ["pci-0000:0b:00.0"] })).toEqual([null]);
		expect(first("kvm", { Virtualization: ["container"] })).toEqual(["enp1s0"]);
		expect(first("kvm", { Kind: ["veth"] })).toEqual(["enp1s0"]);
		expect(first("kvm", { Host: ["a"] })).toEqual([null]);
		const empty = (udev: number) => namesOn("kvm", { naming: naming(udev, { links: [link({}), defaultLink] }) });
		// RHEL 8 has udev 239, and a default file that asks for nothing.
		expect([empty(252), empty(249), empty(239)]).toEqual([["enp1s0"], [null], ["lan0"]]);
		const bare = { ...defaultLink, file: "/usr/lib/systemd/network/99-default.link", match: {} };
		expect(namesOn("virtualbox", { naming: naming(239, { links: [bare] }) })).toEqual(["enp0s3"]);
		const rule = { file: "/70.rules", name: "dmz", conditional: false };
		const ruled = (more: object, generator = false) =>
			namesOn("kvm", {
				nics: nics(1, true),
				naming: naming(204, { by: "rules", generator, rules: [{ ...rule, ...more }] }),
			});
		expect(ruled({ mac: mac(0) })).toEqual(["dmz"]);
		expect(ruled({ mac: mac(1) })).toEqual(["eth0"]);
		expect(ruled({ mac: mac(1) }, true)).toEqual([null]);
		expect(ruled({ kernel: "eth0" })).toEqual(["dmz"]);
		expect(ruled({ kernel: "eth1" })).toEqual(["eth0"]);
		expect(ruled({ conditional: true })).toEqual([null]);
	});
});

it("is told in an operator's words", () => {
	const sentence = (id: string, setting: Setting, after?: Setting) => {
		const [before] = judged(id, setting);
		const [then] = after ? judged(id, after) : [undefined];
		return before && interfaceSentence(before, then, on(id));
	};
	const ens192 = { network: [fact("ens192")] };
	const fixed = naming(252, { links: [{ file: "/a", match: { Driver: ["*"] }, namePolicy: [], name: "ens192" }] });
	expect(sentence("kvm", ens192, { ...ens192, naming: fixed })).toBe(
		"The interface configured as ens192 (static 10.0.0.5/24) will be called enp1s0: the configuration will not apply. Prepared, it stays ens192.",
	);
	expect(sentence("vmware", ens192)).toBe("ens192 (static 10.0.0.5/24) stays as it is.");
	expect(
		sentence("virtualbox", { nics: nics(1, true), network: [fact(mac(0), { method: "dhcp", addresses: [] })] }),
	).toBe(
		"The configuration for 00:50:56:00:00:00 (DHCP) asks for a MAC that its card will not have there. Import it with VBoxManage import --options keepallmacs.",
	);
	for (const { id } of hypervisors) {
		for (const setting of [
			ens192,
			{ ...ens192, nics: [] },
			{ network: [fact("en*")] },
			{ ...ens192, naming: naming(257) },
		]) {
			expect(sentence(id, setting) ?? "None.").toMatch(/^\S.*[.]$/);
		}
	}
});

it("naming schemes of distributions have the features of an upstream one", () => {
	expect(["v239", "rhel-8.7", "rhel-9.0", "rhel-10.0", "sle15-sp4", "v9", "x", null].map(schemeLevel)).toEqual([
		...[239, 239, 250, 257, 238],
		...[undefined, undefined, undefined],
	]);
});

it("any facts give a name that a kernel takes, or none", () => {
	const word = fc.constantFrom(
		"eth*",
		"virtio_net",
		"!",
		"*",
		"pci-*",
		"no",
		"vm",
		"path",
		"mac",
		"slot",
		"00:50:56:00:00:00",
	);
	const key = fc.constantFrom("MACAddress", "Path", "Driver", "Type", "Kind", "OriginalName", "Virtualization", "Host");
	const link = fc.record({
		file: fc.constant("/a.link"),
		match: fc.dictionary(key, fc.array(word, { minLength: 1, maxLength: 3 }), { maxKeys: 3 }),
		namePolicy: fc.array(word, { maxLength: 3 }),
		name: fc.constantFrom("lan0", "dmz"),
	});
	const by = fc.constantFrom("links", "slots", "rules", "kernel");
	const facts = fc.record({ udev: fc.constantFrom(null, 204, 219, 230, 252, 257), by, links: fc.array(link) });
	fc.assert(
		fc.property(facts, fc.nat(7), fc.constantFrom(...hypervisors), (given, number, { devices, cards }) => {
			for (const model of devices.filter(({ role }) => role === "network")) {
				const place = cards?.places.find(({ models }) => models.includes(model.id))?.cards[number];
				const card: Card = { number, model, ...(place && { place }) };
				const named = interfaceName({ ...naming(given.udev), ...given }, card);
				expect("name" in named ? named.name : "unknown").toMatch(/^[\w.-]{1,15}$/);
			}
		}),
	);
});
