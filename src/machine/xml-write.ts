/** A node of a document being written. */
export interface Markup {
	/** Renders the node; every line begins with `indent`. Without it, all is on one line. */
	render(indent?: string): string;
}

type Attributes = Readonly<Record<string, string | number | undefined>>;
type Content = Markup | string | number | undefined;

/**
 * An element. Attributes and children that are undefined are left out. The content is
 * elements, a line each, or one text. Names are taken as they are; values are escaped.
 */
export function element(name: string, attributes: Attributes = {}, ...content: Content[]): Markup {
	const given = content.filter((item) => item !== undefined);
	const start = Object.entries(attributes)
		.filter(([, value]) => value !== undefined)
		.map(([key, value]) => ` ${key}="${escapeXml(String(value))}"`)
		.join("");
	return {
		render(indent) {
			const margin = indent ?? "";
			const [first] = given;
			if (first === undefined) return `${margin}<${name}${start}/>`;
			if (typeof first !== "object") return `${margin}<${name}${start}>${escapeXml(String(first))}</${name}>`;
			const inner = indent === undefined ? undefined : `${indent}  `;
			const parts = given.map((item) => (typeof item === "object" ? item.render(inner) : escapeXml(String(item))));
			return [`${margin}<${name}${start}>`, ...parts, `${margin}</${name}>`].join(indent === undefined ? "" : "\n");
		},
	};
}

/** A whole document with its declaration, encoded in UTF-8 when written. */
export const xmlDocument = (root: Markup) => `<?xml version="1.0" encoding="UTF-8"?>\n${root.render("")}\n`;

const ENTITIES: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** Escapes text for element content and double-quoted attributes; characters XML 1.0 cannot hold become U+FFFD. */
const escapeXml = (text: string) =>
	text
		// oxlint-disable-next-line no-control-regex -- these are the characters that XML 1.0 forbids
		.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\p{Surrogate}\ufffe\uffff]/gu, "\ufffd")
		.replace(/[&<>"]/g, (char) => ENTITIES[char] ?? char)
		.replace(/[\t\n\r]/g, (char) => `&#${char.charCodeAt(0)};`);
