import type { DeviceModel, Hypervisor } from "./hypervisor.js";
import { xenDevices, xenEmulatedE1000, xenEmulatedIde, xenEmulatedRtl8139, xenPlaces } from "./xen.js";

const assumed = (device: DeviceModel): DeviceModel => ({
	...device,
	verified: false,
	source: "Assumed: any Xen HVM guest; Neocleus published no device list",
});

export const neocleus: Hypervisor = {
	id: "neocleus",
	title: "Neocleus NeoSphere",
	vendor: "Neocleus (Intel since 2010)",
	family: "xen",
	arch: ["x86_64", "i686"],
	firmware: ["bios"],
	devices: [...xenDevices, xenEmulatedIde, xenEmulatedRtl8139, xenEmulatedE1000].map(assumed),
	boot: { disk: ["vbd"], fallback: ["ide"], network: ["vif", "rtl8139", "e1000"] },
	cards: { keepMacs: false, virtualization: "xen", places: xenPlaces },
	limits: {},
	notes: [
		"A client hypervisor built on Xen; no public device list or disk format was found, so it is taken as generic Xen HVM.",
	],
};
