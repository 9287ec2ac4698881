import { AnyvisorError, damaged } from "../../bytes/errors.js";
import { enumerate } from "../shape.js";
import { attribute, child, textOf, type XmlElement } from "../xml-read.js";

/** The element's kind: OVF 0.9 says `<Section xsi:type="ovf:DiskSection_Type">` for `<DiskSection>`. */
export function kindOf(element: XmlElement): string {
	if (element.name !== "Section" && element.name !== "Content") return element.name;
	return (
		attribute(element, "type")
			?.replace(/^.*:/, "")
			.replace(/_Type$/, "") ?? element.name
	);
}

export const sections = (parent: XmlElement, kind: string) =>
	parent.children.filter((element) => kindOf(element) === kind);

/** A virtual system, and what it lies in: the envelope, and the collections from the outermost on. */
export interface PlacedSystem {
	readonly system: XmlElement;
	readonly around: readonly XmlElement[];
}

function virtualSystems(parent: XmlElement, around: readonly XmlElement[] = []): PlacedSystem[] {
	const path = [...around, parent];
	return parent.children.flatMap((element) => {
		const kind = kindOf(element);
		if (kind === "VirtualSystem") return [{ system: element, around: path }];
		return kind === "VirtualSystemCollection" ? virtualSystems(element, path) : [];
	});
}

const idOf = ({ system }: PlacedSystem) => attribute(system, "id");
const nameOf = ({ system }: PlacedSystem) => textOf(child(system, "Name"));

/** The only virtual system, or the one whose `ovf:id`, else its `<Name>`, is `wanted`. */
export function chosenSystem(envelope: XmlElement, wanted: string | undefined, file: string): PlacedSystem {
	const systems = virtualSystems(envelope);
	const [first] = systems;
	if (first === undefined) throw damaged(`${file} describes no virtual machine`, { file });
	const names = enumerate(systems.map((each) => idOf(each) ?? nameOf(each) ?? "(without a name)"));
	if (wanted === undefined) {
		if (systems.length === 1) return first;
		throw new AnyvisorError("usage", `${file} describes ${systems.length} machines: ${names}`, {
			file,
			hint: `Choose one, as in --system ${wordOf(idOf(first) ?? nameOf(first) ?? "ID")}`,
		});
	}
	for (const identify of [idOf, nameOf]) {
		const [found, ...others] = systems.filter((each) => identify(each) === wanted);
		if (found === undefined) continue;
		if (others.length === 0) return found;
		throw damaged(`${file} describes ${others.length + 1} machines that are called "${wanted}"`, { file });
	}
	throw new AnyvisorError("usage", `${file} describes no machine "${wanted}"; it has ${names}`, { file });
}

/** As a shell takes it for one word. */
const wordOf = (id: string) => (/^[\w.:-]+$/.test(id) ? id : `'${id.replaceAll("'", `'\\''`)}'`);
