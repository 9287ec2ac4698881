/** The document; undefined for what is no YAML. Few guests have any: the others do not wait for a parser. */
export async function parseYaml(text: string): Promise<unknown> {
	const { parse } = await import("yaml");
	try {
		return parse(text, { logLevel: "error" });
	} catch {
		// Its own reader would not take it either.
		return undefined;
	}
}

export const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
	typeof value === "object" && value !== null && !Array.isArray(value);

export const member = (value: unknown, key: string) =>
	isMapping(value) && Object.hasOwn(value, key) ? value[key] : undefined;

/** A string, or those in a list. */
export const strings = (value: unknown): string[] =>
	(Array.isArray(value) ? value : [value]).filter((entry) => typeof entry === "string");
