import { z } from "zod";
import { verdictSchema } from "./driver/schema.js";
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
			device: z
				.string()
				.nullable()
				.describe("the guest's name for a volume that is assembled from others, such as /dev/vg/root"),
			at: bytes,
			size: bytes,
			type: z.string(),
			filesystem: z.string().nullable(),
			uuid: z.string(),
			label: z.string(),
			mount: z.string().nullable(),
			problem: z.string().nullable().describe("why a file system that is there cannot be read"),
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
		esp: z
			.strictObject({
				mount: z.string(),
				fallback: z.boolean().describe("a firmware that knows no boot entry finds a loader"),
				loaders: z.array(z.string()),
				signed: z.array(z.string()).describe("loaders that are signed for Secure Boot, by whomever"),
			})
			.nullable()
			.describe("the EFI system partition"),
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
