import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import {
	array,
	bytes,
	type Field,
	flags64,
	guid,
	i32,
	struct,
	text,
	u8,
	u16,
	u32,
	u64,
	utf16,
	uuid,
} from "../../src/bytes/struct.js";

function outcomeOf(parse: () => unknown): string {
	try {
		parse();
		return "parsed";
	} catch (error) {
		return error instanceof AnyvisorError ? error.kind : String(error);
	}
}

const endians = ["little", "big"] as const;

/** A field, and the values it can hold. */
const fields: [string, Field<unknown>, fc.Arbitrary<unknown>][] = [
	["u8", u8, fc.integer({ min: 0, max: 0xff })],
	["u16", u16, fc.integer({ min: 0, max: 0xffff })],
	["u32", u32, fc.integer({ min: 0, max: 0xffffffff })],
	["i32", i32, fc.integer({ min: -0x80000000, max: 0x7fffffff })],
	["u64", u64, fc.maxSafeNat()],
	["flags64", flags64, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })],
	["bytes", bytes(5), fc.uint8Array({ minLength: 5, maxLength: 5 })],
	[
		"text",
		text(6),
		fc.string({ unit: fc.integer({ min: 1, max: 255 }).map((c) => String.fromCharCode(c)), maxLength: 6 }),
	],
	["utf16", utf16(4), fc.string({ maxLength: 4 }).filter((value) => !value.includes("\0"))],
	["guid", guid, fc.uuid()],
	["uuid", uuid, fc.uuid()],
	["array", array(u16, 3), fc.array(fc.nat(0xffff), { minLength: 3, maxLength: 3 })],
	["nested", struct("inner", "big", { a: u8, b: u32 }).field, fc.record({ a: fc.nat(255), b: fc.nat() })],
];

describe.each(endians)("%s-endian", (endian) => {
	test.each(fields)("%s comes back as it was built, and leaves its neighbours alone", (_, field, values) => {
		const layout = struct("layout", endian, { before: u8, field, after: u8 });
		expect(layout.size).toBe(field.size + 2);
		expect(layout.offsets).toEqual({ before: 0, field: 1, after: 1 + field.size });
		fc.assert(
			fc.property(values, fc.nat(9), (value, at) => {
				const built = layout.build({ before: 0xaa, field: value, after: 0x55 });
				const placed = new Uint8Array(at + built.length + 3).fill(0xee);
				placed.set(built, at);
				expect(layout.parse(placed, at)).toEqual({ before: 0xaa, field: value, after: 0x55 });
				expect(layout.parse(placed.subarray(at)).field).toEqual(value);
			}),
		);
	});
});

describe("what the specifications print", () => {
	test("the GUID of an EFI system partition, in the bytes of UEFI 2.10 section 5.3.3", () => {
		const stored = Uint8Array.of(
			0x28,
			0x73,
			0x2a,
			0xc1,
			0x1f,
			0xf8,
			0xd2,
			0x11,
			0xba,
			0x4b,
			0,
			0xa0,
			0xc9,
			0x3e,
			0xc9,
			0x3b,
		);
		const layout = struct("entry", "little", { type: guid });
		expect(layout.parse(stored).type).toBe("c12a7328-f81f-11d2-ba4b-00a0c93ec93b");
		expect(layout.build({ type: "C12A7328-F81F-11D2-BA4B-00A0C93EC93B" })).toEqual(stored);
	});

	test("a UUID is its digits in order: RFC 9562 section 4", () => {
		const stored = Uint8Array.from({ length: 16 }, (_, i) => i * 17);
		expect(struct("entry", "little", { id: uuid }).parse(stored).id).toBe("00112233-4455-6677-8899-aabbccddeeff");
	});

	test("byte orders", () => {
		const fields = { a: u16, b: u32, c: u64 };
		const values = { a: 0x0102, b: 0x03040506, c: 0x0708090a0b0c };
		expect([...struct("x", "big", fields).build(values)]).toEqual([1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9, 10, 11, 12]);
		expect([...struct("x", "little", fields).build(values)]).toEqual([2, 1, 6, 5, 4, 3, 12, 11, 10, 9, 8, 7, 0, 0]);
	});
});

describe("bad input", () => {
	const layout = struct("footer", "big", { cookie: text(8), size: u64 });

	test("data that ends before the layout does is damage with its place", () => {
		const parse = () => layout.parse(new Uint8Array(20), 5, "a.vhd", 1000);
		expect(parse).toThrow(expect.objectContaining({ kind: "damaged", file: "a.vhd", offset: 1005 }));
		expect(() => layout.parse(new Uint8Array(20), -1)).toThrow(expect.objectContaining({ kind: "damaged" }));
	});

	test("a 64-bit size of 2^53 or more is damage with its place", () => {
		const stored = layout.build({ cookie: "conectix" });
		stored[9] = 0x20;
		expect(() => layout.parse(stored, 0, "a.vhd", 512)).toThrow(
			expect.objectContaining({ kind: "damaged", file: "a.vhd", offset: 512 }),
		);
		stored[9] = 0x1f;
		expect(layout.parse(stored).size).toBe(0x1f * 2 ** 48);
	});

	test("values that do not fit are the caller's mistake", () => {
		expect(() => layout.build({ cookie: "123456789" })).toThrow(RangeError);
		expect(() => layout.build({ size: -1 })).toThrow(RangeError);
		expect(() => layout.build({ size: 2 ** 53 })).toThrow(RangeError);
	});

	test("any bytes at all parse, or are damage", () => {
		const everything = struct("everything", "little", Object.fromEntries(fields.map(([name, field]) => [name, field])));
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: everything.size + 5 }), (stored) => {
				const outcome = outcomeOf(() => everything.parse(stored));
				expect(stored.length < everything.size ? ["damaged"] : ["damaged", "parsed"]).toContain(outcome);
			}),
		);
	});
});
