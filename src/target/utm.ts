import { contentUuid } from "../disk/content-uuid.js";
import type { Machine } from "../machine/machine.js";
import { element, type Markup } from "../machine/xml-write.js";
import { attached } from "./attach.js";
import { diskFiles, fileBase } from "./file-name.js";
import { writeDisks, writeImportNote, writeText } from "./folder.js";
import type { Appliance, Layout } from "./target.js";

/** A bundle as UTM 4 keeps them: https://github.com/utmapp/UTM/tree/main/Configuration, UTMQemuConfiguration*.swift */
export const utm: Layout = {
	id: "utm",
	hypervisors: ["utm"],
	summary: "a .utm bundle: qcow2 disks and config.plist",
	imported: "open it",
	judged:
		"disks by qemu-img, config.plist by Python's plistlib against the members that UTM's sources read; the start by nobody",
	async write(appliance, folder, options) {
		const base = fileBase(appliance.machine.name);
		const file = diskFiles(base, "qcow2");
		const machine = attached(appliance, { file, uuid: true, withoutSecureBoot: true, tpms: ["2.0"] });
		const bundle = `${base}.utm`;
		const [first] = appliance.disks;
		const uuid = machine.uuid ?? (first && (await contentUuid(first, { name: base }, "utm"))) ?? "";
		await writeDisks(appliance, folder, { format: "qcow2" }, (index) => `${bundle}/Data/${file(index)}`, options);
		await writeText(folder, `${bundle}/config.plist`, plist(configuration(machine, appliance, uuid.toUpperCase())));
		await writeImportNote(
			appliance,
			folder,
			{
				command: { shell: "sh", line: `open ${bundle}` },
				remarks: [
					"Or double-click it. UTM runs it where it lies: move it to where the machine shall live first.",
					...(machine.firmware === "uefi"
						? ["Where UTM misses efi_vars.fd, an older one does: open the machine's settings once and save them."]
						: []),
					...appliance.hypervisor.notes,
				],
			},
			machine.lost,
		);
	},
};

type Value = string | number | boolean | readonly Value[] | { readonly [key: string]: Value };

const INTERFACES: Readonly<Record<string, string>> = { "virtio-blk": "VirtIO", nvme: "NVMe", ahci: "IDE", ide: "IDE" };

function configuration(machine: Machine, { attach }: Appliance, uuid: string): Value {
	const { name, description, cpus, memory, firmware, tpm, disks, nics } = machine;
	return {
		Backend: "QEMU",
		ConfigurationVersion: 4,
		Information: {
			Name: name,
			IconCustom: false,
			UUID: uuid,
			...(description === undefined ? {} : { Notes: description }),
		},
		System: {
			Architecture: "x86_64",
			// The IDE of q35 is AHCI.
			Target: attach.disk === "ide" ? "pc" : "q35",
			CPU: "default",
			CPUFlagsAdd: [],
			CPUFlagsRemove: [],
			CPUCount: cpus,
			ForceMulticore: false,
			MemorySize: Math.ceil(memory / 2 ** 20),
			JITCacheSize: 0,
		},
		QEMU: {
			DebugLog: false,
			UEFIBoot: firmware === "uefi",
			RNGDevice: true,
			BalloonDevice: false,
			TPMDevice: tpm !== undefined,
			Hypervisor: true,
			RTCLocalTime: false,
			PS2Controller: false,
			AdditionalArguments: [],
		},
		Input: { UsbBusSupport: "3.0", UsbSharing: false, MaximumUsbShare: 3 },
		Sharing: { DirectoryShareMode: "None", DirectoryShareReadOnly: false, ClipboardSharing: false },
		Display: [
			{
				Hardware: "virtio-vga",
				DynamicResolution: true,
				UpscalingFilter: "Nearest",
				DownscalingFilter: "Linear",
				NativeResolution: false,
			},
		],
		Drive: disks.map(({ id, file = "" }) => ({
			Identifier: id,
			ImageName: file,
			ImageType: "Disk",
			Interface: INTERFACES[attach.disk] ?? "VirtIO",
			InterfaceVersion: 1,
			ReadOnly: false,
		})),
		Network: nics.map(({ mac }, index) => ({
			Mode: "Shared",
			Hardware: attach.network === "virtio-net" ? "virtio-net-pci" : attach.network,
			MacAddress: (mac ?? madeUp(uuid, index)).toUpperCase(),
			IsolateFromHost: false,
			PortForward: [],
		})),
		Serial: [],
		Sound: [],
	};
}

/** A MAC address of QEMU's own range for a card that has none: UTM wants one. */
const madeUp = (uuid: string, index: number): string => {
	const digits = uuid.slice(-5) + (index % 16).toString(16);
	return ["52:54:00", digits.slice(0, 2), digits.slice(2, 4), digits.slice(4, 6)].join(":");
};

const HEAD = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
`;

/** A property list of Apple's, as XML: plist(5). */
const plist = (value: Value): string => `${HEAD}${element("plist", { version: "1.0" }, markup(value)).render("")}\n`;

function markup(value: Value): Markup {
	if (typeof value === "string") return element("string", {}, value);
	if (typeof value === "number") return element("integer", {}, value);
	if (typeof value === "boolean") return element(String(value));
	if (isList(value)) return element("array", {}, ...value.map(markup));
	return element("dict", {}, ...Object.entries(value).flatMap(([key, one]) => [element("key", {}, key), markup(one)]));
}

const isList = (value: object): value is readonly Value[] => Array.isArray(value);
