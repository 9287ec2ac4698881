import type { LinuxGuest, NetworkFact } from "../guest/guest.js";
import { cardOf, fits, isMac } from "../guest/linux/network/names.js";
import type { CardPlace, DeviceModel, Hypervisor } from "../hypervisor/hypervisor.js";
import type { MachineNic } from "../machine/machine.js";
import { type Card, driverNames, interfaceName, isOwnFile, schemeLevel } from "./interface-name.js";
import type { InterfaceVerdict, Verdict } from "./verdict.js";

/** What the configuration asks for, from all files that say something of it. */
interface Wanted {
	/** Name, patterns, or MAC. */
	readonly interface: string;
	readonly facts: readonly NetworkFact[];
}

/** The cards that a package for `hypervisor` has, as the guest will find them; none where it has no driver for any. */
export function cardsOn(hypervisor: Hypervisor, verdict: Verdict, nics: readonly MachineNic[]): readonly Card[] {
	const chosen = (role: "disk" | "network") => verdict.devices.find((device) => device.role === role && device.chosen);
	const network = chosen("network");
	const model = hypervisor.devices.find(({ id }) => id === network?.device);
	if (model === undefined) return [];
	const { keepMacs = false, virtualization } = hypervisor.cards ?? {};
	const places = placesOf(hypervisor, model, chosen("disk")?.device);
	return nics.map(({ mac }, number) =>
		Object.assign(
			{ number, model },
			places[number] && { place: places[number] },
			keepMacs && mac !== undefined && { mac },
			virtualization !== undefined && { virtualization },
		),
	);
}

function placesOf({ cards }: Hypervisor, { id }: DeviceModel, disk: string | undefined): readonly CardPlace[] {
	const found = cards?.places.find(
		({ models, disks }) => models.includes(id) && (disks === undefined || disks.includes(disk ?? "")),
	);
	return found?.cards ?? [];
}

/**
 * What becomes there of the interfaces that the guest configures by name or by MAC. Those that any card's name fits are
 * left out.
 */
export function judgeInterfaces(
	guest: LinuxGuest,
	nics: readonly MachineNic[],
	hypervisor: Hypervisor,
	verdict: Verdict,
): readonly InterfaceVerdict[] {
	const cards = cardsOn(hypervisor, verdict, nics);
	// Without a card that it could drive the verdict says so already.
	if (cards.length === 0 && nics.length > 0) return [];
	const names = cards.map((card) => interfaceName(guest.naming, card));
	const byName = wantedNames(guest.network);
	const cardOfName = assignCards(byName, nics);
	return [
		...byName.map((wanted) => judgeName(wanted, cardOfName.get(wanted.interface))),
		...wantedMacs(guest.network).map((wanted) => judgeMac(wanted)),
		...wantedPatterns(guest.network).flatMap((wanted) => judgePatterns(wanted)),
	];

	function judgeName(wanted: Wanted, number: number | undefined | null): InterfaceVerdict {
		const outcome = { ...described(wanted), card: number ?? null };
		if (number === null) return { ...outcome, name: null, state: "no-card" };
		const named = number === undefined ? undefined : names[number];
		const card = number === undefined ? undefined : cards[number];
		const bound = wanted.facts.find(({ mac }) => mac !== undefined);
		if (bound !== undefined && card !== undefined && card.mac !== bound.mac) {
			return { ...outcome, name: null, state: "mac" };
		}
		// Its own configuration names the card.
		if (bound?.renamedTo !== undefined && card !== undefined)
			return { ...outcome, name: bound.renamedTo, state: "kept" };
		if (named === undefined)
			return { ...outcome, name: null, state: "unknown", why: "it is not known which card it is" };
		if ("unknown" in named) return { ...outcome, name: null, state: "unknown", why: named.unknown };
		const fixed = given(guest, card);
		if (fixed !== undefined && named.name === wanted.interface) {
			return { ...outcome, name: null, state: "unknown", why: fixed };
		}
		return { ...outcome, name: named.name, state: named.name === wanted.interface ? "kept" : "renamed" };
	}

	function judgeMac(wanted: Wanted): InterfaceVerdict {
		const number = nics.findIndex(({ mac }) => mac === wanted.interface);
		const kept = cards.find(({ mac }) => mac === wanted.interface);
		const [{ renamedTo } = { renamedTo: undefined }] = wanted.facts;
		const outcome = { ...described(wanted), card: number < 0 ? null : number };
		if (kept === undefined) return { ...outcome, name: null, state: "mac" };
		const named = renamedTo === undefined ? interfaceName(guest.naming, kept) : { name: renamedTo };
		return { ...outcome, name: "name" in named ? named.name : null, state: "kept" };
	}

	/** Only what no card will fit. */
	function judgePatterns(wanted: Wanted): InterfaceVerdict[] {
		const patterns = wanted.interface.split(/\s+/);
		const known = names.flatMap((named) => ("name" in named ? [named.name] : []));
		if (known.length < names.length || known.length === 0 || patterns.some((one) => one.startsWith("!"))) return [];
		if (known.some((name) => patterns.some((pattern) => fits(pattern, name) !== false))) return [];
		return [{ ...described(wanted), card: null, name: known[0] ?? null, state: "renamed" }];
	}
}

