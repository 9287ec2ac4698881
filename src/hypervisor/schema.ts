import { z } from "zod";

/** Longest text and list in a model file; what is longer is refused before it is looked at. */
const text = z.string().min(1).max(1000);
const list = <T extends z.ZodType>(item: T) => z.array(item).max(1000);
const id = z
	.string()
	.max(100)
	.regex(/^[a-z0-9][a-z0-9._-]*$/, "must be lower-case letters, digits, dots and hyphens");
const hex = (digits: number) =>
	z.string().regex(new RegExp(`^[0-9a-f]{${digits}}$`), `must be ${digits} lower-case hex digits without 0x`);
const module = z
	.string()
	.max(100)
	.regex(/^[A-Za-z0-9_]+$/, "must be a module name: no directory, no .ko, _ for -");

export const roleSchema = z.enum(["disk", "network", "video", "input", "console", "balloon", "channel", "rng", "bus"]);
const firmware = z.enum(["bios", "uefi"]);

const drivers = list(module)
	.exactOptional()
	.describe(
		"Linux modules known to bind it, the best first. Decides for built-in drivers and for matches by PCI class.",
	);

const address = z
	.discriminatedUnion("bus", [
		z.strictObject({
			bus: z.literal("pci"),
			vendor: hex(4),
			device: hex(4),
			subvendor: hex(4).exactOptional(),
			subdevice: hex(4).exactOptional(),
			class: hex(6).describe("Class, subclass, programming interface."),
			drivers,
		}),
		z.strictObject({
			bus: z.literal("virtio"),
			type: z.int().min(0).max(0xffff_ffff).describe("Device type of the virtio specification."),
			drivers,
		}),
		z.strictObject({
			bus: z.literal("vmbus"),
			guid: z.string().regex(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, "must be a lower-case GUID without braces"),
			drivers,
		}),
		z.strictObject({ bus: z.literal("xen"), type: z.string().regex(/^[a-z0-9]{1,20}$/), drivers }),
		z.strictObject({ bus: z.literal("acpi"), ids: list(z.string().regex(/^[A-Za-z0-9]{1,20}$/)).min(1), drivers }),
		z.strictObject({ bus: z.literal("dmi"), vendor: text, product: text, drivers }),
	])
	.meta({ id: "address" });

const device = z
	.strictObject({
		id,
		title: text,
		role: roleSchema,
		addresses: list(address)
			.min(1)
			.describe("What the guest sees, from the bus down: every address must be driven for the device to work."),
		verified: z.boolean().describe("Checked in sources (true), or only read in documentation or assumed (false)."),
		source: text.describe("Where the fact comes from."),
		firmware: firmware.exactOptional().describe("Restricts the model to one firmware; absent: both."),
		traps: list(z.enum(["ata-piix-yields-to-storvsc", "xen-unplug"]))
			.exactOptional()
			.describe("Known ways in which a guest kernel turns away from it although it has the driver."),
		needs: list(module).exactOptional().describe("Linux modules that stack on its driver: sd_mod for SCSI disks."),
	})
	.meta({ id: "device" });

const attachments = z
	.strictObject({
		disk: list(id).min(1).describe("Ids of disk models in order of preference."),
		fallback: list(id)
			.exactOptional()
			.describe("Ids of emulated disk models for guests that have no driver for any of the others."),
		network: list(id).describe("Ids of network models in order of preference."),
	})
	.meta({ id: "attachments" });

const place = z
	.discriminatedUnion("on", [
		z.strictObject({
			on: z.literal("pci"),
			address: z
				.string()
				.regex(/^[0-9a-f]{4}:[0-9a-f]{2}:[01][0-9a-f]\.[0-7]$/, "must be a PCI address such as 0000:01:00.0")
				.exactOptional(),
			slot: z.int().positive().exactOptional().describe("Number of the hotplug slot at that address; absent: none."),
			sun: z.int().nonnegative().exactOptional().describe("_SUN of ACPI; absent: not known."),
			oddIndex: z.literal(true).exactOptional().describe("Firmware gives an onboard index that no board has."),
		}),
		z.strictObject({ on: z.literal("xen"), number: z.int().nonnegative() }),
		z.strictObject({ on: z.literal("vmbus") }),
	])
	.meta({ id: "place" });

const cards = z
	.strictObject({
		keepMacs: z.boolean().describe("Network cards keep their MACs."),
		toKeepMacs: text.exactOptional().describe("How whoever imports the package makes them keep them: a sentence."),
		virtualization: text.exactOptional().describe("systemd's word for the hypervisor, as in systemd-detect-virt."),
		places: list(
			z.strictObject({
				models: list(id).min(1).describe("Ids of network models."),
				disks: list(id).exactOptional().describe("Only where the package's disk is of one of these models."),
				cards: list(place).min(1).describe("By the card's number; nothing is known of cards beyond."),
				verified: z.boolean(),
				source: text,
			}),
		).describe("Where cards sit, as far as the names of their interfaces hang on it; the first that fits counts."),
	})
	.meta({ id: "cards" });

/** {@link Hypervisor} as a schema; a test holds the two together. */
export const hypervisorSchema = z
	.strictObject({
		id,
		title: text,
		vendor: text,
		family: id.describe("Shared by variants, such as the generations of Hyper-V."),
		arch: list(text).min(1).describe("Processors whose guests it runs: x86_64, aarch64, …"),
		firmware: list(firmware).min(1).describe("Ways it can boot a guest, the preferred one first."),
		devices: list(device).min(1).describe("All models it offers, per role in order of preference."),
		boot: attachments.describe("What the native package attaches."),
		also: list(attachments).exactOptional().describe("Other environments in which the same package must boot too."),
		cards: cards.exactOptional().describe("Absent: nothing is known of where its cards sit, and they get new MACs."),
		limits: z.strictObject({
			diskBytes: z.int().positive().exactOptional(),
			disks: z.int().positive().exactOptional(),
			nics: z.int().positive().exactOptional(),
		}),
		notes: list(text).describe("Facts a user should know, one sentence each."),
	})
	.superRefine(({ devices, boot, also = [] }, context) => {
		const roles = new Map<string, string>();
		for (const [at, { id, role }] of devices.entries()) {
			if (roles.has(id))
				context.addIssue({ code: "custom", path: ["devices", at, "id"], message: `${id} is there twice` });
			roles.set(id, role);
		}
		const check = (ids: readonly string[], role: string, path: (string | number)[]) => {
			for (const [at, id] of ids.entries()) {
				if (roles.get(id) === role) continue;
				context.addIssue({
					code: "custom",
					path: [...path, at],
					message: `${id} is no ${role} model among the devices`,
				});
			}
		};
		const checkAll = ({ disk, fallback = [], network }: z.infer<typeof attachments>, path: (string | number)[]) => {
			check(disk, "disk", [...path, "disk"]);
			check(fallback, "disk", [...path, "fallback"]);
			check(network, "network", [...path, "network"]);
		};
		checkAll(boot, ["boot"]);
		for (const [at, environment] of also.entries()) checkAll(environment, ["also", at]);
	});
