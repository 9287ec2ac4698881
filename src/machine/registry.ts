import { unsupported } from "../bytes/errors.js";
import { hypervXml } from "./hyperv-xml.js";
import { libvirt } from "./libvirt.js";
import type { DescriptorFile, Machine, MachineFormat, ReadOptions } from "./machine.js";
import { ovf } from "./ovf/ovf.js";
import { proxmox } from "./proxmox.js";
import { vbox } from "./vbox.js";
import { vmcx } from "./vmcx/vmcx.js";
import { vmx } from "./vmx.js";
import { xl } from "./xl.js";
import { xva } from "./xva/xva.js";

export const machineFormats: readonly MachineFormat[] = [ovf, vmx, vbox, libvirt, proxmox, xl, xva, vmcx, hypervXml];

/** The format that recognises the descriptor by its content, if any does. */
export const machineFormatOf = (file: DescriptorFile) => machineFormats.find((format) => format.matches(file));

/**
 * Reads a descriptor of any known format.
 *
 * @throws `unsupported` where no format recognises it.
 */
export async function readMachine(file: DescriptorFile, options?: ReadOptions): Promise<Machine> {
	const format = machineFormatOf(file);
	if (format !== undefined) return format.read(file, options);
	throw unsupported(`${file.name} is no machine description that can be read`, {
		file: file.name,
		hint: `Known descriptions: ${machineFormats.map(({ id }) => id).join(", ")}.`,
	});
}
