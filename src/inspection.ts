import type { LinuxGuest, LinuxKernel } from "./guest/guest.js";
import type { Inspection } from "./inspection-schema.js";
import type { Machine } from "./machine/machine.js";
import type { Contents, Judgement, MountedVolume, Vm } from "./pipeline.js";

/** The document, from what was found and how it was judged. */
export function inspection(vm: Vm, machine: Machine, contents: Contents, verdicts: readonly Judgement[]): Inspection {
	const { guest } = contents;
	return {
		source: { name: vm.name, size: vm.size, kind: vm.kind },
		machine: structuredClone(machine) as Inspection["machine"],
		disks: vm.disks.map(({ name, format, size, sectorSize }) => ({ name, format, size, sectorSize })),
		volumes: contents.volumes.map(volumeDocument),
		guest: guestDocument(guest),
		verdicts: verdicts.map(
			({ verdict, interfaces, changes }) =>
				structuredClone({ ...verdict, interfaces, changes }) as Inspection["verdicts"][number],
		),
	};
}

export const volumeDocument = ({
	disk,
	volume,
	filesystem,
	recognised,
	uuid,
	problem,
	mount,
}: MountedVolume): Inspection["volumes"][number] => ({
	disk,
	number: volume.number,
	scheme: volume.scheme,
	device: volume.assembled?.devices[0] ?? null,
	at: volume.at,
	size: volume.size,
	type: volume.type,
	filesystem: filesystem?.kind ?? recognised?.name ?? null,
	uuid,
	label: filesystem?.label ?? "",
	mount: mount ?? null,
	problem: problem?.message ?? null,
});

function guestDocument(guest: LinuxGuest): Inspection["guest"] {
	const { system, id, version, name, arch, firmware, generators, network, naming, problems } = guest;
	const kernel = (kernel: LinuxKernel) => ({
		version: kernel.version,
		image: kernel.image,
		default: kernel.version === guest.defaultKernel,
		cmdline: kernel.cmdline,
		modulesDirectory: kernel.modulesDirectory,
		initramfs: kernel.initramfs
			? {
					path: kernel.initramfs.path,
					size: kernel.initramfs.size,
					generator: kernel.initramfs.generator,
					systemd: kernel.initramfs.systemd,
					compression: kernel.initramfs.segments.map(({ compression }) => compression),
					modules: [...kernel.initramfs.modules.keys()].sort(),
				}
			: null,
		problems: [...kernel.problems],
	});
	return {
		...{ system, id, version, name, arch, firmware: [...firmware], bootLoader: guest.boot.kind },
		esp: guest.esp ? { ...guest.esp, loaders: [...guest.esp.loaders], signed: [...guest.esp.signed] } : null,
		kernels: guest.kernels.map(kernel),
		generators: [...generators],
		network: structuredClone(network) as Inspection["guest"]["network"],
		naming: structuredClone(naming) as Inspection["guest"]["naming"],
		problems: [...problems],
	};
}
