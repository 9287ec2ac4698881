import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { judgeInterfaces } from "../../src/driver/interfaces.js";
import { judge } from "../../src/driver/judge.js";
import type { InterfaceNaming, LinuxGuest, NetworkFact } from "../../src/guest/guest.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import type { MachineNic } from "../../src/machine/machine.js";
import { NewIdentity } from "../../src/machine/new-identity.js";
import { type Change, type Planning, withNetworkChanges } from "../../src/prepare/index.js";
import { planNetwork } from "../../src/prepare/rules/network.js";
import { guest as driverGuest } from "../driver/guests.js";
import { memoryTree } from "../guest/support/memory.js";
import { sample } from "../machine/samples.js";

const links: InterfaceNaming["links"] = [
	{
		file: "/usr/lib/systemd/network/99-default.link",
		match: { OriginalName: ["*"] },
		namePolicy: ["keep", "kernel", "database", "onboard", "slot", "path"],
	},
];
const systemd: InterfaceNaming = {
	...{ udev: 252, scheme: "v252", by: "links", rules: [], generator: false, biosdevname: false },
	links,
};

const fact = (name: string): NetworkFact => ({
	...{ by: "ifcfg", file: `/etc/sysconfig/network-scripts/ifcfg-${name}`, interface: name },
	...{ method: "static", addresses: ["10.0.0.5/24"] },
});

const guestWith = (names: readonly string[], naming: Partial<InterfaceNaming> = {}, initramfs: "all" | string[] = []) =>
	driverGuest({ initramfs, guest: { naming: { ...systemd, ...naming }, network: names.map(fact) } });

const planning = (
	guest: LinuxGuest,
	nics: readonly MachineNic[],
	files: Readonly<Record<string, string>> = {},
): Planning => ({
	...{ guest, nics, tree: memoryTree({ "/etc/": "", ...files }), targets: hypervisors },
	stableName: () => undefined,
});

const mac = (n: number) => `00:0c:29:00:00:0${n}`;
const cards = (count: number, macs: boolean): MachineNic[] =>
	Array.from({ length: count }, (_, n) => ({ model: "vmxnet3", ...(macs && { mac: mac(n) }) }));

/** Hypervisors to the states of the interfaces there. */
const states = (guest: LinuxGuest, nics: readonly MachineNic[]) =>
	Object.fromEntries(
		hypervisors.map((one) => [one.id, judgeInterfaces(guest, nics, one, judge(guest, one)).map(({ state }) => state)]),
	);

const contentsOf = (changes: readonly Change[]) =>
	Object.fromEntries(
		changes.flatMap((change) => (change.action === "write-file" ? [[change.path, change.contents]] : [])),
	);

