import { stringify } from "yaml";
import type { Machine } from "../machine/machine.js";
import { label } from "./file-name.js";
import { cardsLeftOut, tpmForgets, virtualMachine } from "./kubevirt.js";
import { scripted } from "./scripted.js";
import { command, shellScript } from "./shell.js";

const GIBIBYTE = 2 ** 30;

/**
 * Images of its own kind, with a storage class each, of which volumes are made:
 * https://docs.harvesterhci.io/v1.5/image/upload-image, https://docs.harvesterhci.io/v1.5/api/create-namespaced-virtual-machine-image
 */
export const harvester = scripted({
	id: "harvester",
	hypervisors: ["harvester"],
	summary: "qcow2 disks, a VirtualMachine, and import.sh, which makes images and volumes of them",
	imported: "sh import.sh URL NAMESPACE, by kubectl",
	judged:
		"disks by qemu-img, the VirtualMachine by types made from KubeVirt's OpenAPI; the script by sh and shellcheck, its calls by a stand-in; the import by nobody",
	disks: { format: "qcow2", extension: "qcow2" },
	uuid: true,
	tpms: ["2.0"],
	texts: (machine, appliance) => ({
		"vm.yaml": stringify(
			virtualMachine(machine, appliance, (name) => ({ persistentVolumeClaim: { claimName: name } })),
		),
		"import.sh": importScript(machine),
	}),
	note: (machine) => ({
		command: { shell: "sh", line: "sh import.sh URL NAMESPACE" },
		remarks: [
			"URL is where a web server shows this folder to the cluster, without a slash at its end. kubectl must use the cluster's kubeconfig, which its dashboard offers under Support.",
			`Start ${label(machine.name)} in the dashboard, or with virtctl start.`,
			...cardsLeftOut(machine),
			...tpmForgets(machine),
		],
	}),
});

function importScript(machine: Machine): string {
	const disks = machine.disks.flatMap(({ file = "", capacity = 0 }, index) => [
		`disk ${label(machine.name)}-disk${index + 1} "$url/${file}" ${Math.max(1, Math.ceil(capacity / GIBIBYTE))}Gi`,
	]);
	const indented = (document: object) => stringify(document).trimEnd();
	return shellScript({
		name: "import.sh",
		purpose: ["Makes an image and a volume of each disk beside it, which the cluster fetches, and the machine."],
		parameters: ["URL", "NAMESPACE"],
		body: [
			"disk() {",
			"	name=$1 source=$2 size=$3",
			'	kubectl apply --namespace="$namespace" --filename=- <<END',
			indented({
				apiVersion: "harvesterhci.io/v1beta1",
				kind: "VirtualMachineImage",
				metadata: { name: "$name" },
				spec: { displayName: "$name", sourceType: "download", url: "$source" },
			}),
			"END",
			`	${command(
				'kubectl wait --namespace="$namespace" "virtualmachineimages.harvesterhci.io/$name"',
				"	--for=condition=Imported --timeout=24h",
			)}`,
			`	class=$(${command(
				'kubectl get --namespace="$namespace" "virtualmachineimages.harvesterhci.io/$name"',
				"	--output=jsonpath='{.status.storageClassName}')",
			)}`,
			'	kubectl apply --namespace="$namespace" --filename=- <<END',
			indented({
				apiVersion: "v1",
				kind: "PersistentVolumeClaim",
				metadata: { name: "$name", annotations: { "harvesterhci.io/imageId": "$namespace/$name" } },
				spec: {
					accessModes: ["ReadWriteMany"],
					resources: { requests: { storage: "$size" } },
					storageClassName: "$class",
					volumeMode: "Block",
				},
			}),
			"END",
			"}",
			...disks,
			'kubectl apply --namespace="$namespace" --filename=vm.yaml',
		],
	});
}
