import { z } from "zod";
import { verdictSchema } from "./driver/schema.js";
import type { LinuxGuest, LinuxKernel } from "./guest/guest.js";
import type { Machine } from "./machine/machine.js";
import type { Contents, Judgement, Vm } from "./pipeline.js";
import { rules } from "./prepare/change.js";

const bytes = z.int().nonnegative().describe("bytes");
const firmware = z.enum(["bios", "uefi"]);
const common = { rule: z.enum(rules), path: z.string().describe("path in the guest"), why: z.string() };

/** {@link Change} as a document. */
const changeSchema = z.discriminatedUnion("action", [
	z.strictObject({
		...common,
		action: z.literal("append-modules"),
		kernel: z.string(),
		modules: z.array(z.string()),
		bytes,
	}),
	z.strictObject({ ...common, action: z.literal("write-file"), contents: z.string(), mode: z.int() }),
	z.strictObject({
		...common,
		action: z.literal("replace-lines"),
		lines: z.array(z.strictObject({ line: z.int().positive(), from: z.string(), to: z.string() })),
	}),
	z.strictObject({ ...common, action: z.literal("copy-file"), from: z.string() }),
]);

const machineSchema = z.strictObject({
	name: z.string(),
	description: z.string().optional(),
	arch: z.string(),
	firmware,
	secureBoot: z.boolean(),
	cpus: z.int().positive(),
	memory: bytes,
	controllers: z.array(z.strictObject({ id: z.string(), model: z.string(), index: z.int() })),
	disks: z.array(
		z.strictObject({
			id: z.string(),
			kind: z.enum(["disk", "cdrom", "floppy"]),
			file: z.string().optional(),
			capacity: bytes.optional(),
			controller: z.string().optional(),
			unit: z.int().optional(),
		}),
	),
	nics: z.array(z.strictObject({ model: z.string(), mac: z.string().optional(), network: z.string().optional() })),
	origin: z.string(),
	lost: z.array(z.string()),
});

const initramfsSchema = z.strictObject({
	path: z.string(),
	size: bytes,
	generator: z.string(),
	compression: z.array(z.string()).describe("of each concatenated archive, in order"),
	modules: z.array(z.string()),
});

const kernelSchema = z.strictObject({
	version: z.string(),
	image: z.string(),
	default: z.boolean(),
	cmdline: z.string(),
	modulesDirectory: z.string(),
	initramfs: initramfsSchema.nullable(),
	problems: z.array(z.string()),
});

/** What `anyvisor inspect --json` prints. */
export const inspectionSchema = z.strictObject({
	source: z.strictObject({ name: z.string(), size: bytes, kind: z.string() }),
	machine: machineSchema,
	disks: z.array(
		z.strictObject({
			name: z.string(),
			format: z.string(),
			size: bytes.describe("virtual size, bytes"),
			sectorSize: z.int(),
		}),
	),
	volumes: z.array(
		z.strictObject({
			disk: z.int().nonnegative(),
			number: z.int().nonnegative(),
			scheme: z.string(),
			at: bytes,
			size: bytes,
			type: z.string(),
			filesystem: z.string().nullable(),
			uuid: z.string(),
			label: z.string(),
			mount: z.string().nullable(),
		}),
	),
	guest: z.strictObject({
		system: z.literal("linux"),
		id: z.string(),
		version: z.string(),
		name: z.string(),
		arch: z.string(),
		firmware: z.array(firmware),
		bootLoader: z.string(),
		kernels: z.array(kernelSchema),
		generators: z.array(z.string()),
		network: z.array(z.strictObject({ by: z.string(), file: z.string(), interface: z.string(), method: z.string() })),
		problems: z.array(z.string()),
	}),
	verdicts: z.array(verdictSchema.extend({ changes: z.array(changeSchema) })),
});

/** Published as schemas/inspection.schema.json. */
export const inspectionJsonSchema = () => ({
	...z.toJSONSchema(inspectionSchema, { target: "draft-2020-12" }),
	$id: "https://anyvisor.dev/schemas/inspection.schema.json",
	title: "What anyvisor inspect --json prints",
});

export type Inspection = z.infer<typeof inspectionSchema>;

/** The document, from what was found and how it was judged. */
export function inspection(vm: Vm, machine: Machine, contents: Contents, verdicts: readonly Judgement[]): Inspection {
	const { guest } = contents;
	return {
		source: { name: vm.name, size: vm.size, kind: vm.kind },
		machine: structuredClone(machine) as Inspection["machine"],
		disks: vm.disks.map(({ name, format, size, sectorSize }) => ({ name, format, size, sectorSize })),
		volumes: contents.volumes.map(({ disk, volume, filesystem, recognised, mount }) => ({
			disk,
			number: volume.number,
			scheme: volume.scheme,
			at: volume.at,
			size: volume.size,
			type: volume.type,
			filesystem: filesystem?.kind ?? recognised ?? null,
			uuid: filesystem?.uuid ?? "",
			label: filesystem?.label ?? "",
			mount: mount ?? null,
		})),
		guest: guestDocument(guest),
		verdicts: verdicts.map(
			({ verdict, changes }) => structuredClone({ ...verdict, changes }) as Inspection["verdicts"][number],
		),
	};
}

function guestDocument(guest: LinuxGuest): Inspection["guest"] {
	const { system, id, version, name, arch, firmware, generators, network, problems } = guest;
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
					compression: kernel.initramfs.segments.map(({ compression }) => compression),
					modules: [...kernel.initramfs.modules].sort(),
				}
			: null,
		problems: [...kernel.problems],
	});
	return {
		...{ system, id, version, name, arch, firmware: [...firmware], bootLoader: guest.boot.kind },
		kernels: guest.kernels.map(kernel),
		generators: [...generators],
		network: network.map((fact) => ({ by: fact.by, file: fact.file, interface: fact.interface, method: fact.method })),
		problems: [...problems],
	};
}
