import type { Machine } from "../machine/machine.js";
import { child, type XmlElement } from "../machine/xml-read.js";
import { RECORDS } from "../machine/xva/mark.js";

/** An XVA as its tar has it. */
export interface XvaView {
	readonly first: string;
	/** In the order in which the archive has them. */
	readonly disks: readonly XvaDisk[];
	/** Members that are neither `ova.xml` nor a chunk nor its sum. */
	readonly strangers: readonly string[];
	/** What `HVM_boot_params` and `platform` say of the firmware. */
	readonly firmware: string | undefined;
	readonly deviceModel: string | undefined;
}

export interface XvaDisk {
	readonly reference: string;
	/** Bytes, as `ova.xml` has it. */
	readonly capacity: number | undefined;
	readonly chunks: number;
	/** Bytes of the chunk that comes first, and its number. */
	readonly first: { readonly number: number; readonly size: number };
	readonly last: { readonly number: number };
	/** Whether chunks stand in ascending order. */
	readonly ascending: boolean;
	/** Endings of the sums seen, and how many chunks have none. */
	readonly sums: ReadonlySet<string>;
	readonly unsummed: number;
	/** The first sum, exactly as it is written. */
	readonly sample: { readonly ending: string; readonly text: string } | undefined;
}

interface Draft {
	chunks: number;
	first: { number: number; size: number };
	last: { number: number };
	ascending: boolean;
	sums: Set<string>;
	unsummed: number;
	sample: XvaDisk["sample"];
}

/** A chunk's name, and that of its sum. */
const CHUNK = /^(Ref:[^/]{1,64})\/(\d{8,12})(?:\.(\w{1,16}))?$/;

/** @param sample reads the start of a member as text */
export async function xvaView(
	members: readonly { readonly name: string; readonly size: number }[],
	machine: Machine | undefined,
	records: XmlElement | undefined,
	sample: (name: string) => Promise<string>,
): Promise<XvaView> {
	const drafts = new Map<string, Draft>();
	const strangers: string[] = [];
	for (const { name, size } of members) {
		const [, reference, digits, ending] = CHUNK.exec(name) ?? [];
		if (reference === undefined || digits === undefined) {
			if (name !== RECORDS) strangers.push(name);
			continue;
		}
		const number = Number(digits);
		const draft = drafts.get(reference);
		if (ending !== undefined) {
			if (draft === undefined || draft.last.number !== number) continue;
			draft.sums.add(ending);
			draft.unsummed--;
			draft.sample ??= { ending, text: await sample(name) };
		} else if (draft === undefined) {
			drafts.set(reference, {
				chunks: 1,
				first: { number, size },
				last: { number },
				ascending: true,
				sums: new Set(),
				unsummed: 1,
				sample: undefined,
			});
		} else {
			draft.ascending &&= number > draft.last.number;
			draft.chunks++;
			draft.unsummed++;
			draft.last = { number };
		}
	}
	const capacities = new Map(machine?.disks.map(({ file, capacity }) => [file, capacity]));
	return {
		first: members[0]?.name ?? "",
		disks: Array.from(drafts, ([reference, draft]) => ({
			reference,
			capacity: capacities.get(reference),
			...draft,
		})),
		strangers,
		firmware: memberText(records, "HVM_boot_params", "firmware"),
		deviceModel: memberText(records, "platform", "device-model"),
	};
}

/** The text of a member of a struct that is itself a member, anywhere in an XML-RPC value. */
function memberText(root: XmlElement | undefined, struct: string, name: string): string | undefined {
	const outer = root === undefined ? undefined : memberNamed(root, struct);
	const inner = outer === undefined ? undefined : memberNamed(outer, name);
	const value = child(inner, "value");
	return value === undefined ? undefined : (value.children[0]?.text ?? value.text);
}

function memberNamed(element: XmlElement, name: string): XmlElement | undefined {
	if (element.name === "member" && child(element, "name")?.text === name) return element;
	for (const inner of element.children) {
		const found = memberNamed(inner, name);
		if (found !== undefined) return found;
	}
	return undefined;
}
