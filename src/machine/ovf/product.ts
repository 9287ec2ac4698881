import type { Product, ProductProperty } from "../machine.js";
import { enumerate, present } from "../shape.js";
import { attribute, child, childrenOf, textOf, type XmlElement } from "../xml-read.js";
import { element, type Markup } from "../xml-write.js";
import { sections } from "./systems.js";

/** The parts of {@link Product} that are elements of their own, in the schema's order. DSP0243 1.1, 9.5 */
const ELEMENTS = [
	["Product", "product"],
	["Vendor", "vendor"],
	["Version", "version"],
	["FullVersion", "fullVersion"],
	["ProductUrl", "productUrl"],
	["VendorUrl", "vendorUrl"],
	["AppUrl", "appUrl"],
] as const satisfies readonly (readonly [string, keyof Product])[];

/** What stands in an element, or in the strings that it refers to: those in the envelope's language, or the first. */
function messages(envelope: XmlElement) {
	const bundles = childrenOf(envelope, "Strings");
	const own = attribute(envelope, "lang");
	const bundle = bundles.find((each) => own !== undefined && attribute(each, "lang") === own) ?? bundles[0];
	const strings = new Map(childrenOf(bundle, "Msg").map((msg) => [attribute(msg, "msgid"), textOf(msg)]));
	return (found: XmlElement | undefined) => {
		const id = attribute(found, "msgid");
		return textOf(found) ?? (id === undefined ? undefined : strings.get(id));
	};
}

/** The products and licences of the envelope, the collections and the system, in this order. */
export function readProducts(envelope: XmlElement, parents: readonly XmlElement[], lost: string[]) {
	const text = messages(envelope);
	const all = (kind: string) => parents.flatMap((parent) => sections(parent, kind));
	const products = all("ProductSection").map((section) => readProduct(section, text, lost));
	const eulas = all("EulaSection").flatMap((section) =>
		childrenOf(section, "License").flatMap((each) => text(each) ?? []),
	);
	const transport = sections(parents.at(-1) ?? envelope, "VirtualHardwareSection").flatMap(
		(section) => attribute(section, "transport")?.split(/\s+/) ?? [],
	);
	return {
		...(products.length === 0 ? {} : { products }),
		...(eulas.length === 0 ? {} : { eulas }),
		...(transport.length === 0 ? {} : { propertyTransport: transport }),
	};
}

type TextOf = ReturnType<typeof messages>;

function readProduct(section: XmlElement, text: TextOf, lost: string[]): Product {
	const properties: ProductProperty[] = [];
	const byOption: string[] = [];
	let category: string | undefined;
	for (const entry of section.children) {
		// It holds for the properties after it.
		if (entry.name === "Category") category = text(entry);
		if (entry.name !== "Property") continue;
		const key = attribute(entry, "key") ?? "";
		if (childrenOf(entry, "Value").length > 0) byOption.push(key);
		properties.push({
			key,
			type: attribute(entry, "type") ?? "string",
			...present({
				qualifiers: attribute(entry, "qualifiers"),
				// An empty one is a value as well.
				value: entry.attributes.get("value"),
				userConfigurable: flag(entry, "userConfigurable"),
				password: flag(entry, "password"),
				label: text(child(entry, "Label")),
				description: text(child(entry, "Description")),
				category,
			}),
		});
	}
	if (byOption.length > 0) {
		lost.push(`Values for certain deployment options are not carried over, of the properties ${enumerate(byOption)}.`);
	}
	if (child(section, "Icon") !== undefined) lost.push("The icons of the product are not carried over.");
	const facts = Object.fromEntries(ELEMENTS.map(([name, key]) => [key, text(child(section, name))]));
	return {
		...present({ class: attribute(section, "class"), instance: attribute(section, "instance"), ...facts }),
		properties,
	};
}

const flag = (entry: XmlElement, name: string): true | undefined =>
	/^(?:true|1)$/.test(attribute(entry, name) ?? "") ? true : undefined;

export function productSection(product: Product): Markup {
	const { properties } = product;
	const entries = properties.flatMap((property, index) => {
		const { category } = property;
		const isNew = category !== undefined && category !== properties[index - 1]?.category;
		const entry = propertyEntry(property);
		return isNew ? [element("Category", {}, category), entry] : [entry];
	});
	return element(
		"ProductSection",
		{ "ovf:class": product.class, "ovf:instance": product.instance },
		element("Info", {}, "Information about the installed software"),
		...ELEMENTS.map(([name, key]) => (product[key] === undefined ? undefined : element(name, {}, product[key]))),
		...entries,
	);
}

const propertyEntry = ({ label, description, ...property }: ProductProperty) =>
	element(
		"Property",
		{
			"ovf:key": property.key,
			"ovf:password": property.password === undefined ? undefined : "true",
			"ovf:qualifiers": property.qualifiers,
			"ovf:type": property.type,
			"ovf:userConfigurable": property.userConfigurable === undefined ? undefined : "true",
			"ovf:value": property.value,
		},
		label === undefined ? undefined : element("Label", {}, label),
		description === undefined ? undefined : element("Description", {}, description),
	);

export const eulaSection = (licence: string): Markup =>
	element("EulaSection", {}, element("Info", {}, "A licence agreement"), element("License", {}, licence));
