import type { XmlElement as ParsedElement } from "libxml2-wasm";
import { AnyvisorError, damaged, refused } from "../bytes/errors.js";
import type { DescriptorFile } from "./machine.js";

/** An element of a parsed document, independent of the parser and its memory. Names are local: prefixes are dropped. */
export interface XmlElement {
	readonly name: string;
	/** Namespace URI; empty where there is none. */
	readonly namespace: string;
	/** By local name. */
	readonly attributes: ReadonlyMap<string, string>;
	readonly children: readonly XmlElement[];
	/** The text directly inside the element, trimmed; that of its children is theirs. */
	readonly text: string;
	/** Where its start tag ends, for messages. */
	readonly line: number;
}

/** A parsed document as long as its memory is held. */
export interface ParsedDocument {
	readonly root: XmlElement;
	/** The parser's own node of an element of {@link root}. */
	node(element: XmlElement): ParsedElement;
	/** The document as it is now, in UTF-8. */
	text(): string;
}

/** Bytes. The largest appliance descriptors in use, with translations and EULAs in them, have about 500 KB. */
export const MAX_DESCRIPTOR = 4 << 20;
const MAX_NODES = 100_000;

/**
 * Parses a whole document. Nothing outside it is ever loaded, and documents with a DTD are refused: descriptors have
 * none, and entities are how small documents become huge ones.
 *
 * @throws `damaged` when it is not well-formed, `refused` when it is larger or more deeply nested than any descriptor.
 */
export const parseXml = (file: DescriptorFile): Promise<XmlElement> => withXml(file, ({ root }) => root);

/** As {@link parseXml}, for who changes the document; `use` is called once. */
export async function withXml<T>(file: DescriptorFile, use: (document: ParsedDocument) => T): Promise<T> {
	if (file.bytes.length > MAX_DESCRIPTOR) {
		throw refused(`${file.name} has ${file.bytes.length} bytes; descriptors beyond ${MAX_DESCRIPTOR} are not read`, {
			file: file.name,
			hint: "Check that this file is the descriptor and not a disk.",
		});
	}
	// Every element begins with this byte, in UTF-16 too: counting them is a thousand times faster than parsing.
	let openings = 0;
	for (const byte of file.bytes) if (byte === 0x3c) openings++;
	if (openings > 2 * MAX_NODES) throw tooMany(file.name);
	// Loaded when first needed: instantiating the WebAssembly module takes longer than everything else at startup.
	const {
		ParseOption,
		XmlCData,
		XmlDocument,
		XmlElement: Element,
		XmlLibError,
		XmlText,
	} = await import("libxml2-wasm");
	const parsed = new Map<XmlElement, ParsedElement>();
	let nodes = 0;
	const detach = (element: ParsedElement): XmlElement => {
		const children: XmlElement[] = [];
		let text = "";
		for (let node = element.firstChild; node !== null; node = node.next) {
			if (++nodes > MAX_NODES) throw tooMany(file.name);
			if (node instanceof Element) children.push(detach(node));
			else if (node instanceof XmlText || node instanceof XmlCData) text += node.content;
		}
		const attributes = new Map<string, string>();
		for (const attribute of element.attrs) {
			if (++nodes > MAX_NODES) throw tooMany(file.name);
			attributes.set(attribute.name, attribute.value);
		}
		const detached = {
			name: element.name,
			namespace: element.namespaceUri,
			attributes,
			children,
			text: text.trim(),
			line: element.line,
		};
		parsed.set(detached, element);
		return detached;
	};

	try {
		using document = XmlDocument.fromBuffer(file.bytes, {
			option: ParseOption.XML_PARSE_NONET | ParseOption.XML_PARSE_NO_XXE | ParseOption.XML_PARSE_NO_SYS_CATALOG,
		});
		if (document.dtd !== null) {
			throw refused(`${file.name} has a document type declaration, which no descriptor needs`, {
				file: file.name,
				hint: "Remove the <!DOCTYPE …> part if you trust the file.",
			});
		}
		return use({
			root: detach(document.root),
			node(element) {
				const found = parsed.get(element);
				if (found === undefined) throw new RangeError(`<${element.name}> is of another document`);
				return found;
			},
			text: () => document.toString({ format: false }),
		});
	} catch (error) {
		if (error instanceof AnyvisorError || !(error instanceof XmlLibError)) throw error;
		throw damaged(`${file.name} is not well-formed XML: ${error.message.trim()}`, { file: file.name, cause: error });
	}
}

const tooMany = (file: string) =>
	refused(`${file} has more than ${MAX_NODES} XML nodes, which no descriptor needs`, { file });

/** The first child with this local name. */
export const child = (element: XmlElement | undefined, name: string) =>
	element?.children.find((candidate) => candidate.name === name);

/** All children with this local name. */
export const childrenOf = (element: XmlElement | undefined, name: string) =>
	element?.children.filter((candidate) => candidate.name === name) ?? [];

/** The first element reached by following local names from `element`. */
export const descend = (element: XmlElement | undefined, ...names: string[]) =>
	names.reduce<XmlElement | undefined>(child, element);

/** An attribute's value; undefined where it is missing or empty. */
export const attribute = (element: XmlElement | undefined, name: string) => element?.attributes.get(name) || undefined;

/** An element's text; undefined where it is missing or empty. */
export const textOf = (element: XmlElement | undefined) => element?.text || undefined;
