import type { Machine } from "../machine/machine.js";
import { attached } from "./attach.js";
import { diskFiles, fileBase } from "./file-name.js";
import { writeDisks, writeImportNote, writeText } from "./folder.js";
import type { Appliance, Layout } from "./target.js";

/** VHDX disks and a script that makes the machine: Hyper-V's own configuration has an undocumented checksum. */
export const hyperv: Layout = {
	id: "hyperv",
	hypervisors: ["hyperv-gen1", "hyperv-gen2"],
	summary: ".vhdx disks and import.ps1, which creates the machine in one command",
	imported: "import.ps1 on the host",
	judged: "disks by qemu-img; the script by golden text and Microsoft's quoting rules",
	async write(appliance, folder, options) {
		const base = fileBase(appliance.machine.name);
		const diskFile = diskFiles(base, "vhdx");
		const tpms = appliance.hypervisor.id === "hyperv-gen2" ? (["2.0"] as const) : [];
		const machine = attached(appliance, { file: diskFile, tpms });
		await writeDisks(appliance, folder, { format: "vhdx", variant: "dynamic" }, diskFile, options);
		// Windows PowerShell 5.1 reads a file without a byte order mark in the host's own code page.
		await writeText(folder, "import.ps1", `\ufeff${importScript(appliance, machine)}`);
		await writeImportNote(
			appliance,
			folder,
			{
				command: { shell: "powershell", line: "powershell -ExecutionPolicy Bypass -File .\\import.ps1" },
				remarks: [
					"Copy the folder to where the machine shall live first: its disks are used in place.",
					"Add -SwitchName 'Default Switch' to choose the virtual switch without being asked, -Name to name the machine.",
				],
			},
			machine.lost,
		);
	},
};

const MEBIBYTE = 2 ** 20;
/** Hyper-V takes memory in steps of 2 MiB, at least 32 MiB. */
const memoryOf = ({ memory }: Machine) => Math.max(32, Math.ceil(memory / (2 * MEBIBYTE)) * 2) * MEBIBYTE;

/** What creates the machine from the disks beside it. */
export function importScript({ hypervisor, attach }: Appliance, machine: Machine): string {
	const generation = hypervisor.id === "hyperv-gen1" ? 1 : 2;
	const disks = machine.disks.map(({ file = "", controller, unit }) => {
		const place = machine.controllers.find(({ id }) => id === controller);
		const type = place?.model === "hyperv-scsi" ? "SCSI" : "IDE";
		return `	@{ File = ${quote(file)}; ControllerType = '${type}'; ControllerNumber = ${place?.index ?? 0}; ControllerLocation = ${unit ?? 0} }`;
	});
	const adapters = machine.nics.map(({ mac, network = "" }) => {
		const address = quote(mac?.replaceAll(":", "").toUpperCase() ?? "");
		return `	@{ Mac = ${address}; Switch = ${quote(network)} }`;
	});
	const legacy = attach.network === "tulip" ? " -IsLegacy $true" : "";
	const firmware = [
		"	$boot = Get-VMHardDiskDrive -VM $vm | Where-Object { $_.ControllerNumber -eq 0 -and $_.ControllerLocation -eq 0 }",
		machine.secureBoot
			? "	Set-VMFirmware -VM $vm -FirstBootDevice $boot -EnableSecureBoot On -SecureBootTemplate MicrosoftUEFICertificateAuthority"
			: "	Set-VMFirmware -VM $vm -FirstBootDevice $boot -EnableSecureBoot Off",
		...(machine.tpm === undefined
			? []
			: ["	Set-VMKeyProtector -VM $vm -NewLocalKeyProtector", "	Enable-VMTPM -VM $vm"]),
	];
	return `#Requires -Modules Hyper-V
# Creates the virtual machine whose disks lie beside this script. They are used in place.
param(
	[string] $Name = ${quote(machine.name)},
	# Virtual switch for adapters that name none; asked for when it is not given. '' leaves them unconnected.
	[string] $SwitchName
)
$ErrorActionPreference = 'Stop'

$disks = @(
${disks.join("\n")}
)
$adapters = @(
${adapters.join("\n")}
)

foreach ($disk in $disks) {
	$disk.Path = Join-Path $PSScriptRoot $disk.File
	if (-not (Test-Path -LiteralPath $disk.Path)) { throw "$($disk.File) is missing beside this script." }
}
if (Get-VM | Where-Object { $_.Name -eq $Name }) { throw "There is a machine named '$Name' already: choose another -Name." }
if (($adapters | Where-Object { -not $_.Switch }) -and -not $PSBoundParameters.ContainsKey('SwitchName')) {
	Get-VMSwitch | Format-Table 'Name', 'SwitchType' | Out-Host
	$SwitchName = Read-Host 'Name of the virtual switch to connect to (empty for none)'
}

$vm = New-VM -Name $Name -Generation ${generation} -MemoryStartupBytes ${memoryOf(machine)} -NoVHD
try {
	Set-VM -VM $vm -ProcessorCount ${machine.cpus} -StaticMemory -CheckpointType Disabled
	foreach ($disk in $disks) {
		Add-VMHardDiskDrive -VM $vm -ControllerType $disk.ControllerType -ControllerNumber $disk.ControllerNumber -ControllerLocation $disk.ControllerLocation -Path $disk.Path
	}
	Get-VMNetworkAdapter -VM $vm | Remove-VMNetworkAdapter
	$number = 0
	foreach ($adapter in $adapters) {
		$number++
		$added = Add-VMNetworkAdapter -VM $vm -Name "Network Adapter $number"${legacy} -Passthru
		if ($adapter.Mac) { Set-VMNetworkAdapter -VMNetworkAdapter $added -StaticMacAddress $adapter.Mac }
		$connectTo = if ($adapter.Switch) { $adapter.Switch } else { $SwitchName }
		if ($connectTo) { Connect-VMNetworkAdapter -VMNetworkAdapter $added -SwitchName $connectTo }
	}
${generation === 2 ? `${firmware.join("\n")}\n` : ""}} catch {
	Remove-VM -VM $vm -Force
	throw
}
"Created '$Name'. Start it with: Start-VM -Name '$Name'"
`;
}

/** A PowerShell string that means exactly `text`: typographic quotation marks end strings as well. */
const quote = (text: string) =>
	// oxlint-disable-next-line no-control-regex -- a line break would not end the string, but has no place in a name
	`'${text.replaceAll(/[\u0000-\u001f\u007f]/g, " ").replaceAll(/['\u2018-\u201b]/g, (mark) => mark + mark)}'`;
