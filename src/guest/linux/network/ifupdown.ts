import { lines, words } from "../text.js";
import type { Configured } from "./network.js";

/** https://manpages.debian.org/stable/ifupdown/interfaces.5.en.html; where IPv4 and IPv6 differ, IPv4 counts. */
export function parseInterfaces(text: string): readonly Configured[] {
	const methods = new Map<string, { family: string; method: Configured["method"] }>();
	for (const line of lines(text)) {
		const [keyword, name, family = "", method = ""] = words(line);
		if (keyword !== "iface" || name === undefined || method === "loopback") continue;
		if (methods.get(name)?.family === "inet") continue;
		methods.set(name, { family, method: method === "dhcp" || method === "static" ? method : "unknown" });
	}
	return Array.from(methods, ([name, { method }]) => ({ interface: name, method }));
}
