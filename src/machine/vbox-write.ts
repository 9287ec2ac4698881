import { unsupported } from "../bytes/errors.js";
import { wordsOf } from "../bytes/words.js";
import type { ControllerModel, Machine, MachineDisk, MachineNic } from "./machine.js";
import { element, type Markup, xmlDocument } from "./xml-write.js";

/** An image as VirtualBox's registry of media knows it: by the UUID that the image itself states. */
interface VboxMedium {
	readonly uuid: string;
	/** `VDI`, `VMDK`, `VHD` */
	readonly format: string;
}

/** What settings say beyond their machine. */
export interface VboxDetails {
	/** Of the machine in VirtualBox; the guest sees {@link Machine.uuid}. */
	readonly uuid: string;
	readonly osType: string;
	/** Parallel to the machine's disks, all of which have a file. */
	readonly media: readonly VboxMedium[];
	/** Seconds since 1970. */
	readonly now: number;
}

/** VirtualBox's controllers by their model: their names in settings, and their ports. Each chipset has one of a model. */
const CONTROLLERS: Readonly<Partial<Record<ControllerModel, { readonly type: string; readonly ports: number }>>> = {
	ide: { type: "PIIX4", ports: 2 },
	ahci: { type: "AHCI", ports: 30 },
	lsilogic: { type: "LsiLogic", ports: 16 },
	lsisas1068: { type: "LsiLogicSas", ports: 255 },
	buslogic: { type: "BusLogic", ports: 16 },
	nvme: { type: "NVMe", ports: 255 },
	"virtio-scsi": { type: "VirtioSCSI", ports: 256 },
};
/** Those that have all their ports always; the others as many as are stated. */
const FULL: readonly ControllerModel[] = ["ide", "lsilogic", "buslogic"];

const NICS: Readonly<Record<string, string>> = wordsOf({
	pcnet32: "Am79C973",
	e1000: "82540EM",
	e1000e: "82583V",
	"virtio-net": "virtio",
});

/**
 * Settings of version 1.16, which VirtualBox 5.1 and everything since opens: its later versions differ in what is not
 * written here. See {@link vbox} for where they are defined.
 *
 * @throws `unsupported` for controllers and network cards that VirtualBox does not have, or not as many of
 */
export function writeVbox(machine: Machine, details: VboxDetails): string {
	const { name, description, uuid, cpus, memory, firmware } = machine;
	const on = { enabled: "true" };
	return xmlDocument(
		element(
			"VirtualBox",
			{ xmlns: "http://www.virtualbox.org/", version: "1.16-linux" },
			element(
				"Machine",
				{
					uuid: braced(details.uuid),
					name,
					OSType: details.osType,
					snapshotFolder: "Snapshots",
					lastStateChange: `${new Date(details.now * 1000).toISOString().slice(0, 19)}Z`,
				},
				description === undefined ? undefined : element("Description", {}, description),
				element(
					"MediaRegistry",
					{},
					element("HardDisks", {}, ...machine.disks.map((disk, i) => medium(disk, details, i))),
				),
				element(
					"Hardware",
					{ uuid: uuid === undefined ? undefined : braced(uuid) },
					element("CPU", { count: cpus }, element("PAE", on), element("LongMode", on)),
					element("Memory", { RAMSize: Math.ceil(memory / 2 ** 20) }),
					firmware === "uefi" ? element("Firmware", { type: "EFI" }) : undefined,
					element("Boot", {}, ...["HardDisk", "DVD", "None", "None"].map((device, i) => bootOrder(device, i + 1))),
					element("Display", { VRAMSize: 16 }),
					element("BIOS", {}, element("IOAPIC", on), element("SmbiosUuidLittleEndian", on)),
					element("Network", {}, ...adapters(machine)),
					element("RTC", { localOrUTC: "UTC" }),
				),
				element("StorageControllers", {}, ...controllers(machine, details)),
			),
		),
	);
}

const braced = (uuid: string) => `{${uuid}}`;

function mediumOf({ media }: VboxDetails, index: number): VboxMedium {
	const medium = media[index];
	if (medium === undefined) throw unsupported(`VirtualBox needs to know the UUID of disk ${index + 1}`);
	return medium;
}

function medium({ file }: MachineDisk, details: VboxDetails, index: number): Markup {
	const { uuid, format } = mediumOf(details, index);
	return element("HardDisk", { uuid: braced(uuid), location: file, format, type: "Normal" });
}

const bootOrder = (device: string, position: number) => element("Order", { position, device });

/** The disks by controller model, each model's on one controller. */
function controllers({ controllers, disks }: Machine, details: VboxDetails): Markup[] {
	const models = [...new Set(controllers.map(({ model }) => model))];
	return models.map((model) => {
		const known = CONTROLLERS[model];
		if (known === undefined) throw unsupported(`VirtualBox has no controller of model ${model}`);
		const { type, ports } = known;
		const own = controllers.filter((controller) => controller.model === model);
		const devices = disks.flatMap(({ controller, unit = 0 }, index) => {
			const channel = own.find(({ id }) => id === controller)?.index;
			return channel === undefined ? [] : [{ channel, unit, uuid: mediumOf(details, index).uuid }];
		});
		if (model !== "ide" && devices.length > ports) {
			throw unsupported(`${devices.length} disks do not fit: VirtualBox's ${type} has room for ${ports}`);
		}
		const attached = devices.map(({ channel, unit, uuid }, index) => {
			const place = model === "ide" ? { port: channel, device: unit } : { port: index, device: 0 };
			return element("AttachedDevice", { type: "HardDisk", ...place }, element("Image", { uuid: braced(uuid) }));
		});
		const count = FULL.includes(model) ? ports : attached.length;
		return element("StorageController", { name: type, type, PortCount: count, Bootable: "true" }, ...attached);
	});
}

function adapters({ nics }: Machine): Markup[] {
	return nics.map((nic, slot) => {
		const type = NICS[nic.model];
		if (type === undefined) throw unsupported(`VirtualBox has no network card of model ${nic.model}`);
		const given = { slot, enabled: "true", MACAddress: address(nic), cable: "true", type };
		return element("Adapter", given, element("NAT"));
	});
}

/** VirtualBox refuses settings with a group address, and makes an address where there is none. */
function address({ mac }: MachineNic): string | undefined {
	const digits = mac?.replaceAll(":", "").toUpperCase();
	return digits !== undefined && /^.[02468ACE]/.test(digits) ? digits : undefined;
}
