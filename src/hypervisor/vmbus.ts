import type { Role } from "../device/device.js";
import type { DeviceAddress, DeviceModel } from "./hypervisor.js";

type Row = readonly [id: string, role: Role, title: string, guid: string, drivers: readonly string[], symbol: string];

const rows: readonly Row[] = [
	["hyperv-scsi", "disk", "Hyper-V SCSI controller", "ba6163d9-04a1-4d29-b605-72e2ffb1dc7f", ["hv_storvsc"], "SCSI"],
	["hyperv-fc", "disk", "Hyper-V Fibre Channel", "2f9bcc4a-0069-4af3-b76b-6fd0be528cda", ["hv_storvsc"], "SYNTHFC"],
	["netvsc", "network", "Hyper-V network adapter", "f8615163-df3e-46c5-913f-f2d2f965ed0e", ["hv_netvsc"], "NIC"],
	[
		"hyperv-video",
		"video",
		"Hyper-V video",
		"da0a7802-e377-4aac-8e77-0558eb1073f8",
		["hyperv_drm", "hyperv_fb"],
		"SYNTHVID",
	],
	["hyperv-keyboard", "input", "Hyper-V keyboard", "f912ad6d-2b17-48ea-bd65-f927a61c7684", ["hyperv_keyboard"], "KBD"],
	["hyperv-mouse", "input", "Hyper-V mouse", "cfa8b69e-5b4a-4cc0-b98b-8ba1a1f3f95a", ["hid_hyperv"], "MOUSE"],
	["hyperv-balloon", "balloon", "Hyper-V dynamic memory", "525074dc-8985-46e2-8057-a307dc18a502", ["hv_balloon"], "DM"],
	["vpci", "bus", "Hyper-V PCI pass-through", "44c4f61d-4444-4400-9d52-802e27ede19f", ["pci_hyperv"], "PCIE"],
	["shutdown", "channel", "Hyper-V shutdown", "0e0b6031-5213-4934-818b-38d90ced39db", ["hv_utils"], "SHUTDOWN"],
	["timesync", "channel", "Hyper-V time", "9527e630-d0ae-497b-adce-e80ab0175caf", ["hv_utils"], "TS"],
	["heartbeat", "channel", "Hyper-V heartbeat", "57164f39-9115-4e78-ab55-382f3bd5422d", ["hv_utils"], "HEART_BEAT"],
	["kvp", "channel", "Hyper-V data exchange", "a9a0f4e7-5a45-4d96-b827-8a841e8c03e6", ["hv_utils"], "KVP"],
	["vss", "channel", "Hyper-V backup", "35fa2e29-ea23-4236-96ae-3a6ebacba440", ["hv_utils"], "VSS"],
	["fcopy", "channel", "Hyper-V file copy", "34d14be3-dee4-41c8-9ae7-6b174977c192", ["hv_utils"], "FCOPY"],
];

/** What both generations offer on their VMBus, which is itself an ACPI device that hv_vmbus must drive. */
export function vmbusDevices(root: DeviceAddress): DeviceModel[] {
	return rows.map((row) => onVmbus(root, row));
}

function onVmbus(root: DeviceAddress, [id, role, title, guid, drivers, symbol]: Row): DeviceModel {
	return {
		id,
		title,
		role,
		addresses: [root, { bus: "vmbus", guid, drivers }],
		...(role === "disk" ? { needs: ["sd_mod"] } : {}),
		verified: true,
		source: `Linux include/linux/hyperv.h, HV_${symbol}_GUID`,
	};
}
