import { type Card, driverNames, pathsOf } from "../../driver/interface-name.js";
import { cardsOn, judgeInterfaces } from "../../driver/interfaces.js";
import { judge } from "../../driver/judge.js";
import type { LinuxGuest, NameRule } from "../../guest/guest.js";
import { parseLinkFile } from "../../guest/linux/network/link-file.js";
import { cardOf } from "../../guest/linux/network/names.js";
import { parseNameRules } from "../../guest/linux/network/udev-rules.js";
import type { Hypervisor } from "../../hypervisor/hypervisor.js";
import type { Change, WriteFile } from "../change.js";
import type { Planning } from "../planning.js";

/** An interface that would lose its name somewhere, and its card on the hypervisors where it would. */
interface Endangered {
	readonly name: string;
	/** Of its card, from 0. */
	readonly number: number;
	/** The machine has no other card. */
	readonly only: boolean;
	readonly on: { readonly hypervisor: Hypervisor; readonly card: Card }[];
}

interface Written {
	readonly path: string;
	readonly contents: string;
}

const folder = "/etc/systemd/network";
const rulesFile = "/etc/udev/rules.d/70-anyvisor-net.rules";

/** Interfaces keep the names that their configuration knows them by, whatever they would be called elsewhere. */
export async function planNetwork({ guest, tree, targets, nics, nicsOn = () => nics }: Planning): Promise<WriteFile[]> {
	// Judging takes its time, and most guests ask for whatever card there is.
	if (guest.network.every(({ interface: name }) => cardOf(name) === undefined)) return [];
	const endangered = findEndangered(guest, nicsOn, targets);
	const files =
		guest.naming.by === "links" ? endangered.flatMap((one) => linkFiles(one, guest)) : ruleFiles(endangered, guest);
	const names = endangered.map(({ name }) => name).join(", ");
	const why = `The guest's configuration knows its network by the name ${names}, which systemd would not give elsewhere.`;
	const changes: WriteFile[] = [];
	for (const { path, contents } of files) {
		if ((await tree.readText(path)) === contents) continue;
		changes.push({ rule: "network", action: "write-file", path, contents, mode: 0o644, why });
	}
	return changes;
}

function findEndangered(
	guest: LinuxGuest,
	nicsOn: (hypervisor: Hypervisor) => Planning["nics"],
	targets: readonly Hypervisor[],
): readonly Endangered[] {
	const found = new Map<string, Endangered>();
	for (const hypervisor of targets) {
		const verdict = judge(guest, hypervisor);
		const nics = nicsOn(hypervisor);
		const cards = cardsOn(hypervisor, verdict, nics);
		for (const { interface: name, state, card: number } of judgeInterfaces(guest, nics, hypervisor, verdict)) {
			const card = number === null ? undefined : cards[number];
			if (card === undefined || (state !== "renamed" && state !== "unknown")) continue;
			// Whatever a guest calls its interfaces, a file must not take it for anything but a name.
			if (!/^[A-Za-z][\w.-]{0,14}$/.test(name)) continue;
			const one = found.get(name) ?? { name, number: card.number, only: cards.length === 1, on: [] };
			one.on.push({ hypervisor, card });
			found.set(name, one);
		}
	}
	return [...found.values()];
}

/**
 * By MAC where the card keeps it. Where it does not, by driver if it is the only card, and else by its place, if that is
 * known. https://www.freedesktop.org/software/systemd/man/latest/systemd.link.html
 */
