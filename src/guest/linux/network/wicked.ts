import { macAddress } from "./names.js";
import type { Configured } from "./network.js";

/** More than one file describes. */
const mostInterfaces = 1000;

/**
 * wicked's own XML, beside the ifcfg files that most of its users keep:
 * https://manpages.opensuse.org/Tumbleweed/wicked/wicked-config.5.en.html. Elements are found by their names alone.
 */
export function parseWicked(text: string): readonly Configured[] {
	const found: Configured[] = [];
	for (const body of elements(text, "interface").slice(0, mostInterfaces)) {
		const [name = ""] = elements(body, "name");
		const mac = macAddress(elements(body, "permanent-address")[0]);
		const addresses = ["ipv4:static", "ipv6:static"].flatMap((family) =>
			elements(body, family).flatMap((block) => elements(block, "local").map((address) => address.trim())),
		);
		const dhcp = body.includes("<ipv4:dhcp");
		const method = dhcp ? "dhcp" : addresses.length > 0 ? "static" : "unknown";
		found.push({ interface: name.trim() || mac || "*", method, addresses });
	}
	return found;
}

/** The contents of the elements of that name, in one pass. */
function elements(text: string, name: string): string[] {
	const found: string[] = [];
	const open = `<${name}`;
	const close = `</${name}>`;
	let at = 0;
	for (;;) {
		const start = text.indexOf(open, at);
		if (start < 0) return found;
		const after = start + open.length;
		if (!/[\s>]/.test(text[after] ?? "")) {
			at = after;
			continue;
		}
		const inside = text.indexOf(">", after);
		const end = inside < 0 ? -1 : text.indexOf(close, inside);
		if (end < 0) return found;
		found.push(text.slice(inside + 1, end));
		at = end + close.length;
	}
}
