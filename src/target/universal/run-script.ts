import { unsupported } from "../../bytes/errors.js";
import type { ControllerModel, Machine } from "../../machine/machine.js";
import { fileBase } from "../file-name.js";

const NICS: Readonly<Record<string, string>> = { "virtio-net": "virtio-net-pci", pcnet32: "pcnet" };

/** How QEMU attaches a disk to a controller of that model. */
const INTERFACES: Readonly<Partial<Record<ControllerModel, string>>> = {
	"virtio-blk": "virtio",
	ahci: "ide",
	ide: "ide",
	"virtio-scsi": "none",
};

/** A script that starts the machine in QEMU, whatever folder it is called from. */
export function runScript({ name, uuid, arch, cpus, memory, firmware, controllers, disks, nics }: Machine): string {
	const [model = "virtio-blk"] = controllers.map((controller) => controller.model);
	const bus = INTERFACES[model];
	if (bus === undefined) throw unsupported(`QEMU is not told here how to attach a controller of model ${model}`);
	const scsi = model === "virtio-scsi";
	const options = [
		`-name ${fileBase(name)}`,
		// Q35 has AHCI where PC has IDE.
		`-machine ${model === "ide" ? "pc" : "q35"} -accel kvm -accel tcg -cpu max`,
		`-smp ${cpus} -m ${Math.ceil(memory / 2 ** 20)}`,
		...(uuid === undefined ? [] : [`-uuid ${uuid}`]),
		...(firmware === "uefi" ? ['-drive if=pflash,unit=0,format=raw,readonly=on,file="$firmware"'] : []),
		...(scsi ? ["-device virtio-scsi-pci"] : []),
		...disks.flatMap(({ file = "" }, index) => [
			`-drive id=disk${index},if=${bus},format=vpc,file=${file}`,
			...(scsi ? [`-device scsi-hd,drive=disk${index}`] : []),
		]),
		...nics.map(({ model, mac }) => `-nic user,model=${NICS[model] ?? model}${mac === undefined ? "" : `,mac=${mac}`}`),
		...(nics.length === 0 ? ["-nic none"] : []),
	];
	const find = `for firmware in "$OVMF" /usr/share/OVMF/OVMF_CODE_4M.fd /usr/share/OVMF/OVMF_CODE.fd /usr/share/edk2/ovmf/OVMF_CODE.fd \\
	/usr/share/edk2/x64/OVMF_CODE.4m.fd /usr/share/qemu/ovmf-x86_64-code.bin; do
	[ -f "$firmware" ] && break
done
[ -f "$firmware" ] || { echo "UEFI firmware for QEMU is missing: install OVMF, or set OVMF to its file." >&2; exit 1; }
`;
	return `#!/bin/sh
# Starts the machine in QEMU. Options of your own are added: sh run.sh -nographic
cd "$(dirname "$0")" || exit 1
${firmware === "uefi" ? find : ""}exec qemu-system-${arch === "aarch64" ? "aarch64" : "x86_64"} \\
	${options.join(" \\\n\t")} "$@"
`;
}