describe("an interface", () => {
	it("keeps its name by MAC where the card keeps that, and as the only card elsewhere", async () => {
		const guest = guestWith(["ens192"]);
		const changes = await planNetwork(planning(guest, cards(1, true)));
		expect(contentsOf(changes)).toEqual({
			"/etc/systemd/network/10-anyvisor-ens192.link": `# Written by Anyvisor: keeps the name ens192 for the interface that is configured by it,
# by the MAC address of its card.
[Match]
MACAddress=00:0c:29:00:00:00
Driver=hv_netvsc tulip virtio_net e1000e e1000 8139cp 8139too

[Link]
Name=ens192
`,
			"/etc/systemd/network/11-anyvisor-ens192.link": `# Written by Anyvisor: keeps the name ens192 for the interface that is configured by it,
# where its MAC address is another, as it is the only network card.
[Match]
Driver=vif 8139cp 8139too e1000 pcnet32 virtio_net

[Link]
Name=ens192
`,
		});
		for (const { why, mode } of changes as { why: string; mode: number }[]) {
			expect(why).toMatch(/^[A-Z].*ens192.*\.$/);
			expect(mode).toBe(0o644);
		}
	});

	it.each([true, false])("keeps its name everywhere, and a second plan is empty (MAC known: %s)", async (macs) => {
		const guest = guestWith(["ens192"]);
		const nics = cards(1, macs);
		expect(Object.values(states(guest, nics)).flat()).toContain("renamed");
		const changes = await planNetwork(planning(guest, nics));
		const after = withNetworkChanges(guest, changes);
		expect(new Set(Object.values(states(after, nics)).flat())).toEqual(new Set(["kept"]));
		for (const targets of [hypervisors, ...hypervisors.map((one) => [one])]) {
			expect(await planNetwork({ ...planning(after, nics, contentsOf(changes)), targets })).toEqual([]);
		}
	});

	it("is kept on a further hypervisor without forgetting the one before", async () => {
		const guest = guestWith(["ens3"]);
		const nics = cards(1, false);
		const [first, second] = ["virtualbox", "xenserver"].map((id) => hypervisors.filter((one) => one.id === id));
		const once = await planNetwork({ ...planning(guest, nics), targets: first ?? [] });
		const then = withNetworkChanges(guest, once);
		const twice = await planNetwork({ ...planning(then, nics, contentsOf(once)), targets: second ?? [] });
		expect(states(withNetworkChanges(then, twice), nics)).toMatchObject({ virtualbox: ["kept"], xenserver: ["kept"] });
	});

	it.each([
		["for any card", ["*", "en* eth*", mac(0)], cards(1, true)],
		["that no machine has", ["ens192"], []],
		["whose card nobody knows", ["ens192"], cards(2, false)],
		["that is no card", ["br0", "lo", "bond0.7"], cards(1, true)],
		["with a name that no file should have", ["../../x", "a\nName=b", "0", "[Match]", "ens192;"], cards(5, true)],
	])("%s is left alone", async (_, names, nics) => {
		expect(await planNetwork(planning(guestWith(names), nics))).toEqual([]);
	});

	it("is left alone where all targets give it the name", async () => {
		const targets = hypervisors.filter(({ id }) => id === "virtualbox");
		expect(await planNetwork({ ...planning(guestWith(["enp0s3"]), cards(1, false)), targets })).toEqual([]);
	});

	it("is told not to stay where an older initramfs names it first", async () => {
		const nics = cards(1, true);
		const guest = guestWith(["ens192"], { udev: 239, scheme: "rhel-8.0" }, "all");
		const after = withNetworkChanges(guest, await planNetwork(planning(guest, nics)));
		expect(states(after, nics)).toMatchObject({ kvm: ["unknown"], vmware: ["kept"] });
		const newer = guestWith(["ens192"], {}, "all");
		const kept = withNetworkChanges(newer, await planNetwork(planning(newer, nics)));
		expect(states(kept, nics)).toMatchObject({ kvm: ["kept"] });
	});
});

describe("several interfaces", () => {
	it("keep their names by MAC, or by the place of their cards, as far as that is known", async () => {
		const guest = guestWith(["ens160", "ens192"]);
		const changes = await planNetwork(planning(guest, cards(2, true)));
		const files = contentsOf(changes);
		expect(files["/etc/systemd/network/11-anyvisor-virtualbox-ens192.link"]).toContain(
			"[Match]\nVirtualization=oracle\nPath=pci-0000:00:08.0\nDriver=e1000\n\n[Link]\nName=ens192\n",
		);
		expect(files["/etc/systemd/network/11-anyvisor-xenserver-ens160.link"]).toContain(
			"[Match]\nVirtualization=xen\nPath=xen-vif-0\nDriver=vif\n\n[Link]\nName=ens160\n",
		);
		const after = withNetworkChanges(guest, changes);
		expect(states(after, cards(2, true))).toEqual({
			vmware: ["renamed", "renamed"],
			...Object.fromEntries(hypervisors.slice(1).map(({ id }) => [id, ["kept", "kept"]])),
		});
	});
});

/** A machine's cards on each hypervisor, with MACs of its own kind. */
function renewed(nics: readonly MachineNic[]): NonNullable<Planning["nicsOn"]> {
	const identity = new NewIdentity();
	return ({ family }) => identity.of(family, { ...sample, nics }).nics;
}

const statesOn = (guest: LinuxGuest, nicsOn: NonNullable<Planning["nicsOn"]>) =>
	Object.assign({}, ...hypervisors.map((one) => ({ [one.id]: states(guest, nicsOn(one))[one.id] }))) as ReturnType<
		typeof states
	>;

