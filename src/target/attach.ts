import { AnyvisorError, unsupported } from "../bytes/errors.js";
import type { ControllerModel, Extra, Machine, MachineDisk, MachineNic } from "../machine/machine.js";
import { unsaid } from "../machine/refit.js";
import { busOf, Controllers } from "../machine/shape.js";
import type { Appliance } from "./target.js";

/** {@link DeviceModel.id} of disks to the controller they hang on, where the two differ. */
const CONTROLLERS: Readonly<Record<string, ControllerModel>> = {
	ahci: "ahci",
	buslogic: "buslogic",
	"hyperv-ide": "hyperv-ide",
	"gen1-hyperv-ide": "hyperv-ide",
	"hyperv-scsi": "hyperv-scsi",
	ide: "ide",
	lsilogic: "lsilogic",
	lsisas1068: "lsisas1068",
	nvme: "nvme",
	pvscsi: "pvscsi",
	vbd: "xen-vbd",
	"virtio-blk": "virtio-blk",
	"virtio-scsi": "virtio-scsi",
};

/** {@link DeviceModel.id} of network cards to {@link MachineNic.model}, where the two differ. */
const NICS: Readonly<Record<string, string>> = {
	"e1000-82543gc": "e1000",
	"e1000-82545em": "e1000",
	pcnet: "pcnet32",
	vif: "xen-vif",
	vlance: "pcnet32",
};

/** Disks per controller, 7 where not listed: SCSI controllers sit at number 7 of their own bus. */
const SLOTS: Readonly<Partial<Record<ControllerModel, number>>> = {
	ahci: 6,
	ide: 2,
	"hyperv-ide": 2,
	nvme: 15,
	"virtio-blk": 24,
	"xen-vbd": 16,
	"hyperv-scsi": 64,
};
const MOST_CONTROLLERS = 4;
const ONLY_CONTROLLERS: Readonly<Partial<Record<ControllerModel, number>>> = {
	ide: 2,
	"hyperv-ide": 2,
	"virtio-blk": 1,
	"xen-vbd": 1,
};

/** IDE slots left to disks where Hyper-V makes a machine with a DVD drive on 1:0; further ones are on SCSI. */
const HYPERV_IDE = [
	[0, 0],
	[0, 1],
	[1, 1],
] as const;

/** Formats whose network names VMware, where they may come from, shows again when it asks what to connect to. */
const VMWARE_FORMATS: readonly string[] = ["ovf", "vmx"];

interface Names {
	readonly file: (index: number) => string;
	readonly network?: string;
	/** The package has a place for the UUID of the firmware. */
	readonly uuid?: true;
	/** What it has a place for beyond hardware. */
	readonly says?: readonly Extra[];
	/** Versions of a virtual TPM that it has a place for. */
	readonly tpms?: readonly Machine["tpm"][];
	/** It has none for Secure Boot. */
	readonly withoutSecureBoot?: true;
}

/**
 * The machine as its package has it: all disks on controllers of the model chosen, in boot order from the first slot on,
 * their sizes as they really are; network cards of the model chosen; no removable drives. Networks are called what the
 * user calls them, or `network`, but for those that went from VMware to VMware.
 *
 * @throws `unsupported` where the hypervisor does not take it.
 */
