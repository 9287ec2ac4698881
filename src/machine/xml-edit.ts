import type { DescriptorFile } from "./machine.js";
import { type ParsedDocument, withXml, type XmlElement } from "./xml-read.js";

/** One change of a document; what it names are elements of the tree that it was planned by. */
export type XmlEdit =
	/** Sets an attribute, in the namespace given. */
	| { readonly kind: "attribute"; readonly element: XmlElement; readonly name: XmlName; readonly value: string }
	/** Sets the text of a child with this name; a missing one is put where the alphabet has it among its siblings. */
	| { readonly kind: "child"; readonly element: XmlElement; readonly name: XmlName; readonly text: string }
	/** Adds an element behind all others, or behind the one given. */
	| {
			readonly kind: "add";
			readonly element: XmlElement;
			readonly after?: XmlElement | undefined;
			readonly name: XmlName;
			readonly attributes?: readonly (readonly [name: XmlName, value: string])[];
			readonly children?: readonly (readonly [name: XmlName, text: string])[];
	  }
	| { readonly kind: "text"; readonly element: XmlElement; readonly text: string }
	| { readonly kind: "remove"; readonly element: XmlElement };

/** A name in a namespace, and the prefix to declare where the namespace has none yet. */
export interface XmlName {
	readonly local: string;
	readonly namespace: string;
	readonly prefix: string;
}

/** Changes a document as `plan` says, which sees it as it is. The result is UTF-8; all else stays as it was. */
export const editXml = (
	file: DescriptorFile,
	plan: (root: XmlElement) => readonly XmlEdit[],
): Promise<{ readonly bytes: Uint8Array; readonly changed: boolean }> =>
	withXml(file, (document) => {
		const edits = plan(document.root);
		if (edits.length === 0) return { bytes: file.bytes, changed: false };
		for (const edit of edits) apply(document, edit);
		return { bytes: new TextEncoder().encode(document.text()), changed: true };
	});

type Node = ReturnType<ParsedDocument["node"]>;

function apply(document: ParsedDocument, edit: XmlEdit): void {
	const node = document.node(edit.element);
	switch (edit.kind) {
		case "attribute":
			setAttribute(node, edit.name, edit.value);
			break;
		case "child": {
			const { local, namespace } = edit.name;
			const { children } = edit.element;
			const present = children.find((each) => each.name === local && each.namespace === namespace);
			if (present !== undefined) {
				setText(document.node(present), edit.text);
				break;
			}
			const next = children.find((each) => each.namespace === namespace && each.name > local);
			const prefix = prefixOf(node, edit.name);
			const added =
				next === undefined ? node.addElement(local, prefix) : document.node(next).prependElement(local, prefix);
			added.addText(edit.text);
			break;
		}
		case "add": {
			const prefix = prefixOf(node, edit.name);
			const added =
				edit.after === undefined
					? node.addElement(edit.name.local, prefix)
					: document.node(edit.after).appendElement(edit.name.local, prefix);
			for (const [name, value] of edit.attributes ?? []) setAttribute(added, name, value);
			for (const [name, text] of edit.children ?? []) added.addElement(name.local, prefixOf(added, name)).addText(text);
			break;
		}
		case "text":
			setText(node, edit.text);
			break;
		case "remove":
			node.remove();
			break;
		default:
			edit satisfies never;
	}
}

function setText(node: Node, text: string): void {
	for (let inner = node.firstChild; inner !== null; ) {
		const { next } = inner;
		inner.remove();
		inner = next;
	}
	node.addText(text);
}

function setAttribute(node: Node, name: XmlName, value: string): void {
	// A default namespace is none of attributes.
	node.setAttr(name.local, value, name.namespace === "" ? "" : prefixOf(node, name, true));
}

function prefixOf(node: Node, { namespace, prefix }: XmlName, ofAttribute = false): string {
	const declared = Object.entries(node.namespaces).find(
		([each, uri]) => uri === namespace && !(ofAttribute && each === ""),
	);
	if (declared !== undefined) return declared[0];
	// A prefix that means something else already is not taken away from it.
	let free = prefix;
	for (let number = 1; node.namespaces[free] !== undefined; number++) free = `${prefix}${number}`;
	node.doc.root.addNsDeclaration(namespace, free);
	return free;
}
