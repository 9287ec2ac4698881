import { AnyvisorError, damaged } from "./errors.js";

/** How one field of a binary layout is read from and written to its bytes. Fields of one kind can be shared freely. */
export interface Field<T> {
	/** Length in bytes. */
	readonly size: number;
	get(view: DataView, at: number, little: boolean): T;
	set(view: DataView, at: number, value: T, little: boolean): void;
}

/** The value type of a field or a struct. */
export type Value<F> = F extends Field<infer T> ? T : F extends Struct<infer R> ? R : never;

type Fields = Readonly<Record<string, Field<unknown>>>;
type Values<F extends Fields> = { -readonly [K in keyof F]: Value<F[K]> };

/** A binary layout declared once, in its specification's order and names; parses and builds. */
export interface Struct<T> {
	/** For messages, for example "VHD footer". */
	readonly name: string;
	/** Length in bytes. */
	readonly size: number;
	/** Byte offset of each field, for patching in place and for checksums. */
	readonly offsets: { readonly [K in keyof T]: number };
	/** Reads the layout at `at`. `file` and `base` (the offset of `bytes[0]` in it) make errors point at the place. */
	parse(bytes: Uint8Array, at?: number, file?: string, base?: number): T;
	/** Builds `size` bytes; fields left out are zero. */
	build(values: Partial<T>): Uint8Array;
	/** This layout as a field of another one. */
	readonly field: Field<T>;
}

/**
 * Declares a binary layout.
 *
 * @example
 * const Entry = struct("MBR entry", "little", { status: u8, chsFirst: bytes(3), type: u8, chsLast: bytes(3), lba: u32, sectors: u32 });
 */
export function struct<F extends Fields>(name: string, endian: "little" | "big", fields: F): Struct<Values<F>> {
	type T = Values<F>;
	const little = endian === "little";
	const entries: { key: string; field: Field<unknown>; at: number }[] = [];
	const offsets: Record<string, number> = {};
	let size = 0;
	for (const [key, field] of Object.entries(fields)) {
		entries.push({ key, field, at: size });
		offsets[key] = size;
		size += field.size;
	}

	const field: Field<T> = {
		size,
		get(view, at) {
			const values: Record<string, unknown> = {};
			for (const entry of entries) values[entry.key] = entry.field.get(view, at + entry.at, little);
			return values as T;
		},
		set(view, at, values) {
			const record = values as Record<string, unknown>;
			for (const entry of entries) {
				const value = record[entry.key];
				if (value !== undefined) entry.field.set(view, at + entry.at, value, little);
			}
		},
	};

	return {
		name,
		size,
		offsets: offsets as { [K in keyof T]: number },
		field,
		parse(bytes, at = 0, file = name, base = 0) {
			if (at < 0 || at + size > bytes.length) {
				throw damaged(`${file}: the ${name} at byte ${base + at} needs ${size} bytes, but the data ends before`, {
					file,
					offset: base + at,
				});
			}
			try {
				return field.get(viewOf(bytes), at, little);
			} catch (error) {
				if (!(error instanceof AnyvisorError)) throw error;
				throw damaged(`${file}: ${name} at byte ${base + at}: ${error.message}`, {
					file,
					offset: base + at,
					cause: error,
				});
			}
		},
		build(values) {
			const bytes = new Uint8Array(size);
			field.set(viewOf(bytes), 0, values as T, little);
			return bytes;
		},
	};
}

/** A DataView on exactly the bytes of `bytes`. */
export const viewOf = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

export const u8: Field<number> = {
	size: 1,
	get: (view, at) => view.getUint8(at),
	set: (view, at, value) => view.setUint8(at, value),
};

export const u16: Field<number> = {
	size: 2,
	get: (view, at, little) => view.getUint16(at, little),
	set: (view, at, value, little) => view.setUint16(at, value, little),
};

export const u32: Field<number> = {
	size: 4,
	get: (view, at, little) => view.getUint32(at, little),
	set: (view, at, value, little) => view.setUint32(at, value, little),
};

export const i32: Field<number> = {
	size: 4,
	get: (view, at, little) => view.getInt32(at, little),
	set: (view, at, value, little) => view.setInt32(at, value, little),
};

/** An unsigned 64-bit count, size or offset; values of 2^53 and more are `damaged`. Flags use {@link flags64}. */
export const u64: Field<number> = {
	size: 8,
	get(view, at, little) {
		const high = view.getUint32(little ? at + 4 : at, little);
		if (high > 0x1fffff) throw damaged(`the 64-bit value at +${at} is larger than any real size or offset`);
		return high * 0x1_0000_0000 + view.getUint32(little ? at : at + 4, little);
	},
	set(view, at, value, little) {
		if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`not an unsigned 53-bit integer: ${value}`);
		view.setBigUint64(at, BigInt(value), little);
	},
};

