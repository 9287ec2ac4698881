import { z } from "zod";
import { roleSchema } from "../hypervisor/schema.js";

/** {@link DeviceVerdict} as a schema; a test holds the two together. */
export const deviceVerdictSchema = z.strictObject({
	role: roleSchema,
	device: z.string().describe("Id of the device model."),
	driver: z.string().nullable().describe("Module that binds the device; null when the guest has none."),
	state: z
		.enum(["builtin", "initramfs", "installed", "absent"])
		.describe("Where the drivers are that the device needs: the worst among them."),
	works: z.boolean().describe("Will it work as the guest is."),
	missing: z.array(z.string()).describe("Modules that have to enter the initramfs for it to work, in load order."),
	verified: z.boolean().describe("False where it rests on a fact that nobody has verified."),
	chosen: z.boolean().describe("Attached by the package that expand writes."),
	note: z.string().exactOptional().describe("Why it does not work although drivers are present."),
});

/** {@link Verdict} as a schema; a test holds the two together. */
export const verdictSchema = z.strictObject({
	hypervisor: z.string().describe("Id of the hypervisor."),
	title: z.string(),
	verdict: z
		.enum(["ready", "fixable", "blocked"])
		.describe("ready: boots from its disk as it is. fixable: will after preparing. blocked: cannot."),
	devices: z.array(deviceVerdictSchema),
	reasons: z.array(z.string()).describe("Sentences, the decisive one first."),
});

const interfaceState = z.enum(["kept", "renamed", "unknown", "mac", "no-card"]);

/** {@link InterfaceVerdict} as a schema, with what `inspect` adds to it. */
export const interfaceSchema = z.strictObject({
	interface: z.string().describe("As the configuration has it: a name, patterns of names, or a MAC."),
	files: z.array(z.string()).describe("Where it is configured."),
	method: z.enum(["dhcp", "static", "unknown"]),
	addresses: z.array(z.string()),
	card: z
		.int()
		.nonnegative()
		.nullable()
		.describe("Number of its card, from 0; null where there is none or none known."),
	name: z.string().nullable().describe("The name that it gets there; null where that is not known."),
	state: interfaceState.describe(
		"kept: its configuration applies. renamed: it is called otherwise. unknown: nobody can say. mac: its card gets another MAC. no-card: the machine has no card for it.",
	),
	why: z.string().optional().describe("Why it is not known."),
	prepared: interfaceState.describe("The state once the guest is prepared for this hypervisor."),
	text: z.string().describe("A sentence or two for a person."),
});
