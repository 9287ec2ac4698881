import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import * as fc from "fast-check";
import { describe, expect, expectTypeOf, test } from "vitest";
import type { z } from "zod";
import { AnyvisorError } from "../../src/bytes/errors.js";
import type { Hypervisor } from "../../src/hypervisor/hypervisor.js";
import { exportModels, hypervisorJsonSchema, parseModels } from "../../src/hypervisor/models.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import type { hypervisorSchema } from "../../src/hypervisor/schema.js";
import type { Mutable } from "./mutable.js";

const published = "schemas/hypervisor.schema.json";

test("the schema is the type", () => {
	expectTypeOf<z.infer<typeof hypervisorSchema>>().toEqualTypeOf<Mutable<Hypervisor>>();
});

test("the published JSON Schema is the schema; vitest -u writes it", async () => {
	await expect(`${JSON.stringify(hypervisorJsonSchema(), undefined, "\t")}\n`).toMatchFileSnapshot(
		`../../${published}`,
	);
});

describe("an independent validator", () => {
	const validate = new Ajv2020({ strict: false }).compile(hypervisorJsonSchema());

	test("accepts what is exported, one or all, with or without $schema", () => {
		expect(validate(JSON.parse(exportModels(hypervisors)))).toBe(true);
		for (const one of hypervisors) expect(validate({ $schema: published, ...one })).toBe(true);
	});

	test("accepts whatever the reader accepts of models with anything changed or missing", () => {
		const [sample] = JSON.parse(exportModels(hypervisors)) as [object];
		const value = fc.oneof(
			fc.constant(undefined),
			fc.jsonValue({ maxDepth: 1 }),
			fc.constantFrom("15AD", "bios", -1, ""),
		);
		fc.assert(
			fc.property(fc.nat(400), value, (at, replacement) => {
				const model = mutate(sample, at, replacement);
				// Not the other way round: that boot.disk names a disk model, a JSON Schema cannot say.
				expect(!reads(model) || validate(model)).toBe(true);
			}),
			{ numRuns: 300 },
		);
	});
});

/** The model with its member number `at`, counted depth first, replaced or (undefined) removed. */
function mutate(model: unknown, at: number, replacement: unknown): unknown {
	let count = 0;
	return JSON.parse(
		JSON.stringify(model, (key, value: unknown) => {
			if (key === "" || count++ !== at) return value;
			return replacement;
		}),
	);
}

function reads(json: unknown): boolean {
	try {
		parseModels(json, "own.json");
		return true;
	} catch (error) {
		if (error instanceof AnyvisorError && error.kind === "usage") return false;
		throw error;
	}
}

describe("a user's own models", () => {
	const [vmware] = hypervisors;
	if (vmware === undefined) throw new Error("there are hypervisors");

	test("are one hypervisor or several", () => {
		expect(parseModels(vmware, "own.json")).toEqual([vmware]);
		expect(parseModels([...hypervisors], "own.json")).toEqual(hypervisors);
		expect(parseModels({ $schema: "https://example.org/hypervisor.schema.json", ...vmware }, "own.json")).toEqual([
			vmware,
		]);
	});

	test.each<readonly [unknown, string]>([
		[{ ...vmware, devices: [] }, "own.json: devices: "],
		[{ ...vmware, device: [] }, 'own.json: the file: Unrecognized key: "device"'],
		[[vmware, { ...vmware, id: "Big" }], "own.json: [1].id: must be lower-case letters"],
		[[vmware, vmware], "own.json: two hypervisors have the id vmware"],
		[
			{ ...vmware, boot: { disk: ["scsi"], network: [] } },
			"own.json: boot.disk[0]: scsi is no disk model among the devices",
		],
		[{ ...vmware, boot: { disk: ["vmxnet3"], network: [] } }, "own.json: boot.disk[0]: vmxnet3 is no disk model"],
		[{ ...vmware, devices: [...vmware.devices, ...vmware.devices] }, "own.json: devices[15].id: pvscsi is there twice"],
		[
			{
				...vmware,
				devices: [
					{ ...vmware.devices[0], addresses: [{ bus: "pci", vendor: "15AD", device: "07c0", class: "010700" }] },
				],
			},
			"own.json: devices[0].addresses[0].vendor: must be 4 lower-case hex digits without 0x",
		],
		[[], "own.json: the file: "],
		[null, "own.json: the file: "],
		["vmware", "own.json: the file: "],
	])("that are wrong are refused, naming the place: %#", (json, message) => {
		const refusal = expect.objectContaining({
			kind: "usage",
			file: "own.json",
			message: expect.stringContaining(message) as string,
		});
		expect(() => parseModels(json, "own.json")).toThrow(refusal);
	});
});

test("the example in the documentation is a model", () => {
	const [, example = ""] = /```json\n(.*?)```/s.exec(readFileSync("docs/adding-a-hypervisor.md", "utf8")) ?? [];
	expect(parseModels(JSON.parse(example), "example.json").map(({ id }) => id)).toEqual(["bhyve"]);
});

test("an export reads back, and its members stand in one order however a model is written", () => {
	const turned = hypervisors.map((one) => Object.fromEntries(Object.entries(one).reverse())) as unknown as Hypervisor[];
	expect(exportModels(turned)).toBe(exportModels(hypervisors));
	expect(parseModels(JSON.parse(exportModels(hypervisors)), "export.json")).toEqual(hypervisors);
});
