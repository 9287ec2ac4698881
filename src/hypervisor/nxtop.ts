import { hypervGen1 } from "./hyperv-gen1.js";
import type { DeviceModel, Hypervisor } from "./hypervisor.js";
import { xenDevices, xenEmulatedE1000, xenEmulatedIde, xenEmulatedRtl8139, xenPlaces } from "./xen.js";

const assumed =
	(prefix: string, source: string) =>
	(device: DeviceModel): DeviceModel => ({
		...device,
		id: prefix + device.id,
		verified: false,
		source,
	});

const engine = [...xenDevices, xenEmulatedIde, xenEmulatedRtl8139, xenEmulatedE1000].map(
	assumed("", "Assumed: NxTop Engine is built on Xen (vendor page); any Xen HVM guest"),
);
const center = hypervGen1.devices.map(
	assumed("center-", "Assumed: NxTop Center ran on the Hyper-V role of Windows Server 2008 (vendor page)"),
);

export const nxtop: Hypervisor = {
	id: "nxtop",
	title: "Virtual Computer NxTop, XenClient Enterprise",
	vendor: "Virtual Computer (Citrix since 2012)",
	family: "xen",
	arch: ["x86_64", "i686"],
	firmware: ["bios"],
	devices: [...engine, ...center],
	boot: { disk: ["vbd"], fallback: ["ide"], network: ["vif", "rtl8139", "e1000"] },
	also: [{ disk: ["center-hyperv-ide"], fallback: ["center-ide"], network: ["center-netvsc", "center-tulip"] }],
	cards: { keepMacs: false, virtualization: "xen", places: xenPlaces },
	limits: {},
	notes: [
		"An image is edited in NxTop Center, on Hyper-V, and runs on NxTop Engine, on Xen: it must boot on both.",
		"Taken to import dynamic VHD because XenClient Enterprise 4.5, its successor, does.",
	],
};