/**
 * Why a `.link` file does not have the last word, where so: before naming scheme v240 a name that was given in the
 * initramfs stayed, and what is in there knows the file only once it has been made anew.
 */
function given(guest: LinuxGuest, card: Card | undefined): string | undefined {
	const level = schemeLevel(guest.naming.scheme);
	if (card === undefined || guest.naming.by !== "links" || level === undefined || level >= 240) return undefined;
	const own = interfaceName(
		{ ...guest.naming, links: guest.naming.links.filter(({ file }) => !isOwnFile(file)) },
		card,
	);
	const named = interfaceName(guest.naming, card);
	if ("name" in own && "name" in named && own.name === named.name) return undefined;
	const kernel = guest.kernels.find(({ version }) => version === guest.defaultKernel);
	const drivers = card.model.addresses.at(-1)?.drivers ?? driverNames(card.model);
	const early = drivers.find((module) => kernel?.initramfs?.modules.has(module) || kernel?.modules.builtin.has(module));
	return early === undefined
		? undefined
		: `its initramfs has the driver ${early} and names the card first: make the initramfs anew once the guest has started`;
}

const described = ({ interface: name, facts }: Wanted) => ({
	interface: name,
	files: [...new Set(facts.map(({ file }) => file))],
	method: facts.find(({ method }) => method === "static")?.method ?? facts[0]?.method ?? ("unknown" as const),
	addresses: [...new Set(facts.flatMap(({ addresses }) => addresses))],
});

/** Interfaces that are configured by name, VLANs and aliases with their card. */
function wantedNames(network: readonly NetworkFact[]): readonly Wanted[] {
	return grouped(network, (fact) => cardOf(fact.interface));
}

const wantedMacs = (network: readonly NetworkFact[]) =>
	grouped(network, ({ interface: name }) => (isMac(name) ? name : undefined));

const wantedPatterns = (network: readonly NetworkFact[]) =>
	grouped(network, ({ interface: name, mac }) =>
		mac === undefined && /[*?[]/.test(name) && name !== "*" ? name : undefined,
	);

function grouped(network: readonly NetworkFact[], by: (fact: NetworkFact) => string | undefined): readonly Wanted[] {
	const groups = new Map<string, NetworkFact[]>();
	for (const fact of network) {
		const name = by(fact);
		if (name === undefined) continue;
		const group = groups.get(name) ?? [];
		group.push(fact);
		groups.set(name, group);
	}
	return Array.from(groups, ([name, facts]) => ({ interface: name, facts }));
}

/**
 * Numbers of the cards that the names belong to: by MAC where the configuration has one, else in the order of the
 * names, if there is a name for every card. Null: the machine has no such card; undefined: not known.
 */
function assignCards(
	wanted: readonly Wanted[],
	nics: readonly MachineNic[],
): ReadonlyMap<string, number | null | undefined> {
	const found = new Map<string, number | null | undefined>();
	const free = new Set(nics.keys());
	const rest: string[] = [];
	for (const { interface: name, facts } of wanted) {
		const mac = facts.find((fact) => fact.mac !== undefined)?.mac;
		const number = mac === undefined ? -1 : nics.findIndex((nic) => nic.mac === mac);
		if (number < 0) rest.push(name);
		else {
			found.set(name, number);
			free.delete(number);
		}
	}
	const numbers = [...free];
	rest.sort(compareNames);
	// With more cards than names nobody can say which of them is meant.
	const guess = numbers.length > rest.length;
	for (const [at, name] of rest.entries()) found.set(name, guess ? undefined : (numbers[at] ?? null));
	return found;
}

/** The order in which cards are put in: by the numbers in their names; VMware fills 160, 192, … before 161, 193, …. */
export function compareNames(one: string, other: string): number {
	const [left, right] = [keyOf(one), keyOf(other)];
	for (const [at, value] of left.entries()) {
		const difference = value - (right[at] ?? -1);
		if (difference !== 0) return difference;
	}
	return left.length - right.length || (one < other ? -1 : Number(one > other));
}

function keyOf(name: string): number[] {
	const slot = /^ens(\d{3,4})$/.exec(name)?.[1];
	if (slot !== undefined && Number(slot) >= 160) return [Number(slot) % 32, Number(slot)];
	return (name.match(/\d{1,9}/g) ?? []).map(Number);
}
