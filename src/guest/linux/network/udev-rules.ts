import type { NameRule } from "../../guest.js";
import { lines } from "../text.js";
import { macAddress } from "./names.js";

/** Keys that every network interface of a card passes. */
const harmless = /^(?:SUBSYSTEM|ACTION|DRIVERS|ATTR\{dev_id\}|ATTR\{type\}|ENV\{ID_NET_DRIVER\})$/;
const most = 1000;

/** The rules of a file that name a network interface: https://www.freedesktop.org/software/systemd/man/latest/udev.html */
export function parseNameRules(text: string, file: string): readonly NameRule[] {
	const rules: NameRule[] = [];
	let begun = "";
	for (const raw of lines(text)) {
		if (begun === "" && /^\s*#/.test(raw)) continue;
		const line = begun + raw;
		// No real rule is as long.
		if (line.endsWith("\\") && line.length < 4096) {
			begun = line.slice(0, -1);
			continue;
		}
		begun = "";
		const rule = parseRule(line, file);
		if (rule !== undefined && rules.length < most) rules.push(rule);
	}
	return rules;
}

function parseRule(line: string, file: string): NameRule | undefined {
	if (!line.includes("NAME")) return undefined;
	let name: string | undefined;
	let mac: string | undefined;
	let kernel: string | undefined;
	let conditional = false;
	for (const [, key = "", operator = "", value = ""] of line.matchAll(
		/([A-Z_]+(?:\{[^}"]{1,100}\})?)\s*(==|!=|:=|\+=|-=|=)\s*"([^"]*)"/g,
	)) {
		if (key === "NAME" && (operator === "=" || operator === ":=")) name = value;
		else if (operator !== "==" && operator !== "!=") continue;
		else if (key === "ATTR{address}" && operator === "==" && macAddress(value)) mac = macAddress(value);
		else if (key === "KERNEL" && operator === "==") kernel = value;
		else if (key === "NAME" && value === "" && operator === "==") continue;
		else if (key === "SUBSYSTEM" && value !== "net") return undefined;
		else if (!harmless.test(key) || operator === "!=") conditional = true;
	}
	// What is put together at boot is no name yet.
	if (name === undefined || !/^[\w.-]{1,15}$/.test(name)) return undefined;
	return { file, name, ...(mac !== undefined && { mac }), ...(kernel !== undefined && { kernel }), conditional };
}
