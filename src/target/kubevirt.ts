import { stringify } from "yaml";
import type { Machine } from "../machine/machine.js";
import { label } from "./file-name.js";
import { scripted } from "./scripted.js";
import { command, shellQuoted, shellScript } from "./shell.js";
import type { Appliance } from "./target.js";

const MEBIBYTE = 2 ** 20;
const BUSES: Readonly<Record<string, string>> = { "virtio-blk": "virtio", "virtio-scsi": "scsi", ahci: "sata" };
/** The file of the machine. */
const VM = "vm.yaml";

/** https://kubevirt.io/user-guide/storage/containerized_data_importer/ */
export const kubevirt = scripted({
	id: "kubevirt",
	hypervisors: ["kubevirt", "openshift"],
	summary:
		"qcow2 disks, a VirtualMachine, import.sh, which uploads them as DataVolumes, and Containerfiles for containerDisks",
	imported: "sh import.sh NAMESPACE, by virtctl and kubectl",
	judged:
		"disks by qemu-img, the VirtualMachine by types made from KubeVirt's OpenAPI; the script by sh and shellcheck, its calls by stand-ins; the import by nobody",
	disks: { format: "qcow2", extension: "qcow2" },
	uuid: true,
	tpms: ["2.0"],
	texts: (machine, appliance) => ({
		[VM]: stringify(virtualMachine(machine, appliance, (name) => ({ dataVolume: { name } }))),
		"import.sh": importScript(machine),
		...Object.fromEntries(machine.disks.map(({ file = "" }, index) => [containerfile(index), containerDisk(file)])),
	}),
	note: (machine) => ({
		command: { shell: "sh", line: "sh import.sh NAMESPACE" },
		remarks: [
			"virtctl must reach the upload proxy of the Containerized Data Importer: its options --uploadproxy-url and --insecure, and --storage-class, are added in import.sh where they are needed.",
			`Start it with virtctl start ${label(machine.name)}.`,
			`To run it from a registry instead, forgetting at each start what it wrote: podman build -t IMAGE -f ${containerfile(0)} ., podman push IMAGE, and in ${VM} containerDisk: { image: IMAGE } instead of dataVolume.`,
			...cardsLeftOut(machine),
			...tpmForgets(machine),
		],
	}),
});

const diskName = ({ name }: Machine, index: number) => `${label(name)}-disk${index + 1}`;
const containerfile = (index: number) => (index === 0 ? "Containerfile" : `Containerfile.disk${index + 1}`);
/** 107 is the user that QEMU runs as there. */
const containerDisk = (file: string) => `FROM scratch\nADD --chown=107:107 ${file} /disk/\n`;

/** The network of pods takes one card. */
export const cardsLeftOut = ({ nics }: Machine): string[] => {
	const others = nics.slice(1);
	if (others.length === 0) return [];
	const macs = others.map(({ mac }) => mac ?? "any MAC address").join(", ");
	return [
		`Its first network card is on the network of pods, which takes no other. Add the others (${macs}) by the cluster's NetworkAttachmentDefinitions.`,
	];
};

/** Its state is kept only where a cluster was given room for that: https://kubevirt.io/user-guide/compute/persistent_tpm_and_uefi_state/ */
export const tpmForgets = ({ tpm }: Machine): readonly string[] =>
	tpm === undefined
		? []
		: [
				"Its TPM forgets at each stop what was sealed in it. Where the cluster keeps the state of machines (vmStateStorageClass in the KubeVirt resource), replace tpm: {} by tpm: { persistent: true }.",
			];

/** https://kubevirt.io/api-reference/main/definitions.html#_v1_virtualmachine */
export function virtualMachine(machine: Machine, { attach }: Appliance, volume: (name: string) => object): object {
	const name = label(machine.name);
	const { uuid, cpus, memory, firmware, secureBoot, tpm } = machine;
	const [nic] = machine.nics;
	const bootloader = firmware === "uefi" ? { efi: { secureBoot } } : { bios: {} };
	return {
		apiVersion: "kubevirt.io/v1",
		kind: "VirtualMachine",
		metadata: { name },
		spec: {
			runStrategy: "Halted",
			template: {
				metadata: { labels: { "kubevirt.io/domain": name } },
				spec: {
					domain: {
						machine: { type: "q35" },
						cpu: { cores: cpus },
						memory: { guest: `${Math.ceil(memory / MEBIBYTE)}Mi` },
						firmware: { ...(uuid === undefined ? {} : { uuid }), bootloader },
						// The firmware guards its variables by it.
						...(secureBoot ? { features: { smm: { enabled: true } } } : {}),
						devices: {
							disks: machine.disks.map((_, index) => ({
								name: `disk${index + 1}`,
								bootOrder: index + 1,
								disk: { bus: BUSES[attach.disk] ?? "virtio" },
							})),
							...(tpm === undefined ? {} : { tpm: {} }),
							interfaces: nic === undefined ? [] : [card(nic.mac, attach.network)],
						},
					},
					networks: nic === undefined ? [] : [{ name: "default", pod: {} }],
					volumes: machine.disks.map((_, index) => ({
						name: `disk${index + 1}`,
						...volume(diskName(machine, index)),
					})),
				},
			},
		},
	};
}

const card = (mac: string | undefined, model: string) => ({
	name: "default",
	model: model === "virtio-net" ? "virtio" : model,
	masquerade: {},
	...(mac === undefined ? {} : { macAddress: mac }),
});

function importScript(machine: Machine): string {
	return shellScript({
		name: "import.sh",
		purpose: ["Uploads the disks beside it, each as a DataVolume, and creates the machine."],
		parameters: ["NAMESPACE"],
		body: [
			...machine.disks.map(({ file = "", capacity = 0 }, index) =>
				command(
					`virtctl image-upload dv ${diskName(machine, index)}`,
					'--namespace="$namespace"',
					`--size=${Math.ceil(capacity / MEBIBYTE)}Mi`,
					`--image-path=${shellQuoted(file)}`,
				),
			),
			`kubectl apply --namespace="$namespace" --filename=${VM}`,
		],
	});
}
