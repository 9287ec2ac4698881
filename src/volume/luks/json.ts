import type { AnyvisorError } from "../../bytes/errors.js";

/** An object of the metadata. */
export type Json = Readonly<Record<string, unknown>>;

/** Takes values out of JSON that anybody may have written. */
export class JsonReader {
	readonly fault: (what: string) => AnyvisorError;

	/** @param fault makes the error that is thrown where a value is not what it should be */
	constructor(fault: (what: string) => AnyvisorError) {
		this.fault = fault;
	}

	parse(text: string): Json {
		let value: unknown;
		try {
			value = JSON.parse(text);
		} catch {
			throw this.fault("the JSON text cannot be parsed");
		}
		return this.#object(value, "the whole");
	}

	/** An object that has to be there. */
	required(object: Json, name: string): Json {
		return this.#object(own(object, name), name);
	}

	optional(object: Json, name: string): Json | undefined {
		const value = own(object, name);
		return value === undefined ? undefined : this.#object(Object(value), name);
	}

	/** An object or array in one that may not be there. */
	member(object: Json | undefined, name: string): Json | undefined {
		return object && this.optional(object, name);
	}

	/** The objects in an object, by their names. */
	entries(object: Json, most: number): readonly (readonly [string, Json])[] {
		const all = Object.entries(object);
		if (all.length > most) throw this.fault(`there are ${all.length} objects where ${most} may be`);
		return all.map(([name, value]) => [name, this.#object(value, name)]);
	}

	/** The strings of an array; none where there is no array. */
	strings(array: Json | undefined): readonly string[] {
		return array === undefined ? [] : Object.values(array).filter((value) => typeof value === "string");
	}

	string(object: Json, name: string): string {
		const value = own(object, name);
		if (typeof value !== "string") throw this.fault(`${name} is not a text`);
		return value;
	}

	/** A number of 32 bits. */
	number(object: Json, name: string): number {
		const value = own(object, name);
		if (typeof value !== "number" || !Number.isInteger(value) || value < 0 || value >= 2 ** 32) {
			throw this.fault(`${name} is not a number`);
		}
		return value;
	}

	/** A number of 64 bits, which stands there as text. */
	count(object: Json, name: string): number {
		const text = this.string(object, name);
		const value = Number(text);
		if (!/^\d{1,20}$/.test(text) || !Number.isSafeInteger(value))
			throw this.fault(`${name} is not a size or an offset`);
		return value;
	}

	base64(object: Json, name: string): Uint8Array {
		try {
			return Uint8Array.from(atob(this.string(object, name)), (char) => char.charCodeAt(0));
		} catch (error) {
			if (error instanceof DOMException) throw this.fault(`${name} is not base64`);
			throw error;
		}
	}

	#object(value: unknown, name: string): Json {
		if (typeof value !== "object" || value === null) throw this.fault(`${name} is missing`);
		return value as Json;
	}
}

/** Not what every object inherits. */
const own = (object: Json, name: string): unknown => (Object.hasOwn(object, name) ? object[name] : undefined);
