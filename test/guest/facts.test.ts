import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseFstab } from "../../src/guest/linux/fstab.js";
import { readModuleIndex } from "../../src/guest/linux/modules.js";
import { readNetwork } from "../../src/guest/linux/network/network.js";
import { parseAssignments, unquote } from "../../src/guest/linux/text.js";
import { compareVersions } from "../../src/guest/linux/version.js";
import { because, missing, run } from "../support/tools.js";
import { memoryTree } from "./support/memory.js";

describe("fstab", () => {
	it("keeps what an installer wrote, with its line numbers", () => {
		const text = `# /etc/fstab: static file system information.
UUID=8dbd9ad2-8d4c-4b6d-a7cf-d1e1a4f0bd55 /               ext4    errors=remount-ro 0       1

/dev/sda2\t/srv/my\\040data\text4\tdefaults,noatime\t0\t2\r
LABEL=swap none swap sw 0 0
tmpfs /tmp
broken`;
		expect(parseFstab(text)).toEqual([
			{
				spec: "UUID=8dbd9ad2-8d4c-4b6d-a7cf-d1e1a4f0bd55",
				mount: "/",
				type: "ext4",
				options: "errors=remount-ro",
				line: 2,
			},
			{ spec: "/dev/sda2", mount: "/srv/my data", type: "ext4", options: "defaults,noatime", line: 4 },
			{ spec: "LABEL=swap", mount: "none", type: "swap", options: "sw", line: 5 },
			{ spec: "tmpfs", mount: "/tmp", type: "auto", options: "defaults", line: 6 },
		]);
	});
});

describe("shell assignments", () => {
	it("reads os-release as os-release(5) spells it", () => {
		const values = parseAssignments(
			`NAME='Debian GNU/Linux'\nID=debian # comment\nVERSION_ID="12"\nODD="a \\"b\\" \\$c"\nexport X=1\nnot an assignment\nID=last\n`,
		);
		expect(Object.fromEntries(values)).toEqual({
			NAME: "Debian GNU/Linux",
			ID: "last",
			VERSION_ID: "12",
			ODD: 'a "b" $c',
			X: "1",
		});
	});

	it("unquotes a word as a shell does", async () => {
		const word = fc.array(fc.constantFrom("a", "'b c'", '"d \\" e"', "\\'", "x y", "'\"'"), {
			minLength: 1,
			maxLength: 5,
		});
		await fc.assert(
			fc.asyncProperty(word, async (parts) => {
				const text = parts.join("");
				expect(unquote(text)).toBe(await run("sh", "-c", `set -- ${text}; printf %s "$1"`));
			}),
			{ numRuns: 60 },
		);
	});
});

describe("versions", () => {
	const newestFirst = [
		"6.10.3-200.fc40.x86_64",
		"6.9.12",
		"6.1.0-18-amd64",
		"6.1.0-9-amd64",
		"6.1.0~rc7",
		"5.15.0-1056-kvm",
		"3.10.0-1160.el7.x86_64",
	];

	it("sorts kernels as people expect", () => {
		expect(newestFirst.toReversed().sort(compareVersions).reverse()).toEqual(newestFirst);
		expect(compareVersions("6.01.0", "6.1")).toBeGreaterThan(0);
		expect(compareVersions("6.1.0", "6.01.0")).toBe(0);
	});

	it.skipIf(missing("dpkg"))(`agrees with dpkg on releases of kernels ${because("dpkg")}`, async () => {
		for (const [i, newer] of newestFirst.entries()) {
			const older = newestFirst[i + 1];
			if (older === undefined) continue;
			await expect(run("dpkg", "--compare-versions", newer, "gt", older)).resolves.toBe("");
		}
	});

	it("is an order", () => {
		const version = fc.stringMatching(/^[0-9a-z.~-]{0,12}$/);
		fc.assert(
			fc.property(fc.tuple(version, version, version), (versions) => {
				const [a, b, c] = versions.sort(compareVersions);
				expect(compareVersions(a, b)).toBeLessThanOrEqual(0);
				expect(compareVersions(b, c)).toBeLessThanOrEqual(0);
				expect(compareVersions(a, c)).toBeLessThanOrEqual(0);
				expect(compareVersions(c, a)).toBeGreaterThanOrEqual(0);
			}),
		);
	});
});

