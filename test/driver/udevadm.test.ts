import { execFileSync } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { interfaceName } from "../../src/driver/interface-name.js";
import type { InterfaceNaming, NetworkFact } from "../../src/guest/guest.js";
import { parseLinkFile } from "../../src/guest/linux/network/link-file.js";
import type { DeviceModel } from "../../src/hypervisor/hypervisor.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { planNetwork } from "../../src/prepare/rules/network.js";
import { memoryTree } from "../guest/support/memory.js";
import { because, missing, temporaryFolder, trials } from "../support/tools.js";
import { guest } from "./guests.js";

const tools = ["udevadm", "unshare", "mount"];
let count = 0;

/** Properties that udev gives this machine's own card with the `.link` files of a folder in place of all others. */
function ask(folder: string): Readonly<Record<string, string>> {
	const script = `set -e
mount -t tmpfs none /usr/lib/systemd/network
mount --bind ${folder} /etc/systemd/network
udevadm test-builtin net_setup_link /sys/class/net/eth0`;
	const printed = execFileSync("unshare", ["-m", "sh", "-c", script], { encoding: "utf8", stdio: "pipe" });
	return Object.fromEntries(
		printed.split("\n").flatMap((line) => {
			const [, key = "", value = ""] = /^([A-Z_]+)=(.*)$/.exec(line) ?? [];
			return key === "" ? [] : [[key, value]];
		}),
	);
}

/** Whether that can be done here: mounting takes root, and there must be a card. */
function able(): boolean {
	if (missing(...tools) || process.getuid?.() !== 0) return false;
	try {
		return "ID_NET_DRIVER" in ask("/etc/systemd/network");
	} catch {
		return false;
	}
}

describe.skipIf(!able())(`udevadm ${because(...tools) || "(needs root and a card eth0)"}`, () => {
	it("gives the names that are predicted, whatever .link files there are", async () => {
		const folder = await temporaryFolder();
		const mac = (await readFile("/sys/class/net/eth0/address", "utf8")).trim();
		const driver = ask(folder)["ID_NET_DRIVER"] ?? "";
		// Policies by place or MAC give nothing here: udev keeps what they go by from when the card appeared.
		const model: DeviceModel = {
			...{ id: "own", title: "own", role: "network", verified: true, source: "here" },
			addresses: [{ bus: "vmbus", guid: "", drivers: [driver] }],
		};
		const line = fc.oneof(
			fc.constantFrom(
				`MACAddress=${mac}`,
				`MACAddress=${mac.toUpperCase()} 02:00:00:00:00:09`,
				"MACAddress=02:00:00:00:00:01",
			),
			fc.constantFrom(
				`Driver=${driver}`,
				"Driver=*",
				"Driver=none",
				`Driver=none ${driver.slice(0, 2)}*`,
				"Driver=!none",
			),
			fc.constantFrom(`Driver=!${driver}`, "Driver=", "OriginalName=eth*", "OriginalName=et?0 x", "OriginalName=!eth*"),
			fc.constantFrom("Type=ether", "Type=!ether wlan", "Type=wlan", "Kind=bridge", "Virtualization=no"),
		);
		const file = fc.record({
			match: fc.array(line, { minLength: 1, maxLength: 3 }),
			link: fc.subarray([
				"NamePolicy=keep kernel",
				"NamePolicy=",
				"NamePolicy=onboard slot path",
				"NamePolicy=keep",
				"Name=lan0",
			]),
		});
		const order = fc.array(file, { minLength: 1, maxLength: 3 });
		await fc.assert(
			fc.asyncProperty(order, async (files) => {
				const inside = path.join(folder, String(count++));
				await mkdir(inside);
				const texts = files.map(({ match, link }) => ["[Match]", ...match, "[Link]", ...link, ""].join("\n"));
				for (const [i, text] of texts.entries()) await writeFile(path.join(inside, `${i}.link`), text);
				const links = texts.map((text, i) => parseLinkFile(text, `/etc/systemd/network/${i}.link`));
				const named = interfaceName(
					{ udev: 252, scheme: "v252", by: "links", links, rules: [], generator: false, biosdevname: false },
					{ number: 0, model, mac, place: { on: "vmbus" }, virtualization: "none" },
				);
				expect(named).toEqual({ name: ask(inside)["ID_NET_NAME"] ?? "eth0" });
			}),
			{ numRuns: trials(30) },
		);
	});

	it("gives an interface back the name that preparing shall keep, by MAC and as the only card", async () => {
		const folder = await temporaryFolder();
		const mac = (await readFile("/sys/class/net/eth0/address", "utf8")).trim();
		const driver = ask(folder)["ID_NET_DRIVER"] ?? "";
		const network: NetworkFact = {
			...{ by: "ifupdown", file: "/etc/network/interfaces", interface: "ens192" },
			...{ method: "static", addresses: ["10.0.0.5/24"] },
		};
		const naming: InterfaceNaming = {
			...{ udev: 252, scheme: "v252", by: "links", links: [], rules: [], generator: false, biosdevname: false },
		};
		for (const nic of [{ model: "e1000", mac }, { model: "e1000" }]) {
			const changes = await planNetwork({
				guest: guest({ initramfs: "all", guest: { naming, network: [network] } }),
				...{ nics: [nic], targets: hypervisors, tree: memoryTree({ "/etc/": "" }), stableName: () => undefined },
			});
			// Of both files the one for this card's hypervisor is to be heeded.
			const first = changes.find(({ contents }) => contents.includes(driver));
			if (first === undefined) throw new Error(`no file is for the driver ${driver}`);
			const inside = path.join(folder, `plan${String(count++)}`);
			await mkdir(inside);
			for (const { path: file, contents } of changes) await writeFile(path.join(inside, path.basename(file)), contents);
			expect(ask(inside)).toMatchObject({ ID_NET_NAME: "ens192", ID_NET_LINK_FILE: first.path });
		}
	});
});
