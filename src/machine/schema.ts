import { z } from "zod";

const bytes = z.int().nonnegative().describe("bytes");

/** {@link Machine} as a document. */
export const machineSchema = z.strictObject({
	name: z.string(),
	description: z.string().optional(),
	uuid: z.string().optional().describe("of the SMBIOS"),
	arch: z.string(),
	firmware: z.enum(["bios", "uefi"]),
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

/** Published as schemas/machine.schema.json. */
export const machineJsonSchema = () => ({
	...z.toJSONSchema(machineSchema, { target: "draft-2020-12" }),
	$id: "https://anyvisor.dev/schemas/machine.schema.json",
	title: "What anyvisor machine show --json prints",
});