describe("module index", () => {
	it("reads depmod's text files", async () => {
		const index = await readModuleIndex(
			memoryTree({
				"/m/modules.dep":
					"kernel/drivers/virtio/virtio-blk.ko.xz: kernel/drivers/virtio/virtio.ko.xz kernel/lib/x-y.ko.zst\nkernel/lib/x-y.ko.zst:\n",
				"/m/modules.alias":
					"# Aliases extracted from modules themselves.\nalias scsi:t-0x00* sd-mod\nalias dmi:*:svnA[-b]:* one\nalias\n",
				"/m/modules.builtin": "kernel/drivers/ata/ahci-lib.ko\n",
				"/m/modules.builtin.modinfo": "ahci.alias=pci:v*\0ahci.license=GPL\0ahci.file=x\0nothing\0",
				"/m/modules.softdep":
					"# Soft dependencies\nsoftdep virtio_blk pre: crct10dif x-y post: z\nsoftdep other post: w\nsoftdep\n",
			}),
			"/m",
		);
		expect(index).toEqual({
			aliases: [
				["scsi:t-0x00*", "sd_mod"],
				["dmi:*:svnA[-b]:*", "one"],
				["pci:v*", "ahci"],
			],
			builtin: new Set(["ahci_lib"]),
			paths: new Map([
				["virtio_blk", "kernel/drivers/virtio/virtio-blk.ko.xz"],
				["x_y", "kernel/lib/x-y.ko.zst"],
			]),
			dependencies: new Map([
				["virtio_blk", ["virtio", "x_y"]],
				["x_y", []],
			]),
			softdeps: new Map([
				["virtio_blk", { pre: ["crct10dif", "x_y"], post: ["z"] }],
				["other", { pre: [], post: ["w"] }],
			]),
		});
	});

	it("needs a modules.dep", async () => {
		await expect(readModuleIndex(memoryTree({ "/m/": "" }), "/m")).rejects.toMatchObject({ kind: "not-found" });
	});
});

