import type { Machine } from "../machine/machine.js";
import { fileBase, label } from "./file-name.js";
import { scripted } from "./scripted.js";
import { shellQuoted, shellScript } from "./shell.js";
import type { Appliance } from "./target.js";

const DISKS: Readonly<Record<string, string>> = { "virtio-blk": "virtio-blk", nvme: "nvme", ahci: "ahci-hd" };

/** A configuration of vm-bhyve: https://github.com/churchers/vm-bhyve/blob/master/sample-templates/config.sample */
export const bhyve = scripted({
	id: "bhyve",
	hypervisors: ["bhyve"],
	summary: "raw disks, a vm-bhyve configuration, and import.sh, which puts both where vm-bhyve looks",
	imported: "sh import.sh VM_DIR, then vm start",
	judged: "disks by qemu-img; configuration and script by sh and shellcheck; the import by nobody",
	disks: { format: "raw", extension: "img" },
	withoutSecureBoot: true,
	texts(machine, appliance) {
		const vm = label(machine.name);
		const files = [...machine.disks.map(({ file = "" }) => file), `${vm}.conf`];
		return {
			[`${vm}.conf`]: configuration(machine, appliance),
			"import.sh": shellScript({
				name: "import.sh",
				purpose: ["Copies the machine to the folder of vm-bhyve, the vm_dir of /etc/rc.conf."],
				parameters: ["VM_DIR"],
				body: [
					`mkdir "$vm_dir/${vm}"`,
					`cp ${files.map(shellQuoted).join(" ")} "$vm_dir/${vm}/"`,
					`echo "Start it with: vm start ${vm}"`,
				],
			}),
		};
	},
	note: (machine) => ({
		command: { shell: "sh", line: "sh import.sh VM_DIR" },
		remarks: [
			"VM_DIR is the folder of vm-bhyve: /zroot/vm, for example. The firmware is the package edk2-bhyve.",
			"Its network cards are connected to the switch named public; change that in the configuration.",
			`Without vm-bhyve, what ${label(machine.name)}.conf says are bhyve's own options: -c, -m, -s, -l bootrom.`,
		],
	}),
});

function configuration({ name, cpus, memory, disks, nics }: Machine, { attach }: Appliance): string {
	// vm-bhyve reads it with sysrc, which runs it as a script: nothing of the machine's that is not a plain word goes in.
	const settings: (readonly [string, string])[] = [
		["loader", "uefi"],
		["cpu", String(cpus)],
		["memory", `${Math.ceil(memory / 2 ** 20)}M`],
		...disks.flatMap(({ file = "" }, index): (readonly [string, string])[] => [
			[`disk${index}_type`, DISKS[attach.disk] ?? attach.disk],
			[`disk${index}_name`, file],
			[`disk${index}_dev`, "file"],
		]),
		...nics.flatMap(({ mac }, index): (readonly [string, string])[] => [
			[`network${index}_type`, attach.network],
			[`network${index}_switch`, "public"],
			...(mac === undefined ? [] : [[`network${index}_mac`, mac] as const]),
		]),
	];
	return `# ${fileBase(name)}\n${settings.map(([key, value]) => `${key}="${value}"\n`).join("")}`;
}
