import type { MachineFormat } from "../machine.js";
import { rootTag } from "../xml-head.js";
import { readOvf } from "./read.js";
import { writeOvf } from "./write.js";

/** Open Virtualization Format, DMTF DSP0243. https://www.dmtf.org/standards/ovf */
export const ovf: MachineFormat = {
	id: "ovf",
	matches(file) {
		const root = rootTag(file.bytes);
		return root?.name === "Envelope" && /ovf\/envelope|schema\/ovf/.test(root.tag);
	},
	read: readOvf,
	write: (machine) => writeOvf(machine),
	says: ["product", "secure-boot", "floppy"],
	takes: {
		controllers: ["ide", "lsilogic", "lsisas1068", "buslogic", "pvscsi", "ahci", "nvme", "virtio-scsi"],
		nics: ["e1000", "e1000e", "vmxnet3", "pcnet32", "virtio-net"],
	},
};
