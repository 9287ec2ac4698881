/** How network configurations name their interfaces. */

const macPattern = /^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/** A MAC as this project writes it, lower case with colons; undefined for what is none. */
export function macAddress(text: string | undefined): string | undefined {
	const mac = text?.trim().toLowerCase().replaceAll("-", ":") ?? "";
	return macPattern.test(mac) ? mac : undefined;
}

export const isMac = (text: string) => macPattern.test(text);

/** What stands for several interfaces, or for none by name. */
const isPattern = (text: string) => text === "" || /[*?[\]!\s/]/.test(text);

/** Interfaces that are made by software, and wireless ones, which virtual machines do not have. */
const software =
	/^(?:lo|br[-_]?\w*|virbr|docker|podman|cni|bond|team|vlan|vxlan|dummy|ifb|tun|tap|ppp|wg|veth|vnet|macvlan|sit|gre|ip6tnl|ipip|vti|wlan|wl|ww|ib|can|slip|nm-)[\d.:-]*$/;

/** The card behind a name: `ens3` of `ens3.100` and of `ens3:1`; undefined where there is none. */
export function cardOf(name: string): string | undefined {
	if (isMac(name) || isPattern(name)) return undefined;
	const base = name.replace(/[.:@].*$/s, "");
	return base === "" || software.test(base) ? undefined : base;
}

/** Whether `name` fits a shell pattern of `*`, `?` and literal characters; undefined where it has anything else. */
export function fits(pattern: string, name: string): boolean | undefined {
	if (/[[\]]/.test(pattern)) return undefined;
	// Greedy with one point to come back to: linear times the pattern's length, whatever the pattern.
	let at = 0;
	let star = -1;
	let resume = 0;
	let i = 0;
	while (i < name.length) {
		if (pattern[at] === "*") {
			star = at++;
			resume = i;
		} else if (at < pattern.length && (pattern[at] === "?" || pattern[at] === name[i])) {
			at++;
			i++;
		} else if (star >= 0) {
			at = star + 1;
			i = ++resume;
		} else return false;
	}
	while (pattern[at] === "*") at++;
	return at === pattern.length;
}
