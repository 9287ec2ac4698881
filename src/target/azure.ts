import type { Machine } from "../machine/machine.js";
import { label } from "./file-name.js";
import { sizeIn, sizeToChoose } from "./folder.js";
import { scripted } from "./scripted.js";
import { command, shellQuoted, shellScript } from "./shell.js";

const MEBIBYTE = 2 ** 20;
const FOOTER = 512;
/**
 * Whole mebibytes, with the footer behind them: https://learn.microsoft.com/azure/virtual-machines/linux/create-upload-generic
 * At least 20: https://learn.microsoft.com/rest/api/compute/disks/create-or-update#creationdata
 */
const KIND = { extension: "vhd", format: "vhd", variant: "fixed", multiple: MEBIBYTE, least: 20 * MEBIBYTE };

export const azure = scripted({
	id: "azure",
	hypervisors: ["azure"],
	summary: "fixed .vhd disks of whole MiB and import.sh, which uploads them as managed disks and creates the machine",
	imported: "sh import.sh RESOURCE_GROUP LOCATION SIZE, by the Azure CLI and azcopy",
	judged:
		"disks by qemu-img and Azure's rules for sizes; the script by sh and shellcheck, its calls by a stand-in for the CLI; the import by nobody",
	disks: KIND,
	withoutSecureBoot: true,
	texts: (machine) => ({ "import.sh": importScript(machine) }),
	note: (machine, { hypervisor }) => ({
		command: { shell: "sh", line: "sh import.sh RESOURCE_GROUP LOCATION SIZE" },
		remarks: [
			`Log in with az login first. ${sizeToChoose(machine, "a SIZE such as Standard_B2s")}`,
			"The files are sparse: copy them with a tool that keeps holes, or upload them from here.",
			...hypervisor.notes,
		],
	}),
});

function importScript({ name, firmware, disks }: Machine): string {
	const vm = label(name);
	const nameOf = (index: number) => `${vm}-disk${index + 1}`;
	const generation = firmware === "uefi" ? "V2" : "V1";
	const uploads = disks.map(({ file = "", capacity = 0 }, index) => {
		const system = index === 0 ? ` --os-type Linux --hyper-v-generation ${generation}` : "";
		return `upload ${shellQuoted(file)} ${nameOf(index)} ${sizeIn(KIND, capacity) + FOOTER}${system}`;
	});
	const data = disks.slice(1).map((_, index) => nameOf(index + 1));
	const where = '--resource-group "$resource_group"';
	return shellScript({
		name: "import.sh",
		purpose: ["Uploads the disks beside it as managed disks, and creates a machine that starts from the first."],
		parameters: ["RESOURCE_GROUP", "LOCATION", "SIZE"],
		body: [
			"upload() {",
			"	file=$1 disk=$2 bytes=$3",
			"	shift 3",
			`	az disk create ${where} --location "$location" --name "$disk" --sku Standard_LRS --for-upload --upload-size-bytes "$bytes" "$@" --output none`,
			`	sas=$(az disk grant-access ${where} --name "$disk" --access-level Write --duration-in-seconds 86400 --query 'accessSas || accessSAS' --output tsv)`,
			'	azcopy copy "$file" "$sas" --blob-type PageBlob',
			`	az disk revoke-access ${where} --name "$disk"`,
			"}",
			...uploads,
			"",
			command(
				`az vm create ${where}`,
				'--location "$location"',
				'--size "$size"',
				`--name ${vm}`,
				"--os-type Linux",
				`--attach-os-disk ${nameOf(0)}`,
				...(data.length === 0 ? [] : [`--attach-data-disks ${data.join(" ")}`]),
			),
		],
	});
}