describe("network", () => {
	const facts = async (files: Readonly<Record<string, string>>) => {
		const problems: string[] = [];
		const found = await readNetwork(memoryTree(files), problems);
		expect(problems).toEqual([]);
		return found.map((fact) => [fact.by, fact.file.replace(/.*\//, ""), fact.interface, fact.method]);
	};

	it("reads ifupdown", async () => {
		const interfaces = `source /etc/network/interfaces.d/*
auto lo
iface lo inet loopback
allow-hotplug ens3
iface ens3 inet dhcp
iface ens3 inet6 auto
iface ens4 inet6 static
iface ens4 inet static
	address 10.0.0.2/24
iface ppp0 inet ppp`;
		expect(
			await facts({
				"/etc/network/interfaces": interfaces,
				"/etc/network/interfaces.d/eth1": "iface eth1 inet manual\n",
				"/etc/network/interfaces.d/old~": "iface no inet dhcp",
			}),
		).toEqual([
			["ifupdown", "interfaces", "ens3", "dhcp"],
			["ifupdown", "interfaces", "ens4", "static"],
			["ifupdown", "interfaces", "ppp0", "unknown"],
			["ifupdown", "eth1", "eth1", "unknown"],
		]);
	});

	it("reads netplan, and passes over what is no netplan", async () => {
		const cloud = `# This file is generated from information provided by the datasource.
network:
    ethernets:
        ens3:
            dhcp4: true
            match: {macaddress: "FA:16:3E:00:00:01"}
            set-name: ens3
        any:
            match:
                name: "en*"
            dhcp4: no
            addresses: [10.0.0.2/24]
        eth9: {}
        eth8:
    version: 2
`;
		const bomb = `a: &a [x,x]\nb: &b [${"*a,".repeat(50)}]\nc: [${"*b,".repeat(50)}]\n`;
		expect(
			await facts({
				"/etc/netplan/50-cloud-init.yaml": cloud,
				"/etc/netplan/a.yaml": "network: [",
				"/etc/netplan/b.yaml": "",
				"/etc/netplan/c.yaml": bomb,
				"/etc/netplan/d.yaml": "network: {ethernets: x}",
			}),
		).toEqual([
			["netplan", "50-cloud-init.yaml", "fa:16:3e:00:00:01", "dhcp"],
			["netplan", "50-cloud-init.yaml", "en*", "static"],
			["netplan", "50-cloud-init.yaml", "eth9", "unknown"],
			["netplan", "50-cloud-init.yaml", "eth8", "unknown"],
		]);
	});

	it("reads NetworkManager's keyfiles", async () => {
		const folder = "/etc/NetworkManager/system-connections";
		expect(
			await facts({
				[`${folder}/ens192.nmconnection`]:
					"[connection]\nid=ens192\ntype=ethernet\ninterface-name=ens192\n\n[ipv4]\naddress1=10.0.0.2/24,10.0.0.1\nmethod=manual\n",
				[`${folder}/Wired`]:
					"[connection]\ntype=802-3-ethernet\n[802-3-ethernet]\nmac-address=00:50:56:AA:BB:CC\n# x\n[ipv4]\nmethod=auto\n",
				[`${folder}/wifi.nmconnection`]: "[connection]\ntype=wifi\n",
				[`${folder}/disabled.nmconnection`]: "[connection]\ntype=ethernet\n[ipv4]\nmethod=disabled\n",
			}),
		).toEqual([
			["NetworkManager", "Wired", "00:50:56:aa:bb:cc", "dhcp"],
			["NetworkManager", "disabled.nmconnection", "*", "unknown"],
			["NetworkManager", "ens192.nmconnection", "ens192", "static"],
		]);
	});

	it("reads systemd-networkd's units", async () => {
		const folder = "/etc/systemd/network";
		expect(
			await facts({
				[`${folder}/20-wired.network`]: "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n",
				[`${folder}/30-static.network`]:
					"[Match]\nMACAddress=52:54:00:AA:00:01\n[Network]\n[Address]\nAddress=10.0.0.2/24\n",
				[`${folder}/40-off.network`]: "stray=1\n[Network]\nDHCP=no\n",
				[`${folder}/10-x.link`]: "[Match]\nName=no\n",
			}),
		).toEqual([
			["systemd-networkd", "20-wired.network", "en* eth*", "dhcp"],
			["systemd-networkd", "30-static.network", "52:54:00:aa:00:01", "static"],
			["systemd-networkd", "40-off.network", "*", "unknown"],
		]);
	});

	it("reads ifcfg files of RHEL and SUSE", async () => {
		const folder = "/etc/sysconfig/network-scripts";
		expect(
			await facts({
				[`${folder}/ifcfg-lo`]: "DEVICE=lo\n",
				[`${folder}/ifcfg-eth0`]: 'DEVICE="eth0"\nBOOTPROTO="dhcp"\nONBOOT="yes"\n',
				[`${folder}/ifcfg-static`]: "HWADDR=00:16:3E:00:00:01\nBOOTPROTO=none\nIPADDR=10.0.0.2\n",
				"/etc/sysconfig/network/ifcfg-eth1": "BOOTPROTO='static'\nNAME=eth1\n",
				"/etc/sysconfig/network/config": "DEVICE=no\n",
			}),
		).toEqual([
			["ifcfg", "ifcfg-eth0", "eth0", "dhcp"],
			["ifcfg", "ifcfg-static", "00:16:3e:00:00:01", "static"],
			["ifcfg", "ifcfg-eth1", "eth1", "static"],
		]);
	});

	it("never fails, whatever a file says", async () => {
		const files = [
			"/etc/network/interfaces",
			"/etc/netplan/a.yaml",
			"/etc/NetworkManager/system-connections/a",
			"/etc/systemd/network/a.network",
			"/etc/sysconfig/network/ifcfg-a",
		];
		await fc.assert(
			fc.asyncProperty(fc.string({ maxLength: 200 }), async (text) => {
				const found = await facts(Object.fromEntries(files.map((file) => [file, text])));
				expect(found.every(([, , name]) => typeof name === "string")).toBe(true);
			}),
			{ numRuns: 300 },
		);
	});
});
