import { z } from "zod";
import { AnyvisorError } from "../bytes/errors.js";
import type { Hypervisor } from "./hypervisor.js";
import { hypervisorSchema } from "./schema.js";

/** An editor finds the schema by `$schema`; the model itself has no such member. */
const oneOrSeveral = z.union([
	hypervisorSchema.safeExtend({ $schema: z.string().exactOptional() }),
	z.array(hypervisorSchema).min(1).max(1000),
]);

/**
 * Reads a user's own models: one hypervisor, or an array of them. `name` is the file's, for messages.
 *
 * Throws `usage` naming the member that is wrong.
 */
export function parseModels(json: unknown, name: string): Hypervisor[] {
	const models = Array.isArray(json) ? json : [withoutSchema(json)];
	const result = z.array(hypervisorSchema).min(1).max(1000).safeParse(models);
	if (result.success) return distinct(result.data, name);
	const [issue] = result.error.issues;
	const path = issue?.path.slice(Array.isArray(json) ? 0 : 1) ?? [];
	throw usage(name, `${z.core.toDotPath(path) || "the file"}: ${issue?.message}`);
}

function distinct(models: Hypervisor[], name: string): Hypervisor[] {
	const ids = models.map(({ id }) => id);
	const twice = ids.find((id, at) => ids.indexOf(id) < at);
	if (twice !== undefined) throw usage(name, `two hypervisors have the id ${twice}`);
	return models;
}

function withoutSchema(json: unknown): unknown {
	if (typeof json !== "object" || json === null) return json;
	const { $schema: _, ...model } = json as Record<string, unknown>;
	return model;
}

function usage(file: string, problem: string): AnyvisorError {
	return new AnyvisorError("usage", `${file}: ${problem}`, {
		file,
		hint: "Compare with the output of `anyvisor models show kvm`, or validate it with schemas/hypervisor.schema.json.",
	});
}

/** The models as {@link parseModels} reads them back, members in the schema's order, so that two exports compare. */
export function exportModels(hypervisors: readonly Hypervisor[]): string {
	return `${JSON.stringify(z.array(hypervisorSchema).parse(hypervisors), undefined, "\t")}\n`;
}

/** JSON Schema of a model file, published as schemas/hypervisor.schema.json. */
export function hypervisorJsonSchema(): z.core.JSONSchema.BaseSchema {
	return {
		...z.toJSONSchema(oneOrSeveral),
		title: "Anyvisor device models",
		description: "What a hypervisor shows its guests: one hypervisor, or an array of them.",
	};
}
