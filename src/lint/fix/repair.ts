import type { DescriptorFile } from "../../machine/machine.js";
import { editXml } from "../../machine/xml-edit.js";
import { rootTag } from "../../machine/xml-head.js";
import { attribute, child, childrenOf, parseXml } from "../../machine/xml-read.js";
import type { Parts } from "../open.js";
import { OVF_1, OVF_2, type OvfView, ovfView } from "../ovf-view.js";
import type { RuleOptions } from "../rule.js";
import type { Subject } from "../subject.js";
import { descriptorFixes, type FixId, safeNames } from "./fixes.js";

/**
 * What a package is made of when the given corrections are made. Nothing is written, and nothing of it read but the
 * descriptor.
 */
export async function repaired(
	parts: Parts,
	{ disks }: Subject,
	wanted: ReadonlySet<FixId>,
	options: RuleOptions,
): Promise<Parts> {
	if (parts.kind === "xva") return parts;
	let { descriptor } = parts;
	for (const [id, plan] of Object.entries(descriptorFixes)) {
		if (!wanted.has(id as FixId)) continue;
		const tag = rootTag(descriptor.bytes)?.tag ?? "";
		const { bytes } = await editXml(descriptor, (root) => plan(ovfView(descriptor.name, root, tag), options));
		descriptor = { name: descriptor.name, bytes: id === "ovf-1" ? inEnvelopeOne(bytes) : bytes };
	}
	if (!wanted.has("href")) return { ...parts, descriptor };
	// A disk of several files mentions them by name.
	const whole = new Set(
		disks.flatMap(({ name, format }) => (format !== undefined && WHOLE.test(format) ? [name] : [])),
	);
	const { view, folder } = await viewOf(descriptor);
	const names = parts.files.map(({ name }) => name);
	const renamed = new Map([...safeNames(view, names)].filter(([href]) => whole.has(href)));
	const { bytes } = await editXml(descriptor, (root) =>
		childrenOf(child(root, "References"), "File").flatMap((element) => {
			const name = renamed.get(attribute(element, "href") ?? "");
			return name === undefined
				? []
				: [
						{
							kind: "attribute" as const,
							element,
							name: { local: "href", namespace: root.namespace, prefix: "ovf" },
							value: name,
						},
					];
		}),
	);
	const files = parts.files.map((part) => {
		for (const [href, name] of renamed) {
			if ([href, decoded(href)].some((each) => part.name === each || part.name === folder + each)) {
				return { ...part, name: part.name.startsWith(folder) ? folder + name : name };
			}
		}
		return part;
	});
	return { ...parts, descriptor: { ...descriptor, bytes }, files };
}

const WHOLE =
	/^(?:raw|qcow2|vmdk\/(?:streamOptimized|monolithicSparse)|vhd\/(?:fixed|dynamic)|vhdx\/(?:fixed|dynamic))$/;

async function viewOf(descriptor: DescriptorFile): Promise<{ readonly view: OvfView; readonly folder: string }> {
	const { name } = descriptor;
	const view = ovfView(name, await parseXml(descriptor), rootTag(descriptor.bytes)?.tag ?? "");
	return { view, folder: name.slice(0, name.lastIndexOf("/") + 1) };
}

function decoded(href: string): string {
	try {
		return decodeURIComponent(href);
	} catch {
		return href;
	}
}

/** Declarations of OVF 2's namespace become those of OVF 1's; `bytes` are UTF-8 as {@link editXml} writes it. */
function inEnvelopeOne(bytes: Uint8Array): Uint8Array {
	const label = bytes[0] === 0xff ? "utf-16le" : bytes[0] === 0xfe ? "utf-16be" : "utf-8";
	const text = new TextDecoder(label).decode(bytes);
	const changed = text.replaceAll(
		/(\sxmlns(?::[\w.-]+)?\s*=\s*)(["'])([^"']*)\2/g,
		(whole, start: string, quote: string, uri: string) => (uri === OVF_2 ? `${start}${quote}${OVF_1}${quote}` : whole),
	);
	if (changed === text) return bytes;
	return new TextEncoder().encode(changed.replace(/^(<\?xml[^>]*?encoding\s*=\s*["'])[^"']*/, "$1UTF-8"));
}
