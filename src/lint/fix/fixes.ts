import { unitBytes, wholeNumber } from "../../machine/units.js";
import type { XmlEdit, XmlName } from "../../machine/xml-edit.js";
import { attribute, child, childrenOf, descend, type XmlElement } from "../../machine/xml-read.js";
import {
	CONTROLLERS,
	diskIdOf,
	itemsOf,
	leastHardware,
	OVF_1,
	type OvfView,
	property,
	sectionsOf,
	vmxVersion,
} from "../ovf-view.js";
import type { RuleOptions } from "../rule.js";

const CIM = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2";
const rasd = (local: string): XmlName => ({
	local,
	namespace: `${CIM}/CIM_ResourceAllocationSettingData`,
	prefix: "rasd",
});
const vssd = (local: string): XmlName => ({
	local,
	namespace: `${CIM}/CIM_VirtualSystemSettingData`,
	prefix: "vssd",
});
const ovf1 = (local: string): XmlName => ({ local, namespace: OVF_1, prefix: "ovf" });
const vmw = (local: string): XmlName => ({ local, namespace: "http://www.vmware.com/schema/ovf", prefix: "vmw" });

type Plan = (ovf: OvfView, options: RuleOptions) => readonly XmlEdit[];

/** Corrections of the descriptor, each planned on what the ones before it left. */
export const descriptorFixes = {
	/** OVF 2 has the items of disks and network cards in elements of their own; in OVF 1 all are Item. */
	"ovf-1": ({ items }) =>
		items
			.filter(({ kind }) => kind !== "Item")
			.flatMap(({ kind, element, type }): XmlEdit[] => [
				{
					kind: "add",
					element,
					after: element,
					name: { ...ovf1("Item"), namespace: element.namespace },
					attributes: ["required", "configuration", "bound"].flatMap((name): [XmlName, string][] => {
						const value = attribute(element, name);
						return value === undefined ? [] : [[{ ...ovf1(name), namespace: element.namespace }, value]];
					}),
					children: RASD.flatMap((name): [XmlName, string][] => {
						// OVF 1 wants a name, and OVF 2 is content with a caption.
						const text = property(element, name) ?? (name === "ElementName" ? property(element, "Caption") : undefined);
						const logicalDisk = name === "ResourceType" && kind === "StorageItem" && type === 31;
						return text === undefined ? [] : [[rasd(name), logicalDisk ? "17" : text]];
					}),
				},
				{ kind: "remove", element },
			]),

	"hardware-family": (ovf, { hardwareVersion: newest = Number.POSITIVE_INFINITY }) => {
		const least = leastHardware(ovf);
		if (least > newest) return [];
		return ovf.families.flatMap(({ text, element }): XmlEdit[] => {
			const known = text.split(/[\s,]+/).flatMap((family) => vmxVersion(family) ?? []);
			if (known.length > 0 && Math.min(...known) <= newest) return [];
			const version = known.length > 0 ? newest : least;
			return [{ kind: "text", element, text: `vmx-${version}` }];
		});
	},

	"ide-subtype": (ovf) =>
		itemsOf(ovf, 5).flatMap(({ element, subtype }): XmlEdit[] => {
			const named = child(element, "ResourceSubType");
			return named !== undefined && /^PIIX[34]$/i.test(subtype ?? "") ? [{ kind: "remove", element: named }] : [];
		}),

	"storage-subtype": (ovf) =>
		itemsOf(ovf, 20).flatMap(({ element, subtype = "sata" }): XmlEdit[] => {
			const word = STORAGE.find(([pattern]) => pattern.test(subtype))?.[1];
			return word === undefined || STORAGE.some(([, known]) => known.toLowerCase() === subtype.toLowerCase())
				? []
				: [{ kind: "child", element, name: rasd("ResourceSubType"), text: word }];
		}),

	"memory-units": (ovf) =>
		itemsOf(ovf, 4).flatMap(({ element }): XmlEdit[] => {
			const quantity = wholeNumber(property(element, "VirtualQuantity"));
			const units = property(element, "AllocationUnits");
			// What has no units is MiB where it is small, as everybody takes it.
			const unit =
				units === undefined ? (quantity !== undefined && quantity < 2 ** 20 ? 2 ** 20 : 1) : unitBytes(units);
			const mebibytes = ((quantity ?? Number.NaN) * (unit ?? Number.NaN)) / 2 ** 20;
			return Number.isSafeInteger(mebibytes) && mebibytes > 0
				? [
						{ kind: "child", element, name: rasd("AllocationUnits"), text: "byte * 2^20" },
						{ kind: "child", element, name: rasd("VirtualQuantity"), text: String(mebibytes) },
					]
				: [];
		}),

	"required-type": (ovf) =>
		ovf.items
			.filter(({ type, required }) => required && !KNOWN.includes(type))
			.map(
				({ element, type }): XmlEdit =>
					type === 16
						? { kind: "child", element, name: rasd("ResourceType"), text: "15" }
						: {
								kind: "attribute",
								element,
								name: { ...ovf1("required"), namespace: ovf.root.namespace },
								value: "false",
							},
			),

	parent: planParents,

	"host-resource": (ovf) =>
		itemsOf(ovf, 17).flatMap(({ element, host }): XmlEdit[] => {
			const id = diskIdOf(host);
			return id === undefined || !ovf.disks.has(id) || host === `ovf:/disk/${id}`
				? []
				: [{ kind: "child", element, name: rasd("HostResource"), text: `ovf:/disk/${id}` }];
		}),

	"system-id": (ovf) =>
		ovf.systems
			.flatMap((system) => sectionsOf(system, "OperatingSystemSection"))
			.filter((section) => wholeNumber(attribute(section, "id")) === undefined)
			// CIM_OperatingSystem.OsType: Other.
			.map((element) => ({
				kind: "attribute",
				element,
				name: { ...ovf1("id"), namespace: ovf.root.namespace },
				value: "1",
			})),

	"system-identifier": (ovf) =>
		ovf.systems.flatMap((system): XmlEdit[] => {
			const element = descend(system, "VirtualHardwareSection", "System");
			const name = child(system, "Name")?.text || attribute(system, "id");
			return element === undefined || name === undefined || property(element, "VirtualSystemIdentifier") !== undefined
				? []
				: [{ kind: "child", element, name: vssd("VirtualSystemIdentifier"), text: name }];
		}),

	"automatic-allocation": (ovf) =>
		itemsOf(ovf, 10)
			.filter(({ element }) => property(element, "AutomaticAllocation") === undefined)
			.map(({ element }) => ({ kind: "child", element, name: rasd("AutomaticAllocation"), text: "true" })),

	firmware: (ovf) =>
		ovf.firmware !== undefined
			? []
			: ovf.systems
					.flatMap((system) => sectionsOf(system, "VirtualHardwareSection"))
					.map((element) => ({
						kind: "add",
						element,
						name: vmw("Config"),
						attributes: [
							[{ ...ovf1("required"), namespace: ovf.root.namespace }, "false"],
							[vmw("key"), "firmware"],
							[vmw("value"), ovf.uefi ? "efi" : "bios"],
						],
					})),
} as const satisfies Readonly<Record<string, Plan>>;

