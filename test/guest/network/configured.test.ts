import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { NetworkFact } from "../../../src/guest/guest.js";
import { readNetwork } from "../../../src/guest/linux/network/network.js";
import { because, missing, run, temporaryFolder } from "../../support/tools.js";
import { type Contents, memoryTree } from "../support/memory.js";

const read = async (files: Readonly<Record<string, Contents>>) => {
	const problems: string[] = [];
	const found = await readNetwork(memoryTree(files), problems);
	expect(problems).toEqual([]);
	return found;
};

/** The facts as short rows; addresses, MAC and the name that is given last, where there are any. */
const facts = async (files: Readonly<Record<string, Contents>>) => {
	const rows: string[][] = [];
	for (const { by, file, interface: name, method, addresses, mac, renamedTo, renderer } of await read(files)) {
		const row = [by, file.replace(/.*\//, ""), name, method, ...addresses];
		if (mac !== undefined) row.push(`mac ${mac}`);
		if (renamedTo !== undefined) row.push(`to ${renamedTo}`);
		if (renderer !== undefined) row.push(`by ${renderer}`);
		rows.push(row);
	}
	return rows;
};

describe("ifupdown", () => {
	it("is read with the files that it names, each once", async () => {
		const interfaces = `source /etc/network/interfaces.d/*
source-directory more
source /etc/network/interfaces
auto lo
iface lo inet loopback
	address 127.0.0.1
allow-hotplug ens3
iface ens3 inet dhcp
iface ens3 inet6 auto
iface ens4 inet6 static
	address 2001:db8::2/64
iface ens4 inet static
	address 10.0.0.2
	netmask 255.255.255.0
iface ens5 inet static
	address 10.0.1.2/24
iface ens5 inet static
	address \\
	10.0.1.3/24
iface br0 inet static
	address 10.0.2.2/16
	bridge_ports ens6 ens7
iface ppp0 inet ppp`;
		expect(
			await facts({
				"/etc/network/interfaces": interfaces,
				"/etc/network/interfaces.d/eth1": "iface eth1 inet manual\nsource /etc/network/interfaces.d/*\n",
				"/etc/network/more/eth2": "iface eth2 inet dhcp\n",
				"/etc/network/more/eth2.bak": "iface no inet dhcp\n",
			}),
		).toEqual([
			["ifupdown", "interfaces", "ens3", "dhcp"],
			["ifupdown", "interfaces", "ens4", "static", "10.0.0.2/24"],
			["ifupdown", "interfaces", "ens5", "static", "10.0.1.2/24", "10.0.1.3/24"],
			["ifupdown", "interfaces", "br0", "static", "10.0.2.2/16"],
			["ifupdown", "interfaces", "ens6", "unknown"],
			["ifupdown", "interfaces", "ens7", "unknown"],
			["ifupdown", "interfaces", "ppp0", "unknown"],
			["ifupdown", "eth1", "eth1", "unknown"],
			["ifupdown", "eth2", "eth2", "dhcp"],
		]);
	});

	it("reads no more than a guest has, however its files name each other", async () => {
		const files = Object.fromEntries(
			Array.from({ length: 1500 }, (_, i) => [`/etc/network/interfaces.d/${i}`, `source interfaces.d/*${i}*\n`]),
		);
		const started = performance.now();
		expect(await facts({ ...files, "/etc/network/interfaces": "source interfaces.d/*\n".repeat(5000) })).toEqual([]);
		expect(performance.now() - started).toBeLessThan(5000);
	});
});

describe("netplan", () => {
	it("is read, and what is no netplan is passed over", async () => {
		const cloud = `# This file is generated from information provided by the datasource.
network:
    ethernets:
        ens3:
            dhcp4: true
            match: {macaddress: "FA:16:3E:00:00:01"}
            set-name: ens3
        both:
            match: {macaddress: "FA:16:3E:00:00:02", name: "ens*"}
        any:
            match:
                name: "en*"
            dhcp4: no
            addresses: [10.0.0.2/24, {"10.0.0.3/24": {lifetime: 0}}]
        eth9: {}
        eth8:
        eth7: {dhcp4: "yes"}
        eth6: {dhcp6: true}
    version: 2
`;
		const bomb = `a: &a [x,x]\nb: &b [${"*a,".repeat(50)}]\nc: [${"*b,".repeat(50)}]\n`;
		expect(
			await facts({
				"/etc/netplan/50-cloud-init.yaml": cloud,
				"/usr/lib/netplan/50-cloud-init.yaml": "network: {ethernets: {hidden: {}}}",
				"/usr/lib/netplan/00-first.yaml":
					"network: {renderer: NetworkManager, ethernets: {first: {}, second: {renderer: networkd}}}",
				"/etc/netplan/a.yaml": "network: [",
				"/etc/netplan/b.yaml": "",
				"/etc/netplan/c.yaml": bomb,
				"/etc/netplan/d.yaml": "network: {ethernets: x}",
			}),
		).toEqual([
			["netplan", "00-first.yaml", "first", "unknown", "by NetworkManager"],
			["netplan", "00-first.yaml", "second", "unknown", "by networkd"],
			["netplan", "50-cloud-init.yaml", "fa:16:3e:00:00:01", "dhcp", "to ens3"],
			["netplan", "50-cloud-init.yaml", "ens*", "unknown", "mac fa:16:3e:00:00:02"],
			["netplan", "50-cloud-init.yaml", "en*", "static", "10.0.0.2/24", "10.0.0.3/24"],
			["netplan", "50-cloud-init.yaml", "eth9", "unknown"],
			["netplan", "50-cloud-init.yaml", "eth8", "unknown"],
			["netplan", "50-cloud-init.yaml", "eth7", "dhcp"],
			["netplan", "50-cloud-init.yaml", "eth6", "dhcp"],
		]);
	});
});

const generate = ["/usr/libexec/netplan/generate", "/usr/lib/netplan/generate"].find((file) => existsSync(file));

it.skipIf(generate === undefined)(
	`netplan matches and configures the same ${generate === undefined ? "(skipped: netplan.io is not installed)" : ""}`,
	async () => {
		const yaml = `network:
  ethernets:
    one: {match: {macaddress: "FA:16:3E:00:00:01"}, set-name: lan0, dhcp4: true}
    two: {match: {name: "en*", macaddress: "fa:16:3e:00:00:02"}, addresses: [10.0.0.2/24]}
    three: {match: {name: "ens*"}, dhcp4: "no", addresses: [10.0.0.3/24, {10.0.0.4/16: {lifetime: 0}}]}
    four: {dhcp4: on}
    five: {dhcp6: yes}
`;
		const folder = await temporaryFolder();
		await mkdir(path.join(folder, "etc/netplan"), { recursive: true });
		await writeFile(path.join(folder, "etc/netplan/a.yaml"), yaml, { mode: 0o600 });
		await run(generate ?? "", "--root-dir", folder);
		const units = path.join(folder, "run/systemd/network");
		const made = await Promise.all(
			(await readdir(units)).map(async (name) => [
				`/etc/systemd/network/${name}`,
				await readFile(path.join(units, name), "utf8"),
			]),
		);
		const core = (all: readonly NetworkFact[]) =>
			all.map(({ interface: name, mac, method, addresses }) => ({
				// What netplan renames, its unit knows by both.
				...{ on: name === "lan0" ? mac : name, mac: name === "lan0" ? undefined : mac },
				...{ method: name === "five" ? "any" : method, addresses },
			}));
		const ours = core(await read({ "/etc/netplan/a.yaml": yaml }));
		const theirs = core(await read(Object.fromEntries(made) as Record<string, string>));
		expect(theirs).toHaveLength(5);
		expect(ours).toEqual(expect.arrayContaining(theirs));
	},
);

it.skipIf(missing("ifquery"))(`ifquery finds the same files and addresses ${because("ifquery")}`, async () => {
	const folder = await temporaryFolder();
	const files = {
		interfaces: `source ${folder}/d/*\nsource-directory ${folder}/more\niface ens4 inet static\n\taddress \\\n\t10.0.0.2\n\tnetmask 255.255.255.0\n`,
		"d/eth1": "iface eth1 inet static\n\taddress 10.0.1.2/16\n",
		"d/.hidden": "iface hidden inet dhcp\n",
		"d/old~": "iface old inet dhcp\n",
		"more/eth2": "iface eth2 inet dhcp\n",
		"more/eth2.bak": "iface bak inet dhcp\n",
	};
	for (const [name, text] of Object.entries(files)) {
		await mkdir(path.dirname(path.join(folder, name)), { recursive: true });
		await writeFile(path.join(folder, name), text);
	}
	const inGuest = Object.entries(files).map(([name, text]) => [
		`${name === "interfaces" ? "/etc/network" : folder}/${name}`,
		text,
	]);
	const ours = await read(Object.fromEntries(inGuest) as Record<string, string>);
	for (const name of ["ens4", "eth1", "eth2", "old", "hidden", "bak"]) {
		const answer = await run("ifquery", "-i", path.join(folder, "interfaces"), name).catch(() => undefined);
		const [, address] = /^address: (\S+)$/m.exec(answer ?? "") ?? [];
		const found = ours.find((fact) => fact.interface === name);
		expect([name, found !== undefined]).toEqual([name, answer !== undefined]);
		expect(found?.addresses[0]?.replace(/\/.*/, "")).toBe(address);
	}
});

describe("NetworkManager", () => {
	const folder = "/etc/NetworkManager/system-connections";

	it("is read from its keyfiles", async () => {
		expect(
			await facts({
				[`${folder}/ens192.nmconnection`]:
					"[connection]\nid=ens192\ntype=ethernet\ninterface-name=ens192\n\n[ipv4]\naddress1=10.0.0.2/24,10.0.0.1\nmethod=manual\n[ipv6]\naddress1=2001:db8::2/64\n",
				[`${folder}/Wired`]:
					"[connection]\ntype=802-3-ethernet\n[802-3-ethernet]\nmac-address=00:50:56:AA:BB:CC\n# x\n[ipv4]\nmethod=auto\n",
				[`${folder}/both.nmconnection`]:
					"[connection]\ntype=ethernet\ninterface-name=ens3\n[ethernet]\nmac-address=00:50:56:AA:BB:CD\n",
				[`${folder}/pattern.nmconnection`]: "[connection]\ntype=ethernet\n[match]\ninterface-name=en*;eth*;\n",
				[`${folder}/wifi.nmconnection`]: "[connection]\ntype=wifi\n",
				[`${folder}/disabled.nmconnection`]: "[connection]\ntype=ethernet\n[ipv4]\nmethod=disabled\n",
				"/usr/lib/NetworkManager/system-connections/default.nmconnection": "[connection]\ntype=ethernet\n",
			}),
		).toEqual([
			["NetworkManager", "Wired", "00:50:56:aa:bb:cc", "dhcp"],
			["NetworkManager", "both.nmconnection", "ens3", "dhcp", "mac 00:50:56:aa:bb:cd"],
			["NetworkManager", "default.nmconnection", "*", "dhcp"],
			["NetworkManager", "disabled.nmconnection", "*", "unknown"],
			["NetworkManager", "ens192.nmconnection", "ens192", "static", "10.0.0.2/24", "2001:db8::2/64"],
			["NetworkManager", "pattern.nmconnection", "en* eth*", "dhcp"],
		]);
	});
});

describe("systemd-networkd", () => {
	const folder = "/etc/systemd/network";

	it("is read from its units; what is for containers, or masked, is left out", async () => {
		expect(
			await facts({
				[`${folder}/20-wired.network`]: "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n",
				[`${folder}/30-static.network`]:
					"[Match]\nMACAddress=52:54:00:AA:00:01\n[Network]\n[Address]\nAddress=10.0.0.2/24\n[Address]\nAddress=10.0.0.3/24\n",
				[`${folder}/40-off.network`]: "stray=1\n[Network]\nDHCP=no\n",
				[`${folder}/10-x.link`]: "[Match]\nName=no\n",
				[`${folder}/89-ethernet.network`]: { link: "/dev/null" },
				"/lib": { link: "usr/lib" },
				"/usr/lib/systemd/network/80-container-host0.network": "[Match]\nVirtualization=container\nName=host0\n",
				"/usr/lib/systemd/network/80-wifi.network": "[Match]\nType=wlan\n",
				"/usr/lib/systemd/network/90-vendor.network": "[Match]\nType=ether\n[Network]\nDHCP=ipv4\n",
			}),
		).toEqual([
			["systemd-networkd", "20-wired.network", "en* eth*", "dhcp"],
			["systemd-networkd", "30-static.network", "52:54:00:aa:00:01", "static", "10.0.0.2/24", "10.0.0.3/24"],
			["systemd-networkd", "40-off.network", "*", "unknown"],
			["systemd-networkd", "90-vendor.network", "*", "dhcp"],
		]);
	});

	it("is read with what lies in its drop-in folders, the last word of which counts", async () => {
		const files = {
			[`${folder}/20-wired.network`]: "[Match]\nName=ens192\n[Network]\nDHCP=yes",
			[`${folder}/20-wired.network.d/20-b.conf`]: "[Network]\nAddress=10.0.0.2/24\n",
			[`${folder}/20-wired.network.d/10-a.conf`]: "[Network]\nDHCP=no\n",
			[`${folder}/20-wired.network.d/30-masked.conf`]: "",
			[`${folder}/20-wired.network.d/note.txt`]: "[Network]\nAddress=10.0.0.9/24\n",
			"/usr/lib/systemd/network/20-wired.network.d/10-a.conf": "[Network]\nDHCP=ipv4\n",
			"/usr/lib/systemd/network/20-wired.network.d/15-c.conf": "[Match]\nMACAddress=52:54:00:aa:00:01\n",
			"/usr/lib/systemd/network/20-wired.network.d/30-masked.conf": "[Network]\nDHCP=yes\n",
			"/usr/lib/systemd/network/99-default.network.d/a.conf": "[Match]\nName=none\n",
		};
		expect(await facts(files)).toEqual([
			["systemd-networkd", "20-wired.network", "ens192", "static", "10.0.0.2/24", "mac 52:54:00:aa:00:01"],
		]);
	});
});

describe("ifcfg files", () => {
	it("of RHEL and SUSE are read", async () => {
		const folder = "/etc/sysconfig/network-scripts";
		expect(
			await facts({
				[`${folder}/ifcfg-lo`]: "DEVICE=lo\n",
				[`${folder}/ifcfg-eth7.bak`]: "DEVICE=eth7\nBOOTPROTO=dhcp\n",
				[`${folder}/ifcfg-eth8.rpmsave`]: "DEVICE=eth8\nBOOTPROTO=dhcp\n",
				[`${folder}/ifcfg-br0`]: "DEVICE=br0\nTYPE=Bridge\nIPADDR=10.0.0.1\n",
				[`${folder}/ifcfg-eth0`]: 'DEVICE="eth0"\nBOOTPROTO="dhcp"\nONBOOT="yes"\n',
				[`${folder}/ifcfg-eth2`]:
					"DEVICE=eth2\nHWADDR=00:16:3E:00:00:02\nIPADDR0=10.0.0.3\nNETMASK0=255.255.0.0\nIPADDR1=10.1.0.3\nPREFIX1=24\n",
				[`${folder}/ifcfg-static`]: "HWADDR=00:16:3E:00:00:01\nBOOTPROTO=none\nIPADDR=10.0.0.2\n",
				"/etc/sysconfig/network/ifcfg-eth1":
					"BOOTPROTO='static'\nNAME='Virtual Ethernet'\nIPADDR='10.0.0.4/24'\nIPADDR_2='10.0.1.4'\nPREFIXLEN_2='16'\n",
				"/etc/sysconfig/network/config": "DEVICE=no\n",
			}),
		).toEqual([
			["ifcfg", "ifcfg-eth0", "eth0", "dhcp"],
			["ifcfg", "ifcfg-eth2", "eth2", "static", "10.0.0.3/16", "10.1.0.3/24", "mac 00:16:3e:00:00:02", "to eth2"],
			["ifcfg", "ifcfg-static", "00:16:3e:00:00:01", "static", "10.0.0.2"],
			["ifcfg", "ifcfg-eth1", "eth1", "static", "10.0.0.4/24", "10.0.1.4/16"],
		]);
	});
});

describe("wicked", () => {
	it("is read from its XML", async () => {
		const xml = `<interface origin="static"><name>eth0</name><ipv4:static>
	<address><local>10.0.0.2/24</local></address></ipv4:static></interface>
<interfaces/><interface><name namespace="ethernet"><permanent-address>00:16:3e:00:00:01</permanent-address></name>
<ipv4:dhcp><enabled>true</enabled></ipv4:dhcp></interface>`;
		expect(await read({ "/etc/wicked/ifconfig/a.xml": xml })).toMatchObject([
			{ by: "wicked", interface: "eth0", method: "static", addresses: ["10.0.0.2/24"] },
			{ by: "wicked", method: "dhcp" },
		]);
	});
});

describe("whatever a file says", () => {
	const files = [
		"/etc/network/interfaces",
		"/etc/netplan/a.yaml",
		"/etc/NetworkManager/system-connections/a",
		"/etc/systemd/network/a.network",
		"/etc/sysconfig/network-scripts/ifcfg-a",
		"/etc/sysconfig/network/ifcfg-a",
		"/etc/wicked/ifconfig/a.xml",
	];
	const token = fc.constantFrom(
		...[
			"iface a inet static\n",
			"address ",
			"netmask 255.0.0.0\n",
			"source ",
			"* ",
			"\\\n",
			"network:\n",
			"  ethernets:\n",
		],
		...[
			"    e: ",
			"{match: {macaddress: ",
			"[connection]\ntype=ethernet\n",
			"[ipv4]\naddress1=",
			"[Match]\nName=",
			"IPADDR_",
		],
		...["<interface>", "</interface>", "<name>", "</name>", "HWADDR=", "00:11:22:33:44:55", "'", '"', "=", "\0", "é"],
	);

	it("reading it does not fail", async () => {
		const text = fc.oneof(
			fc.string({ maxLength: 200 }),
			fc.array(token, { maxLength: 30 }).map((parts) => parts.join("")),
		);
		await fc.assert(
			fc.asyncProperty(text, async (contents) => {
				for (const fact of await read(Object.fromEntries(files.map((file) => [file, contents])))) {
					expect(fact.interface).toEqual(expect.any(String));
					expect(fact.addresses.every((address) => typeof address === "string")).toBe(true);
				}
			}),
			{ numRuns: 300 },
		);
	});

	it.each([
		"iface a inet static\n",
		"<interface",
		"<interface>",
		"source *\n",
		"address 1\n",
		"\\\n",
		"IPADDR=1\n",
		"[a]\n",
	])("takes no longer for more of %j than for other text", async (piece) => {
		const contents = piece.repeat(Math.floor((128 * 1024) / piece.length));
		const started = performance.now();
		await read(Object.fromEntries(files.filter((file) => !file.endsWith("yaml")).map((file) => [file, contents])));
		expect(performance.now() - started).toBeLessThan(1000);
	});
});
