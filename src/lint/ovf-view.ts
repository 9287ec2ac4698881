import { ENVELOPES, ResourceType } from "../machine/ovf/names.js";
import { wholeNumber } from "../machine/units.js";
import { attribute, child, childrenOf, descend, textOf, type XmlElement } from "../machine/xml-read.js";

/** The envelope of OVF 1.x, which every importer knows. */
export const OVF_1 = "http://schemas.dmtf.org/ovf/envelope/1";
export const OVF_2 = "http://schemas.dmtf.org/ovf/envelope/2";

/** An OVF as its author wrote it. */
export interface OvfView {
	/** Name of the descriptor. */
	readonly file: string;
	readonly root: XmlElement;
	/** Prefixes that the root element declares. */
	readonly prefixes: ReadonlySet<string>;
	/** All virtual systems, also those in collections. */
	readonly systems: readonly XmlElement[];
	/** Those directly in the envelope, where importers of one machine look. */
	readonly direct: readonly XmlElement[];
	readonly items: readonly ItemView[];
	/** What disks can hang on: the InstanceIDs of items of type 5, 6 and 20. */
	readonly controllers: ReadonlySet<string>;
	/** The same with those that OVF 0.9 calls InstanceId. */
	readonly anyControllers: ReadonlySet<string>;
	/** `Disk` by its diskId, `File` by its id; the first of each. */
	readonly disks: ReadonlyMap<string, XmlElement>;
	readonly files: ReadonlyMap<string, XmlElement>;
	/** The `VirtualSystemType`s. */
	readonly families: readonly { readonly text: string; readonly element: XmlElement }[];
	/** What the description says of the firmware, in whichever way. */
	readonly uefi: boolean;
	/** VMware's way to say the firmware. */
	readonly firmware: { readonly value: string; readonly element: XmlElement } | undefined;
}

/** One device. */
interface ItemView {
	readonly element: XmlElement;
	/** `Item`, `StorageItem`, `EthernetPortItem` */
	readonly kind: string;
	readonly type: number | undefined;
	readonly subtype: string | undefined;
	readonly instance: string | undefined;
	readonly parent: string | undefined;
	readonly host: string | undefined;
	readonly required: boolean;
	/** For sentences. */
	readonly label: string;
}

/** Types of the items that disks hang on. */
export const CONTROLLERS: readonly (number | undefined)[] = [ResourceType.ide, ResourceType.scsi, ResourceType.storage];

export const isEnvelope = (root: XmlElement) => root.name === "Envelope" && ENVELOPES.includes(root.namespace);

/** @param tag the root element's start tag, as it is written */
export function ovfView(file: string, root: XmlElement, tag: string): OvfView {
	const systems = systemsIn(root);
	const sections = systems.flatMap((system) => sectionsOf(system, "VirtualHardwareSection"));
	const types = sections.flatMap((section) => {
		const element = descend(section, "System", "VirtualSystemType");
		return element === undefined ? [] : [{ text: element.text, element }];
	});
	const firmware = sections
		.flatMap((section) => childrenOf(section, "Config"))
		.find((entry) => attribute(entry, "key") === "firmware");
	const value = attribute(firmware, "value") ?? "";
	const virtualBox = systems.map((system) => attribute(descend(system, "Machine", "Hardware", "Firmware"), "type"));
	const items = sections.flatMap((section) => section.children.filter(({ name }) => ITEM.test(name)).map(itemView));
	const controllers = items.filter(({ type }) => CONTROLLERS.includes(type));
	return {
		file,
		root,
		prefixes: new Set(Array.from(tag.matchAll(/\sxmlns:([\w.-]+)\s*=/g), ([, prefix = ""]) => prefix)),
		systems,
		direct: root.children.filter((element) => kindOf(element) === "VirtualSystem"),
		items,
		controllers: new Set(controllers.flatMap(({ element }) => property(element, "InstanceID") ?? [])),
		anyControllers: new Set(controllers.flatMap(({ instance }) => instance ?? [])),
		disks: byId(
			sectionsOf(root, "DiskSection").flatMap((section) => childrenOf(section, "Disk")),
			"diskId",
		),
		files: byId(childrenOf(child(root, "References"), "File"), "id"),
		families: types,
		uefi: value === "efi" || virtualBox.some((type) => type?.startsWith("EFI") === true),
		firmware: firmware === undefined ? undefined : { value, element: firmware },
	};
}

const ITEM = /^(?:Item|StorageItem|EthernetPortItem)$/;

/** OVF 0.9 has a section's kind in its type. */
function kindOf(element: XmlElement): string {
	if (element.name !== "Section" && element.name !== "Content") return element.name;
	const type = attribute(element, "type")?.replace(/^.*:/, "");
	return type?.replace(/_Type$/, "") ?? element.name;
}

export const sectionsOf = (parent: XmlElement, kind: string) =>
	parent.children.filter((element) => kindOf(element) === kind);

/** The parser bounds how deep elements are. */
function systemsIn(parent: XmlElement): XmlElement[] {
	return parent.children.flatMap((element) => {
		const kind = kindOf(element);
		if (kind === "VirtualSystem") return [element];
		return kind === "VirtualSystemCollection" ? systemsIn(element) : [];
	});
}

function byId(elements: readonly XmlElement[], name: string): ReadonlyMap<string, XmlElement> {
	const found = new Map<string, XmlElement>();
	for (const element of elements) {
		const id = attribute(element, name);
		if (id !== undefined && !found.has(id)) found.set(id, element);
	}
	return found;
}

/** The text of an item's property. */
export const property = (element: XmlElement, name: string) => textOf(child(element, name));

function itemView(element: XmlElement): ItemView {
	const instance = property(element, "InstanceID") ?? property(element, "InstanceId");
	return {
		element,
		kind: element.name,
		type: wholeNumber(property(element, "ResourceType")),
		subtype: property(element, "ResourceSubType"),
		instance,
		parent: property(element, "Parent"),
		host: property(element, "HostResource"),
		required: attribute(element, "required") !== "false",
		label: (property(element, "ElementName") ?? property(element, "Caption") ?? instance ?? "unnamed").slice(0, 60),
	};
}

/** The items of these types. */
export const itemsOf = (ovf: OvfView | undefined, ...types: number[]) =>
	(ovf?.items ?? []).filter(({ type }) => type !== undefined && types.includes(type));

/** The id of the disk that a HostResource means, in any spelling in use; undefined where it means none. */
export const diskIdOf = (host: string | undefined) => /^(?:ovf:)?\/{0,2}disk\/(.+)$/.exec(host ?? "")?.[1];

/** vmx-NN */
export const vmxVersion = (family: string) => wholeNumber(/^vmx-(\d{1,3})$/.exec(family)?.[1]);

/** The virtual hardware that VMware needs at least for what is described; 11 is what every host in use has. */
export function leastHardware({ items, systems }: OvfView): number {
	const nvme = items.some(({ subtype }) => /nvme/i.test(subtype ?? ""));
	const secure = systems.some((system) =>
		sectionsOf(system, "VirtualHardwareSection").some((section) =>
			childrenOf(section, "Config").some(
				(entry) =>
					attribute(entry, "key") === "bootOptions.efiSecureBootEnabled" &&
					attribute(entry, "value")?.toLowerCase() === "true",
			),
		),
	);
	return nvme || secure ? 13 : 11;
}