export function attached(appliance: Appliance, names: Names): Machine {
	const { machine, disks, attach, hypervisor } = appliance;
	if (!hypervisor.firmware.includes(machine.firmware)) {
		throw unsupported(`${hypervisor.title} does not boot machines by ${machine.firmware.toUpperCase()}`, {
			hint: `It boots by ${hypervisor.firmware.join(" or ").toUpperCase()} only.`,
		});
	}
	const model = CONTROLLERS[attach.disk];
	if (model === undefined) throw unsupported(`no package can attach a disk of model ${attach.disk}`);
	checkLimits(appliance);

	const slots = SLOTS[model] ?? 7;
	const mixed = hypervisor.family === "hyperv" && busOf(model) === "ide";
	const most = mixed
		? HYPERV_IDE.length + (SLOTS["hyperv-scsi"] ?? 0)
		: slots * (ONLY_CONTROLLERS[model] ?? MOST_CONTROLLERS);
	const drives = machine.disks.filter(({ kind }) => kind === "disk");
	if (drives.length !== disks.length) {
		throw new AnyvisorError("usage", `${machine.name} has ${drives.length} disks, but ${disks.length} were opened`);
	}
	if (disks.length > most) throw unsupported(`${disks.length} disks do not fit: ${attach.disk} has room for ${most}`);

	const controllers = new Controllers();
	const places = disks.map((disk, index): MachineDisk => {
		const [number, unit] = mixed
			? (HYPERV_IDE[index] ?? [0, index - HYPERV_IDE.length])
			: [Math.floor(index / slots), index % slots];
		const { id } = controllers.at(mixed && index >= HYPERV_IDE.length ? "hyperv-scsi" : model, number);
		return {
			id: `disk${index + 1}`,
			kind: "disk",
			file: names.file(index),
			capacity: disk.size,
			controller: id,
			unit,
		};
	});
	const keepsNetworks = hypervisor.family === "vmware" && VMWARE_FORMATS.includes(machine.origin);
	const nics = machine.nics.map((nic): MachineNic => {
		const given = appliance.networks?.get(nic.network ?? "");
		const network = given ?? (keepsNetworks ? nic.network : undefined) ?? names.network;
		return {
			model: NICS[attach.network] ?? attach.network,
			...(nic.mac === undefined ? {} : { mac: nic.mac }),
			...(network === undefined ? {} : { network }),
		};
	});
	const { uuid, tpm, ...others } = machine;
	const packed: Machine = {
		...others,
		...(uuid !== undefined && names.uuid && { uuid }),
		...(tpm !== undefined && hasTpm(machine, names) && { tpm }),
		controllers: controllers.list(),
		disks: places,
		nics,
		lost: [...notCarried(appliance, names), ...networksLeft(machine.nics, nics, appliance.networks)],
	};
	appliance.onAttached?.(packed);
	return packed;
}

function checkLimits({ disks, machine, hypervisor }: Appliance): void {
	const { limits, title } = hypervisor;
	const largest = Math.max(0, ...disks.map(({ size }) => size));
	if (limits.diskBytes !== undefined && largest > limits.diskBytes) {
		throw unsupported(`${title} takes disks of at most ${limits.diskBytes} bytes; one here has ${largest}`);
	}
	if (limits.disks !== undefined && disks.length > limits.disks) {
		throw unsupported(`${title} takes at most ${limits.disks} disks; this machine has ${disks.length}`);
	}
	if (limits.nics !== undefined && machine.nics.length > limits.nics) {
		throw unsupported(`${title} takes at most ${limits.nics} network cards; this machine has ${machine.nics.length}`);
	}
}

/** Networks that are called otherwise there, without anybody having said so. */
function networksLeft(
	before: readonly MachineNic[],
	after: readonly MachineNic[],
	asked: Appliance["networks"],
): readonly string[] {
	const left = new Map<string, string | undefined>();
	for (const [index, { network }] of before.entries()) {
		const there = after[index]?.network;
		if (network !== undefined && network !== there && !asked?.has(network)) left.set(network, there);
	}
	return Array.from(left, ([name, there]) =>
		there === undefined
			? `The network "${name}": connect its cards where the machine is created.`
			: `The network "${name}": its cards are on "${there}".`,
	);
}

const hasTpm = ({ tpm }: Machine, { tpms = [] }: Names) => tpms.includes(tpm);

function notCarried({ machine, hypervisor, newIdentity }: Appliance, names: Names): readonly string[] {
	const { disks, nics, uuid, secureBoot, lost } = machine;
	const removable = disks.some(({ kind }) => kind !== "disk");
	const { keepMacs = false, toKeepMacs } = hypervisor.cards ?? {};
	const newMacs = !keepMacs && toKeepMacs === undefined && nics.some(({ mac }) => mac !== undefined);
	return [
		...lost,
		...unsaid(machine, [...(names.says ?? []), ...(hasTpm(machine, names) ? ["tpm" as const] : [])]),
		...(secureBoot && names.withoutSecureBoot ? ["Secure Boot: it is off unless it is turned on there."] : []),
		...(newMacs ? [`The network cards' MAC addresses: ${hypervisor.title} gives new ones.`] : []),
		...(removable ? ["CD and floppy drives are left out: add them where they are needed."] : []),
		...(uuid === undefined || names.uuid || newIdentity
			? []
			: [`The firmware's UUID, ${uuid}: the guest will see another one.`]),
	];
}
