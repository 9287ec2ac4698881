import * as fc from "fast-check";
import { AnyvisorError } from "../../src/bytes/errors.js";
import type { Controller, ControllerModel, Machine, MachineDisk } from "../../src/machine/machine.js";
import { present } from "../../src/machine/shape.js";

export const encode = (text: string) => new TextEncoder().encode(text);

/** A machine as most are. */
export const sample: Machine = {
	name: "Web server",
	description: 'Serves <pages> & "more"',
	arch: "x86_64",
	firmware: "uefi",
	secureBoot: false,
	cpus: 2,
	memory: 2 ** 31,
	controllers: [{ id: "sata0", model: "ahci", index: 0 }],
	disks: [
		{ id: "disk1", kind: "disk", file: "web-disk1.vmdk", capacity: 8 << 20, controller: "sata0", unit: 0 },
		{ id: "disk2", kind: "disk", file: "web-disk2.vmdk", capacity: 4 << 20, controller: "sata0", unit: 1 },
	],
	nics: [{ model: "e1000", mac: "00:50:56:01:02:03", network: "VM Network" }, { model: "vmxnet3" }],
	origin: "ovf",
	lost: [],
};

const label = fc
	.string({ unit: "grapheme", minLength: 1, maxLength: 40 })
	// What is only white space, or bounded by it, is not kept apart from layout in XML.
	.map((text) => text.replaceAll(/[\p{Cc}\p{Cs}\ufffe\uffff]/gu, "x").trim())
	.filter((text) => text !== "");

const mac = fc
	.uint8Array({ minLength: 6, maxLength: 6 })
	.map((bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(":"));

/** Machines that a descriptor with these controllers and network cards can hold, in the order it will be read in. */
export function machines(
	models: readonly ControllerModel[],
	nics: readonly string[],
	bus: (model: ControllerModel) => string,
) {
	const controllers = fc
		.uniqueArray(fc.constantFrom(...models), { minLength: 1, maxLength: 4, selector: bus })
		.map((chosen) => models.filter((model) => chosen.includes(model)))
		.map((chosen) => chosen.map((model): Controller => ({ id: `${bus(model)}0`, model, index: 0 })));
	const disks = controllers.chain((list) =>
		fc
			.array(
				fc.record({
					controller: fc.constantFrom(...list),
					file: label,
					capacity: fc.integer({ min: 1, max: 2 ** 43 }),
				}),
				{
					minLength: 1,
					maxLength: 6,
				},
			)
			.map((entries) => {
				const sorted = entries.toSorted((a, b) => list.indexOf(a.controller) - list.indexOf(b.controller));
				const next = new Map<string, number>();
				return {
					controllers: list,
					disks: sorted.map(({ controller, file, capacity }, index): MachineDisk => {
						const unit = next.get(controller.id) ?? 0;
						next.set(controller.id, unit + 1);
						return {
							id: `disk${index + 1}`,
							kind: "disk",
							file: `${index}-${file.replaceAll("/", "-")}`,
							capacity: capacity * 512,
							controller: controller.id,
							unit,
						};
					}),
				};
			}),
	);
	return fc
		.record({
			name: label,
			description: fc.option(label, { nil: undefined }),
			uuid: fc.option(fc.uuid(), { nil: undefined }),
			firmware: fc.constantFrom("bios" as const, "uefi" as const),
			cpus: fc.integer({ min: 1, max: 256 }),
			mebibytes: fc.integer({ min: 1, max: 2 ** 22 }),
			disks,
			nics: fc.array(fc.record({ model: fc.constantFrom(...nics), mac, network: label }, { requiredKeys: ["model"] }), {
				maxLength: 4,
			}),
			secureBoot: fc.boolean(),
		})
		.map(
			({ mebibytes, disks, ...rest }): Machine =>
				Object.assign(present(rest), disks, {
					secureBoot: rest.firmware === "uefi" && rest.secureBoot,
					arch: "x86_64",
					memory: mebibytes * 2 ** 20,
					origin: "inferred",
					lost: [],
				}),
		);
}

/** What came of reading hostile input: `read`, or the kind of the typed error; anything else is thrown on. */
export const outcome = (reading: Promise<unknown>) =>
	reading.then(
		() => "read" as const,
		(error: unknown) => {
			if (error instanceof AnyvisorError) return error.kind;
			throw error;
		},
	);