/** Those of the descriptor, and those that writing the package anew makes. */
export type FixId = keyof typeof descriptorFixes | "href" | "manifest" | "member-order";

/** Properties of an item in OVF 1, in the order of the schema. */
const RASD = [
	"Address",
	"AddressOnParent",
	"AllocationUnits",
	"AutomaticAllocation",
	"AutomaticDeallocation",
	"Caption",
	"Connection",
	"ConsumerVisibility",
	"Description",
	"ElementName",
	"HostResource",
	"InstanceID",
	"Limit",
	"MappingBehavior",
	"OtherResourceType",
	"Parent",
	"PoolID",
	"Reservation",
	"ResourceSubType",
	"ResourceType",
	"VirtualQuantity",
	"VirtualQuantityUnits",
	"Weight",
] as const;

const STORAGE: readonly (readonly [pattern: RegExp, subtype: string])[] = [
	[/ahci|sata/i, "vmware.sata.ahci"],
	[/nvme/i, "vmware.nvme.controller"],
	[/virtio/i, "VirtioSCSI"],
];

const KNOWN: readonly (number | undefined)[] = [3, 4, 5, 6, 10, 14, 15, 17, 20, 23, 35];

/** Controllers by type: how many disks they hold; that of SCSI is at 7 itself. */
const SLOTS: Readonly<Record<number, readonly number[]>> = {
	5: [0, 1],
	6: [0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15],
	20: Array.from({ length: 30 }, (_, index) => index),
};

/** Hangs disks and CD drives without a controller on the first one with a free place. */
function planParents(ovf: OvfView): readonly XmlEdit[] {
	const taken = new Map<string, Set<number>>();
	const controllers = ovf.items.flatMap(({ element, type }) => {
		const id = property(element, "InstanceID");
		return id !== undefined && CONTROLLERS.includes(type) ? [{ id, slots: SLOTS[type ?? 0] ?? [] }] : [];
	});
	for (const { id } of controllers) taken.set(id, new Set());
	const drives = itemsOf(ovf, 15, 17);
	for (const { element, parent } of drives) {
		taken.get(parent ?? "")?.add(wholeNumber(property(element, "AddressOnParent")) ?? 0);
	}
	return drives
		.filter(({ parent }) => !taken.has(parent ?? ""))
		.flatMap(({ element }: { readonly element: XmlElement }): XmlEdit[] => {
			for (const { id, slots } of controllers) {
				const slot = slots.find((each) => taken.get(id)?.has(each) === false);
				if (slot === undefined) continue;
				taken.get(id)?.add(slot);
				return [
					{ kind: "child", element, name: rasd("Parent"), text: id },
					{ kind: "child", element, name: rasd("AddressOnParent"), text: String(slot) },
				];
			}
			return [];
		});
}

/** Names of files that every importer takes, for those that have others. */
export function safeNames(ovf: OvfView, names: readonly string[]): ReadonlyMap<string, string> {
	const taken = new Set(names.map((name) => name.toLowerCase()));
	const renamed = new Map<string, string>();
	for (const file of childrenOf(child(ovf.root, "References"), "File")) {
		const href = attribute(file, "href");
		if (href === undefined || /^[\w.+=-]+$/.test(href) || renamed.has(href)) continue;
		const plain = href.replaceAll(/[^\w.+=-]+/g, "-").replace(/^[.-]+/, "") || "file";
		let name = plain;
		for (let number = 2; taken.has(name.toLowerCase()); number++) name = `${number}-${plain}`;
		taken.add(name.toLowerCase());
		renamed.set(href, name);
	}
	return renamed;
}
