import type { InterfaceNaming, LinkFile } from "../guest/guest.js";
import { fits } from "../guest/linux/network/names.js";
import type { CardPlace, DeviceModel } from "../hypervisor/hypervisor.js";

/** A network card as a guest will find it. */
export interface Card {
	/** From 0, in the order of the machine. */
	readonly number: number;
	readonly model: DeviceModel;
	/** Where it sits; absent: not known. */
	readonly place?: CardPlace;
	/** Absent: not known, as where the card gets a new one. */
	readonly mac?: string;
	/** systemd's word for the hypervisor. */
	readonly virtualization?: string;
}

/** The name that an interface gets, or why that is not known: half a sentence. */
export type InterfaceName = { readonly name: string } | { readonly unknown: string };

/**
 * The name that the guest's udev gives the interface of a card, by the rules and `.link` files of the guest and
 * https://www.freedesktop.org/software/systemd/man/latest/systemd.net-naming-scheme.html
 */
export function interfaceName(naming: InterfaceNaming, card: Card): InterfaceName {
	const kernel = `eth${card.number}`;
	return byRules(naming, card, kernel) ?? byPlace(naming, card, kernel);
}

/** What udev rules say; they come before `.link` files. */
function byRules({ by, rules, generator }: InterfaceNaming, card: Card, kernel: string): InterfaceName | undefined {
	if (by === "kernel") return undefined;
	for (const rule of rules) {
		if (rule.mac !== undefined && rule.mac !== card.mac) continue;
		if (rule.kernel !== undefined && fits(rule.kernel, kernel) === false) continue;
		if (rule.conditional) return { unknown: `a rule in ${rule.file} may name it` };
		if (rule.mac !== undefined || rule.kernel !== undefined) return { name: rule.name };
	}
	// For an unknown MAC udev notes the next name that is free, but not for those of all hypervisors.
	if (by === "rules" && generator && rules.some(({ mac, file }) => mac !== undefined && !isOwnFile(file))) {
		return { unknown: "udev may take it for one more card and number it on" };
	}
	return undefined;
}

function byPlace(naming: InterfaceNaming, card: Card, kernel: string): InterfaceName {
	if (naming.by === "slots") return byPolicy(["onboard", "slot", "path"], naming, card) ?? { name: kernel };
	if (naming.by !== "links") return { name: kernel };
	for (const link of naming.links) {
		const empty = Object.keys(link.match).length === 0;
		const applies = empty ? takesAll(link, naming.udev) : matches(link, card, kernel);
		if (applies === undefined) return { unknown: `${link.file} may name it` };
		if (!applies) continue;
		const named = naming.disabledBy === undefined ? byPolicy(link.namePolicy, naming, card) : undefined;
		return named ?? { name: link.name ?? kernel };
	}
	return { name: kernel };
}

/**
 * Whether a `.link` file that asks for nothing fits every card: up to udev 242, where the default one is such; from 252 on
 * it is passed over.
 */
function takesAll({ file }: LinkFile, udev: number | null): boolean | undefined {
	if (udev === null) return file.endsWith("/99-default.link") ? true : undefined;
	return udev >= 252 ? false : udev < 243 ? true : undefined;
}

/** Whether the `[Match]` section of a `.link` file fits the card; undefined where that is not known. */
function matches({ match }: LinkFile, card: Card, kernel: string): boolean | undefined {
	let certain = true;
	for (const [key, patterns] of Object.entries(match)) {
		const inverted = patterns.filter((pattern) => pattern.startsWith("!"));
		const plain = patterns.filter((pattern) => !pattern.startsWith("!"));
		const refused = anyOf(inverted.map((pattern) => fitsCard(key, pattern.slice(1), card, kernel)));
		const wanted = plain.length === 0 ? true : anyOf(plain.map((pattern) => fitsCard(key, pattern, card, kernel)));
		if (refused === true || wanted === false) return false;
		if (refused === undefined || wanted === undefined) certain = false;
	}
	return certain ? true : undefined;
}

const anyOf = (all: readonly (boolean | undefined)[]) =>
	all.includes(true) ? true : all.includes(undefined) ? undefined : false;

function fitsCard(key: string, pattern: string, card: Card, kernel: string): boolean | undefined {
	switch (key) {
		case "MACAddress":
		case "PermanentMACAddress":
			// A card with an unknown MAC has one that no file can name.
			return card.mac !== undefined && pattern.toLowerCase().replaceAll("-", ":") === card.mac;
		case "OriginalName":
			return fits(pattern, kernel);
		case "Type":
			return fits(pattern, "ether");
		case "Kind":
			// Only what software makes has one.
			return false;
		case "Driver":
			return anyOf(driverNames(card.model).map((driver) => fits(pattern, driver)));
		case "Path":
			return fitsPath(pattern, card);
		case "Virtualization":
			if (/^(?:no|false|0|container)$/.test(pattern)) return false;
			if (/^(?:yes|true|1|vm)$/.test(pattern)) return true;
			return card.virtualization === undefined ? undefined : pattern === card.virtualization;
		default:
			return undefined;
	}
}

