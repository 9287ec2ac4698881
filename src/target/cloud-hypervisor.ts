import { scripted } from "./scripted.js";
import { command, shellScript } from "./shell.js";

/** https://www.cloudhypervisor.org/docs/prologue/commands/ */
export const cloudHypervisor = scripted({
	id: "cloud-hypervisor",
	hypervisors: ["cloud-hypervisor"],
	summary: "raw disks and run.sh, which starts the machine",
	imported: "sh run.sh FIRMWARE",
	judged:
		"disks by qemu-img; the script by sh and shellcheck, its calls by a stand-in for cloud-hypervisor; the start by nobody",
	disks: { format: "raw", extension: "img" },
	withoutSecureBoot: true,
	texts: ({ cpus, memory, disks, nics }) => ({
		"run.sh": shellScript({
			name: "run.sh",
			purpose: ["Starts the machine of the disks beside it. FIRMWARE is the file CLOUDHV.fd, or hypervisor-fw."],
			parameters: ["FIRMWARE"],
			body: [
				// A raw image that it has to guess the format of has a first sector that the guest cannot write, from version 51 on.
				'case "$(cloud-hypervisor --help)" in *image_type*) raw=,image_type=raw ;; *) raw= ;; esac',
				command(
					"exec cloud-hypervisor",
					'--firmware "$firmware"',
					`--cpus boot=${cpus}`,
					`--memory size=${Math.ceil(memory / 2 ** 20)}M`,
					`--disk ${disks.map(({ file }) => `"path=${file}$raw"`).join(" ")}`,
					...(nics.length === 0
						? []
						: [`--net ${nics.map(({ mac }) => (mac === undefined ? "tap=" : `tap=,mac=${mac}`)).join(" ")}`]),
					"--rng src=/dev/urandom",
					"--serial tty",
					"--console off",
				),
			],
		}),
	}),
	note: (_, { hypervisor }) => ({
		command: { shell: "sh", line: "sh run.sh /usr/share/cloud-hypervisor/CLOUDHV.fd" },
		remarks: [
			"CLOUDHV.fd is EDK II for Cloud Hypervisor; rust-hypervisor-fw (hypervisor-fw) is smaller and starts the kernel that a Boot Loader Specification entry names. Give the full path of either.",
			"Its network cards are TAP devices that Cloud Hypervisor makes, for which it needs the capability CAP_NET_ADMIN.",
			...hypervisor.notes,
		],
	}),
});