/** 64 bits that are not a quantity: flags, packed entries, reserved markers. */
export const flags64: Field<bigint> = {
	size: 8,
	get: (view, at, little) => view.getBigUint64(at, little),
	set: (view, at, value, little) => view.setBigUint64(at, value, little),
};

/** `length` bytes as they are; a shorter value is padded with zeros. */
export function bytes(length: number): Field<Uint8Array> {
	return {
		size: length,
		get: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, length).slice(),
		set(view, at, value) {
			if (value.length > length) throw new RangeError(`${value.length} bytes do not fit a field of ${length}`);
			new Uint8Array(view.buffer, view.byteOffset + at, length).set(value);
		},
	};
}

/** Latin-1 text of at most `length` bytes, ended by NUL where shorter. */
export function text(length: number): Field<string> {
	const raw = bytes(length);
	return {
		size: length,
		get(view, at, little) {
			const all = raw.get(view, at, little);
			const end = all.indexOf(0);
			return String.fromCharCode(...(end < 0 ? all : all.subarray(0, end)));
		},
		set(view, at, value, little) {
			raw.set(
				view,
				at,
				Uint8Array.from(value, (char) => char.charCodeAt(0)),
				little,
			);
		},
	};
}

/** UTF-16 text of at most `length` code units, ended by NUL where shorter. */
export function utf16(length: number): Field<string> {
	return {
		size: length * 2,
		get(view, at, little) {
			let value = "";
			for (let i = 0; i < length; i++) {
				const unit = view.getUint16(at + i * 2, little);
				if (unit === 0) break;
				value += String.fromCharCode(unit);
			}
			return value;
		},
		set(view, at, value, little) {
			if (value.length > length) throw new RangeError(`"${value}" does not fit ${length} UTF-16 units`);
			for (let i = 0; i < value.length; i++) view.setUint16(at + i * 2, value.charCodeAt(i), little);
		},
	};
}

const hex = (value: number, digits: number) => value.toString(16).padStart(digits, "0");

/**
 * A GUID in Microsoft's mixed-endian byte order (first three groups little-endian), as lower-case text with hyphens.
 * GPT, VHDX and VMBus use it; VHD and ext4 store plain big-endian bytes: {@link uuid}.
 */
export const guid: Field<string> = {
	size: 16,
	get(view, at) {
		const tail = Array.from({ length: 8 }, (_, i) => hex(view.getUint8(at + 8 + i), 2)).join("");
		const groups = [
			hex(view.getUint32(at, true), 8),
			hex(view.getUint16(at + 4, true), 4),
			hex(view.getUint16(at + 6, true), 4),
		];
		return `${groups.join("-")}-${tail.slice(0, 4)}-${tail.slice(4)}`;
	},
	set(view, at, value) {
		const digits = value.replaceAll("-", "");
		view.setUint32(at, Number.parseInt(digits.slice(0, 8), 16), true);
		view.setUint16(at + 4, Number.parseInt(digits.slice(8, 12), 16), true);
		view.setUint16(at + 6, Number.parseInt(digits.slice(12, 16), 16), true);
		for (let i = 0; i < 8; i++) view.setUint8(at + 8 + i, Number.parseInt(digits.slice(16 + i * 2, 18 + i * 2), 16));
	},
};

/** A UUID in RFC 9562 byte order (big-endian throughout), as lower-case text with hyphens. */
export const uuid: Field<string> = {
	size: 16,
	get(view, at) {
		const digits = Array.from({ length: 16 }, (_, i) => hex(view.getUint8(at + i), 2)).join("");
		return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
	},
	set(view, at, value) {
		const digits = value.replaceAll("-", "");
		for (let i = 0; i < 16; i++) view.setUint8(at + i, Number.parseInt(digits.slice(i * 2, i * 2 + 2), 16));
	},
};

/** `count` values of `field`, one after the other. */
export function array<T>(field: Field<T>, count: number): Field<T[]> {
	return {
		size: field.size * count,
		get: (view, at, little) => Array.from({ length: count }, (_, i) => field.get(view, at + i * field.size, little)),
		set(view, at, values, little) {
			if (values.length > count) throw new RangeError(`${values.length} values do not fit an array of ${count}`);
			values.forEach((value, i) => field.set(view, at + i * field.size, value, little));
		},
	};
}