/** Each `*-usb-*` and the like is for what no package attaches. */
function fitsPath(pattern: string, { place, model }: Card): boolean | undefined {
	if (/usb|platform|ccw/.test(pattern)) return false;
	return (
		place &&
		anyOf((pathsOf(place, model) ?? [undefined]).map((path) => (path === undefined ? undefined : fits(pattern, path))))
	);
}

/** ID_PATH, as udev's path_id makes it; undefined where it is not known. */
export function pathsOf(place: CardPlace, model: DeviceModel): readonly string[] | undefined {
	if (place.on === "xen") return [`xen-vif-${place.number}`];
	if (place.on === "vmbus" || place.address === undefined) return undefined;
	const path = `pci-${place.address}`;
	// udev before 229 counted the virtio bus in.
	return model.addresses.some(({ bus }) => bus === "virtio") ? [path, `virtio-${path}`] : [path];
}

/** What the drivers of a card are called in sysfs. The front end of Xen is called after its device. */
export const driverNames = ({ addresses }: DeviceModel) =>
	(addresses.at(-1)?.drivers ?? []).map((module) => (module === "xen_netfront" ? "vif" : module));

function byPolicy(policy: readonly string[], naming: InterfaceNaming, card: Card): InterfaceName | undefined {
	for (const step of policy) {
		const named = byStep(step, naming, card);
		if (named !== undefined) return named;
	}
	return undefined;
}

/** One step of NamePolicy; undefined where it gives no name. */
function byStep(step: string, naming: InterfaceNaming, card: Card): InterfaceName | undefined {
	const { place, mac } = card;
	// No hypervisor's card is in the hardware database, and kernels call no name of a card predictable.
	if (step === "keep" || step === "kernel" || step === "database") return undefined;
	if (step === "mac") {
		return mac === undefined ? { unknown: "it gets a new MAC" } : { name: `enx${mac.replaceAll(":", "")}` };
	}
	if (step !== "onboard" && step !== "slot" && step !== "path") return { unknown: `${step} is no known policy` };
	if (place === undefined) return { unknown: "it is not known where its card will sit" };
	if (place.on === "vmbus") return undefined;
	if (place.on === "xen") return step === "slot" ? byVif(naming, place.number) : undefined;
	if (card.model.addresses.some(({ bus }) => bus === "virtio")) {
		if (naming.udev === null && naming.by !== "slots") return { unknown: "the version of systemd is not known" };
		// https://github.com/systemd/systemd/pull/1119
		if ((naming.udev ?? 0) < 226) return undefined;
	}
	if (step === "onboard") return place.oddIndex && (naming.udev ?? 0) < 231 ? { unknown: oddIndex } : undefined;
	if (step === "slot") return bySlot(naming, place);
	const [, bus = "", device = ""] = /^[0-9a-f]{4}:([0-9a-f]{2}):([0-9a-f]{2})\./.exec(place.address ?? "") ?? [];
	if (bus === "") return { unknown: "its PCI address is not known" };
	return { name: `enp${Number.parseInt(bus, 16)}s${Number.parseInt(device, 16)}` };
}

const oddIndex = "its systemd may take an index from the firmware for its number";

function byVif({ scheme }: InterfaceNaming, number: number): InterfaceName | undefined {
	const level = schemeLevel(scheme);
	if (level === undefined) return { unknown: "systemd's naming scheme is not known" };
	return level >= 250 ? { name: `enX${number}` } : undefined;
}

function bySlot({ scheme }: InterfaceNaming, place: CardPlace & { on: "pci" }): InterfaceName | undefined {
	const level = schemeLevel(scheme);
	if (level !== undefined && level >= 257) {
		if (place.sun === undefined)
			return { unknown: "its systemd asks ACPI for the number of the slot, which is not known" };
		return place.sun > 0 ? { name: `ens${place.sun}` } : undefined;
	}
	return place.slot === undefined ? undefined : { name: `ens${place.slot}` };
}

/** The upstream scheme that a scheme has the features of; undefined for one that is not known. */
export function schemeLevel(scheme: string | null): number | undefined {
	const upstream = /^v(\d{3})$/.exec(scheme ?? "")?.[1];
	if (upstream !== undefined) return Number(upstream);
	const [, release = ""] = /^(rhel-\d+|sle15)\b/.exec(scheme ?? "") ?? [];
	return { "rhel-8": 239, "rhel-9": 250, "rhel-10": 257, sle15: 238 }[release];
}

/** Whether preparing a guest wrote the file. */
export const isOwnFile = (file: string) => /\/\d\d-anyvisor-[^/]*$/.test(file);