describe("new MACs", () => {
	const udev: Partial<InterfaceNaming> = { udev: null, scheme: null, by: "rules", links: [], generator: true };

	it.each([
		["by .link files", ["ens160", "ens192"], {}],
		["by udev's rules", ["lan0", "lan1"], udev],
	] as const)("take the names over that a package gave the old ones %s", async (_, names, naming) => {
		const guest = guestWith(names, naming);
		const nics = cards(2, true);
		const first = await planNetwork(planning(guest, nics));
		const packed = withNetworkChanges(guest, first);
		expect(states(packed, nics)).toMatchObject({ kvm: ["kept", "kept"], "hyperv-gen2": ["kept", "kept"] });
		const nicsOn = renewed(nics);
		expect(statesOn(packed, nicsOn)).toMatchObject({ kvm: ["renamed", "renamed"] });

		const files = contentsOf(first);
		const changes = await planNetwork({ ...planning(packed, nics, files), nicsOn });
		const after = withNetworkChanges(packed, changes);
		expect(statesOn(after, nicsOn)).toMatchObject({ kvm: ["kept", "kept"], "hyperv-gen2": ["kept", "kept"] });
		const again = { ...planning(after, nics, { ...files, ...contentsOf(changes) }), nicsOn };
		expect(await planNetwork(again)).toEqual([]);
		// Whatever family it belongs to, no other card takes the name.
		for (const link of after.naming.links) expect(link.match["MACAddress"]?.length ?? 1).toBe(1);
	});

	it("are told where the guest's own configuration asks for the old ones", async () => {
		const nics = cards(1, true);
		const bound = { ...fact("ens192"), mac: mac(0), renamedTo: "ens192" };
		const guest = { ...guestWith(["ens192"]), network: [bound] };
		expect(states(guest, nics)).toMatchObject({ kvm: ["kept"] });
		const nicsOn = renewed(nics);
		expect(await planNetwork({ ...planning(guest, nics), nicsOn })).toEqual([]);
		expect(statesOn(guest, nicsOn)).toMatchObject({ kvm: ["mac"], "hyperv-gen1": ["mac"] });
	});
});

describe("udev without .link files", () => {
	const old: Partial<InterfaceNaming> = { udev: null, scheme: null, by: "rules", links: [], generator: true };
	const file = "/etc/udev/rules.d/70-persistent-net.rules";

	it("is told the kernel's name, so that it does not number cards on", async () => {
		const rules = [{ file, name: "eth0", mac: mac(0), kernel: "eth*", conditional: false }];
		const guest = guestWith(["eth0"], { ...old, rules });
		const nics = cards(1, false);
		expect(states(guest, nics)).toMatchObject({ kvm: ["unknown"] });
		const changes = await planNetwork(planning(guest, nics));
		expect(contentsOf(changes)).toEqual({
			"/etc/udev/rules.d/70-anyvisor-net.rules": `# Written by Anyvisor: keeps the names of network interfaces on other hypervisors.
SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{type}=="1", KERNEL=="eth0", NAME="eth0"
`,
		});
		const after = withNetworkChanges(guest, changes);
		expect(new Set(Object.values(states(after, nics)).flat())).toEqual(new Set(["kept"]));
		expect(await planNetwork(planning(after, nics, contentsOf(changes)))).toEqual([]);
	});

	it("is told names of its own by MAC", async () => {
		const nics = cards(1, true);
		const guest = guestWith(["lan0"], old);
		const changes = await planNetwork(planning(guest, nics));
		expect(Object.values(contentsOf(changes)).join()).toContain(`ATTR{address}=="${mac(0)}", NAME="lan0"\n`);
		expect(states(withNetworkChanges(guest, changes), nics)).toMatchObject({ kvm: ["kept"], vmware: ["renamed"] });
	});

	it("nothing is written where there is no udev at all", async () => {
		expect(await planNetwork(planning(guestWith(["lan0"], { ...old, by: "kernel" }), cards(1, true)))).toEqual([]);
	});
});

it("any plan makes things no worse, and planning again changes nothing", async () => {
	const naming = fc.record({
		udev: fc.constantFrom(null, 204, 219, 230, 239, 252, 257),
		scheme: fc.constantFrom(null, "v219", "v239", "v252", "rhel-9.0"),
		by: fc.constantFrom("links", "slots", "rules", "kernel"),
		generator: fc.boolean(),
		links: fc.constantFrom(links, []),
	});
	const names = fc.uniqueArray(fc.constantFrom("eth0", "eth1", "ens192", "ens224", "lan0", "en*", "enp0s3"), {
		maxLength: 3,
	});
	await fc.assert(
		fc.asyncProperty(naming, names, fc.nat(3), fc.boolean(), async (given, configured, count, macs) => {
			const guest = guestWith(configured, given);
			const nics = cards(count, macs);
			const changes = await planNetwork(planning(guest, nics));
			const after = withNetworkChanges(guest, changes);
			expect(await planNetwork(planning(after, nics, contentsOf(changes)))).toEqual([]);
			const [before, then] = [states(guest, nics), states(after, nics)];
			const worse = hypervisors.filter(({ id }) =>
				before[id]?.some((state, i) => state === "kept" && then[id]?.[i] !== "kept"),
			);
			expect(worse.map(({ id }) => id)).toEqual([]);
		}),
		{ numRuns: 60 },
	);
});
