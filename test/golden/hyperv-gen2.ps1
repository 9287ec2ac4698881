#Requires -Modules Hyper-V
# Creates the virtual machine whose disks lie beside this script. They are used in place.
param(
	[string] $Name = 'Web server №1',
	# Virtual switch for adapters that name none; asked for when it is not given. '' leaves them unconnected.
	[string] $SwitchName
)
$ErrorActionPreference = 'Stop'

$disks = @(
	@{ File = 'Web-server-No1.vhdx'; ControllerType = 'SCSI'; ControllerNumber = 0; ControllerLocation = 0 }
	@{ File = 'Web-server-No1-disk2.vhdx'; ControllerType = 'SCSI'; ControllerNumber = 0; ControllerLocation = 1 }
)
$adapters = @(
	@{ Mac = '00155D010203'; Switch = '' }
	@{ Mac = ''; Switch = '' }
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

$vm = New-VM -Name $Name -Generation 2 -MemoryStartupBytes 2147483648 -NoVHD
try {
	Set-VM -VM $vm -ProcessorCount 2 -StaticMemory -CheckpointType Disabled
	foreach ($disk in $disks) {
		Add-VMHardDiskDrive -VM $vm -ControllerType $disk.ControllerType -ControllerNumber $disk.ControllerNumber -ControllerLocation $disk.ControllerLocation -Path $disk.Path
	}
	Get-VMNetworkAdapter -VM $vm | Remove-VMNetworkAdapter
	$number = 0
	foreach ($adapter in $adapters) {
		$number++
		$added = Add-VMNetworkAdapter -VM $vm -Name "Network Adapter $number" -Passthru
		if ($adapter.Mac) { Set-VMNetworkAdapter -VMNetworkAdapter $added -StaticMacAddress $adapter.Mac }
		$connectTo = if ($adapter.Switch) { $adapter.Switch } else { $SwitchName }
		if ($connectTo) { Connect-VMNetworkAdapter -VMNetworkAdapter $added -SwitchName $connectTo }
	}
	$boot = Get-VMHardDiskDrive -VM $vm | Where-Object { $_.ControllerNumber -eq 0 -and $_.ControllerLocation -eq 0 }
	Set-VMFirmware -VM $vm -FirstBootDevice $boot -EnableSecureBoot Off
} catch {
	Remove-VM -VM $vm -Force
	throw
}
"Created '$Name'. Start it with: Start-VM -Name '$Name'"