function linkFiles({ name, number, only, on }: Endangered, guest: LinuxGuest): readonly Written[] {
	const written: Written[] = [];
	const write = (file: string, match: readonly string[], note: string) => {
		const lines = [
			`# Written by Anyvisor: keeps the name ${name} for the interface that is configured by it,`,
			`# ${note}.`,
		];
		const contents = [...lines, "[Match]", ...match, "", "[Link]", `Name=${name}`, ""].join("\n");
		written.push({ path: `${folder}/${file}.link`, contents });
	};
	/** A driver keeps VLANs and bridges out, which have the MAC of their card. */
	const byDriver = (file: string, some: Endangered["on"]) => {
		const known = guest.naming.links.find((link) => link.file === `${folder}/${file}.link`)?.match["Driver"] ?? [];
		return `Driver=${[...new Set([...known, ...some.flatMap(({ hypervisor }) => allDrivers(hypervisor))])].join(" ")}`;
	};
	const others = on.filter(({ card }) => card.mac === undefined);
	// Older versions of systemd take one MAC per file. No interface has a plus sign in its name.
	for (const [at, mac] of macsOf(on).entries()) {
		const file = `10-anyvisor-${name}${at === 0 ? "" : `+${at + 1}`}`;
		const some = on.filter(({ card }) => card.mac === mac);
		write(file, [`MACAddress=${mac}`, byDriver(file, some)], "by the MAC address of its card");
	}
	if (only && others.length > 0) {
		const file = `11-anyvisor-${name}`;
		write(file, [byDriver(file, others)], "where its MAC address is another, as it is the only network card");
		return written;
	}
	for (const { hypervisor, card } of others) {
		const paths = card.place && pathsOf(card.place, card.model);
		if (paths === undefined) continue;
		const where = card.virtualization === undefined ? [] : [`Virtualization=${card.virtualization}`];
		const match = [...where, `Path=${paths.join(" ")}`, `Driver=${driverNames(card.model).join(" ")}`];
		write(`11-anyvisor-${hypervisor.id}-${name}`, match, `where network card ${number + 1} of ${hypervisor.title} is`);
	}
	return written;
}

/** One, unless the card gets a new MAC that depends on the hypervisor. */
const macsOf = (on: Endangered["on"]) => [...new Set(on.flatMap(({ card }) => card.mac ?? []))];

/** Of every card that the package may have: which one is chosen depends on the guest's kernel of the day. */
const allDrivers = ({ devices, boot }: Hypervisor) =>
	devices.filter(({ id }) => boot.network.includes(id)).flatMap((model) => driverNames(model));

/** https://www.freedesktop.org/software/systemd/man/latest/udev.html: for udev that heeds no `.link` files. */
function ruleFiles(endangered: readonly Endangered[], { naming }: LinuxGuest): readonly Written[] {
	const key = ({ name, mac }: Pick<NameRule, "name" | "mac">) => `${name} ${mac ?? ""}`;
	const rules = new Map(naming.rules.filter(({ file }) => file === rulesFile).map((rule) => [key(rule), rule]));
	const before = rules.size;
	for (const { name, number, on } of naming.by === "kernel" ? [] : endangered) {
		const macs = macsOf(on);
		const rule = { file: rulesFile, name, conditional: false };
		for (const mac of macs) rules.set(key({ name, mac }), { ...rule, mac });
		// The kernel's own name is kept, and not numbered on for a MAC that udev has not seen.
		if (macs.length === 0 && name === `eth${number}`) rules.set(key({ name }), { ...rule, kernel: name });
	}
	if (rules.size === before) return [];
	const lines = Array.from(rules.values(), ({ name, mac, kernel }) => {
		const which = mac === undefined ? `KERNEL=="${kernel}"` : `ATTR{address}=="${mac}"`;
		return `SUBSYSTEM=="net", ACTION=="add", DRIVERS=="?*", ATTR{type}=="1", ${which}, NAME="${name}"`;
	});
	const head = "# Written by Anyvisor: keeps the names of network interfaces on other hypervisors.";
	return [{ path: rulesFile, contents: [head, ...lines, ""].join("\n") }];
}

/** The guest as it will be after these changes, as far as names of interfaces go. */
export function withNetworkChanges(guest: LinuxGuest, changes: readonly Change[]): LinuxGuest {
	const files = changes.filter((change) => change.action === "write-file" && change.rule === "network") as WriteFile[];
	if (files.length === 0) return guest;
	const { naming } = guest;
	const old = ({ file }: { readonly file: string }) => !files.some(({ path }) => path === file);
	const added = (end: string) => files.filter(({ path }) => path.endsWith(end));
	const nameOf = (file: string) => file.replace(/^.*\//, "");
	const links = [
		...naming.links.filter(old),
		...added(".link").map(({ path, contents }) => parseLinkFile(contents, path)),
	].sort((one, other) => (nameOf(one.file) < nameOf(other.file) ? -1 : 1));
	const rules = [
		...added(".rules").flatMap(({ path, contents }) => parseNameRules(contents, path)),
		...naming.rules.filter(old),
	];
	return { ...guest, naming: { ...naming, links, rules } };
}
