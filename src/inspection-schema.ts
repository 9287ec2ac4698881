import { z } from "zod";
import { interfaceSchema, verdictSchema } from "./driver/schema.js";
import { machineSchema } from "./machine/schema.js";
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
		addOnTo: z.string().optional().describe("unified kernel image; the path is that of a new add-on beside it"),
		modules: z.array(z.strictObject({ name: z.string(), bytes: bytes.describe("of its file in the guest, bytes") })),
		bytes,
		files: z.array(z.string()).optional().describe("that other changes write, and that go into the archive as well"),
	}),
	z.strictObject({ ...common, action: z.literal("write-file"), contents: z.string(), mode: z.int() }),
	z.strictObject({
		...common,
		action: z.literal("replace-lines"),
		lines: z.array(z.strictObject({ line: z.int().positive(), from: z.string(), to: z.string() })),
	}),
	z.strictObject({ ...common, action: z.literal("copy-file"), from: z.string() }),
]);

const initramfsSchema = z.strictObject({
	path: z.string(),
	size: bytes,
	generator: z.string(),
	systemd: z.boolean().describe("whether its init is systemd"),
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

const networkSchema = z.strictObject({
	by: z.string(),
	file: z.string(),
	interface: z.string().describe("interface name, a pattern of names, MAC, or *"),
	method: z.string(),
	addresses: z.array(z.string()).describe("static ones, as the file has them"),
	mac: z.string().optional().describe("MAC that the card must have as well"),
	renamedTo: z.string().optional().describe("name that the file itself gives to the card it matches"),
	renderer: z.string().optional().describe("who carries it out, where netplan names one"),
});

const namingSchema = z
	.strictObject({
		udev: z.int().nullable().describe("version of systemd's udev; null where there is none, or where it is not known"),
		scheme: z.string().nullable().describe("systemd's naming scheme, such as v252 or rhel-9.0"),
		by: z.enum(["links", "slots", "rules", "kernel"]),
		disabledBy: z.string().optional().describe("what turns predictable names off"),
		links: z
			.array(
				z.strictObject({
					file: z.string(),
					match: z.record(z.string(), z.array(z.string())),
					namePolicy: z.array(z.string()),
					name: z.string().optional(),
				}),
			)
			.describe(".link files in the order in which the first that matches counts"),
		rules: z.array(
			z.strictObject({
				file: z.string(),
				name: z.string(),
				mac: z.string().optional(),
				kernel: z.string().optional(),
				conditional: z.boolean().describe("it also asks for what is not known here"),
			}),
		),
		generator: z.boolean().describe("udev notes the name of every new MAC in its rules"),
		biosdevname: z.boolean(),
		cloudInit: z
			.strictObject({ networkDisabled: z.boolean(), datasources: z.array(z.string()) })
			.optional()
			.describe("it writes a network configuration at the first boot of what it takes for a new machine"),
	})
	.describe("how udev names network interfaces");

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
		network: z.array(networkSchema),
		naming: namingSchema,
		problems: z.array(z.string()),
	}),
	verdicts: z.array(verdictSchema.extend({ interfaces: z.array(interfaceSchema), changes: z.array(changeSchema) })),
});

/** Published as schemas/inspection.schema.json. */
export const inspectionJsonSchema = () => ({
	...z.toJSONSchema(inspectionSchema, { target: "draft-2020-12" }),
	$id: "https://anyvisor.dev/schemas/inspection.schema.json",
	title: "What anyvisor inspect --json prints",
});

export type Inspection = z.infer<typeof inspectionSchema>;
