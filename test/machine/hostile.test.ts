import { diag } from "libxml2-wasm";
import { describe, expect, test } from "vitest";
import { readMachine } from "../../src/machine/registry.js";
import { rootTag } from "../../src/machine/xml-head.js";
import { parseXml } from "../../src/machine/xml-read.js";
import { encode, outcome } from "./samples.js";

const NAMESPACE = "http://schemas.dmtf.org/ovf/envelope/1";
const letters = "abcdefghij";
const laughs = Array.from(letters.slice(1), (name, index) => `<!ENTITY ${name} "${`&${letters[index]};`.repeat(10)}">`);
const billion = `<!DOCTYPE Envelope [<!ENTITY a "lol">${laughs.join("")}]>`;
const inside = (text: string, attributes = "") => `<Envelope xmlns="${NAMESPACE}"${attributes}>${text}</Envelope>`;

describe("hostile XML", () => {
	test.each([
		["a billion laughs in text", billion + inside("&j;"), "damaged"],
		["a billion laughs in an attribute", billion + inside("", ' x="&j;"'), "damaged"],
		[
			"quadratic blow-up",
			`<!DOCTYPE Envelope [<!ENTITY a "${"x".repeat(50_000)}">]>${inside("&a;".repeat(50_000))}`,
			"damaged",
		],
		["a harmless entity", `<!DOCTYPE Envelope [<!ENTITY a "x">]>${inside("&a;")}`, "refused"],
		[
			"a file of the host as an entity",
			`<!DOCTYPE Envelope [<!ENTITY a SYSTEM "file:///etc/passwd">]>${inside("&a;")}`,
			"refused",
		],
		["a DTD from the network", `<!DOCTYPE Envelope SYSTEM "http://192.0.2.1/x.dtd">${inside("")}`, "refused"],
		["nesting without end", inside("<a>".repeat(10_000) + "</a>".repeat(10_000)), "damaged"],
		["a million elements", inside("<b/>".repeat(1_000_000)), "refused"],
		["more elements than any descriptor has", inside("<b/>".repeat(150_000)), "refused"],
		["half a million comments", inside("<!---->".repeat(500_000)), "refused"],
		[
			"a hundred thousand attributes",
			inside(`<a ${Array.from({ length: 100_000 }, (_, at) => `a${at}="x"`).join(" ")}/>`),
			"refused",
		],
		["50 MB", inside("x".repeat(50_000_000)), "refused"],
		["half of a document", inside("").slice(0, -4), "damaged"],
		["an unterminated comment", `<!-- ${"-".repeat(100_000)}${inside("")}`, "unsupported"],
		["nothing", "", "unsupported"],
	])("%s is refused in time", async (_, text, kind) => {
		const started = performance.now();
		expect(await outcome(readMachine({ name: "hostile.ovf", bytes: encode(text) }))).toBe(kind);
		expect(performance.now() - started).toBeLessThan(5000);
	});

	test("leaves no memory behind, whether it could be read or not", async () => {
		diag.configure({ enabled: true });
		try {
			for (const text of [
				inside("<b>text</b>"),
				inside("").slice(0, -4),
				billion + inside("&j;"),
				inside("<b/>".repeat(60_000)),
			]) {
				await outcome(parseXml({ name: "x.ovf", bytes: encode(text) }));
			}
			expect(diag.report()).toEqual({});
		} finally {
			diag.configure({ enabled: false });
		}
	});
});

describe("the root tag", () => {
	test.each([
		['<?xml version="1.0"?>\n<!-- hand-made -->\n<ovf:Envelope a="1">', "Envelope"],
		["<!DOCTYPE x [ <!ENTITY a 'b'> ]><domain type='kvm'>", "domain"],
		["\ufeff<domain/>", "domain"],
		["no XML at all <domain>", undefined],
		["", undefined],
	])("of %j is %s", (text, name) => {
		expect(rootTag(encode(text))?.name).toBe(name);
	});

	test("is found in UTF-16", () => {
		const utf16 = Uint8Array.from(Buffer.from("\ufeff<?xml version='1.0' encoding='UTF-16'?><domain/>", "utf16le"));
		expect(rootTag(utf16)?.name).toBe("domain");
	});
});
