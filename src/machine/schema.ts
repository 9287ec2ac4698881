import { z } from "zod";

const bytes = z.int().nonnegative().describe("bytes");

const text = z.string().optional();

const product = z.strictObject({
	class: text,
	instance: text,
	product: text,
	vendor: text,
	version: text,
	fullVersion: text,
	productUrl: text,
	vendorUrl: text,
	appUrl: text,
	properties: z.array(
		z.strictObject({
			key: z.string(),
			type: z.string(),
			qualifiers: text,
			value: text,
			userConfigurable: z.literal(true).optional(),
			password: z.literal(true).optional(),
			label: text,
			description: text,
			category: text,
		}),
	),
});

/** {@link Machine} as a document. */
export const machineSchema = z.strictObject({
	name: z.string(),
	description: z.string().optional(),
	uuid: z.string().optional().describe("of the SMBIOS"),
	arch: z.string(),
	firmware: z.enum(["bios", "uefi"]),
	secureBoot: z.boolean(),
	tpm: z.enum(["1.2", "2.0"]).optional(),
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
	products: z.array(product).optional(),
	eulas: z.array(z.string()).optional(),
	propertyTransport: z.array(z.string()).optional(),
	origin: z.string(),
	lost: z.array(z.string()),
});

/** Published as schemas/machine.schema.json. */
export const machineJsonSchema = () => ({
	...z.toJSONSchema(machineSchema, { target: "draft-2020-12" }),
	$id: "https://anyvisor.dev/schemas/machine.schema.json",
	title: "What anyvisor machine show --json prints",
});
