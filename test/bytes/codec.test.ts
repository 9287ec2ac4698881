import { execFileSync } from "node:child_process";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Codec, CodecId } from "../../src/bytes/codec/codec.js";
import type * as codecs from "../../src/bytes/codec/index.js";
import { bytesSource } from "../../src/bytes/source.js";
import { withKoffiAgain, withoutKoffi } from "../support/koffi.js";
import { because, missing } from "../support/tools.js";

type Codecs = Pick<typeof codecs, "codec" | "codecReport">;

const noNode = () => {
	vi.doMock("../../src/bytes/platform.js", () => ({ onNode: false, zlibCrc32: () => undefined }));
};

const arrangedByDefault = () => undefined;

/** The three places where the codecs run, and those that have implementations of their own there. */
const places: [string, () => void, CodecId[]][] = [
	[
		"Node with system libraries",
		arrangedByDefault,
		["deflate", "zlib", "gzip", "zstd", "xz", "lzma", "lzop", "lz4", "lz4-legacy", "bzip2"],
	],
	["Node without koffi", withoutKoffi, ["deflate", "zlib", "zstd", "xz", "lzma"]],
	["a browser", noNode, ["deflate", "zlib", "gzip"]],
];

const pipe = (command: string, args: readonly string[], input: Uint8Array): Uint8Array =>
	new Uint8Array(execFileSync(command, args, { input, maxBuffer: 64 << 20, stdio: ["pipe", "pipe", "ignore"] }));

const packedBefore = new Map<string, Uint8Array>();

/** What `command` makes of a content with that name; asked once. */
function pack(command: string, args: readonly string[], name: keyof typeof contents): Uint8Array {
	const key = [command, ...args, name].join(" ");
	const packed = packedBefore.get(key) ?? pipe(command, args, contents[name]);
	packedBefore.set(key, packed);
	return packed;
}

/** Bytes with matches near and far, and stretches that do not compress. */
function sample(length: number): Uint8Array {
	let state = 1;
	const random = () => {
		state = (Math.imul(state, 1103515245) + 12345) >>> 0;
		return state >>> 16;
	};
	const bytes = new Uint8Array(length);
	for (let at = 0; at < length; ) {
		const run = Math.min(length - at, 1 + (random() % 700));
		const from = random() % Math.max(1, at);
		if (at > 0 && random() % 3 > 0) for (let i = 0; i < run; i++) bytes[at + i] = bytes[from + i] ?? 0;
		else for (let i = 0; i < run; i++) bytes[at + i] = random() % 256;
		at += run;
	}
	return bytes;
}

const contents = {
	nothing: new Uint8Array(),
	"one byte": Uint8Array.of(7),
	zeros: new Uint8Array(300_000),
	"a mixture": sample(400_000),
	"a little": sample(3000),
};
const names = Object.keys(contents) as (keyof typeof contents)[];

const PYTHON = [
	"import sys, zlib",
	"z = getattr(zlib, sys.argv[1] + 'obj')(wbits=int(sys.argv[2]))",
	"sys.stdout.buffer.write(getattr(z, sys.argv[1])(sys.stdin.buffer.read()) + z.flush())",
].join("\n");

/** Codec, what makes such data, and what reads it. */
const judges: [CodecId, string, string[], string[]][] = [
	["gzip", "gzip", ["-c"], ["-dc"]],
	["zstd", "zstd", ["-c", "-3"], ["-dc"]],
	["zstd", "zstd", ["-c", "-19", "--no-check"], ["-dc"]],
	["xz", "xz", ["-c"], ["-dc"]],
	["xz", "xz", ["-c", "--check=crc32", "--block-size=50000"], ["-dc"]],
	["xz", "xz", ["-c", "--check=none", "-0"], ["-dc"]],
	["lz4", "lz4", ["-c"], ["-dc"]],
	["lz4", "lz4", ["-c", "-B4", "-BD", "-BX", "--no-frame-crc", "-9"], ["-dc"]],
	["lz4-legacy", "lz4", ["-c", "-l"], ["-dc"]],
	["lzma", "xz", ["-c", "--format=lzma"], ["-dc"]],
	["lzma", "xz", ["-c", "--format=lzma", "--lzma1=dict=4KiB,lc=1,lp=3,pb=0"], ["-dc"]],
	["lzop", "lzop", ["-c"], ["-dc"]],
	["lzop", "lzop", ["-c", "-9", "--crc32"], ["-dc"]],
	["bzip2", "bzip2", ["-c", "-1"], ["-dc"]],
	["bzip2", "bzip2", ["-c", "-9"], ["-dc"]],
	["zlib", "python3", ["-c", PYTHON, "compress", "15"], ["-c", PYTHON, "decompress", "15"]],
	["deflate", "python3", ["-c", PYTHON, "compress", "-15"], ["-c", PYTHON, "decompress", "-15"]],
];

/** What may follow a stream: padding, another archive, nothing known. */
const garbage = Uint8Array.of(0, 0, 0, 0, 0x30, 0x37, 0x30, 0x37, 0xde, 0xad, 0xbe, 0xef, 1, 2, 3, 4, 5);

const join = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

async function drain(codec: Codec, bytes: Uint8Array, at: number) {
	const pieces: Uint8Array[] = [];
	const stream = codec.stream(bytesSource(bytes, "file"), at);
	for (;;) {
		const step = await stream.next();
		if (step.done === true) return { bytes: join(...pieces), end: step.value };
		pieces.push(step.value);
	}
}

const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

describe.each(places)("in %s", (_, arrange, ids) => {
	let codecs: Codecs;
	beforeAll(async () => {
		vi.resetModules();
		arrange();
		codecs = await import("../../src/bytes/codec/index.js");
	});
	afterAll(() => {
		withKoffiAgain();
		vi.doUnmock("../../src/bytes/platform.js");
		vi.resetModules();
	});

	for (const [id, tool, compress, decompress] of judges.filter(([id]) => ids.includes(id))) {
		describe.skipIf(missing(tool))(
			`${id} against ${tool} ${compress.slice(1).join(" ").replace(PYTHON, "zlib")} ${because(tool)}`,
			() => {
				test.each(names)("reads %s, and where it ends", async (name) => {
					const content = contents[name];
					const packed = pack(tool, compress, name);
					const codec: Codec = codecs.codec(id);
					const before = sample(100);
					const followed = join(before, packed, garbage);

					const decoded = await codec.decode(followed.subarray(before.length), { limit: content.length });
					expect(same(decoded.bytes, content)).toBe(true);
					expect(decoded.consumed).toBe(packed.length);

					const streamed = await drain(codec, followed, before.length);
					expect(same(streamed.bytes, content)).toBe(true);
					expect(streamed.end).toBe(before.length + packed.length);

					expect((await drain(codec, packed, 0)).end).toBe(packed.length);
				});

				const writing = ["deflate", "zlib", "gzip", "zstd", "lz4-legacy"].includes(id) ? names : [];
				test.each(writing)("writes %s so that it can be read", async (name) => {
					const content = contents[name];
					const codec = codecs.codec(id as "gzip");
					expect(same(pipe(tool, decompress, await codec.encode(content)), content)).toBe(true);
				});

				test("the output goes where the caller wants it, and nowhere else", async () => {
					for (const name of ["nothing", "a little"] as const) {
						const content = contents[name];
						const memory = new Uint8Array(content.length + 20).fill(0xee);
						const into = memory.subarray(10, 10 + content.length);
						const packed = pack(tool, compress, name);
						const { bytes } = await codecs.codec(id).decode(packed, { limit: into.length, into });
						expect(bytes.buffer).toBe(memory.buffer);
						expect(same(into, content)).toBe(true);
						expect(memory.filter((byte, i) => (i < 10 || i >= 10 + content.length) && byte !== 0xee)).toHaveLength(0);
					}
				});

				test("output over the limit is damage, at the very byte", async () => {
					const content = contents["a mixture"];
					const packed = pack(tool, compress, "a mixture");
					const place = { file: "disk.img", offset: 4096 };
					const decoding = codecs.codec(id).decode(packed, { limit: content.length - 1, ...place });
					await expect(decoding).rejects.toMatchObject({ kind: "damaged", ...place });
				});

				test("every truncation is damage", async () => {
					const packed = pack(tool, compress, "a little");
					// Without a mark of its end, a legacy frame cut after its magic is one without blocks.
					const shortest = id === "lz4-legacy" ? 8 : 0;
					for (let length = shortest; length < packed.length; length += 1 + Math.floor(packed.length / 30)) {
						const cut = packed.subarray(0, length);
						const decoding = codecs.codec(id).decode(cut, { limit: 3000 });
						await expect(decoding, `${length} of ${packed.length} bytes`).rejects.toMatchObject({ kind: "damaged" });
						await expect(drain(codecs.codec(id), cut, 0)).rejects.toMatchObject({ kind: "damaged" });
					}
				});

				test("damage is an error or other content, but never more than the limit", async () => {
					const limit = contents["a little"].length;
					const packed = pack(tool, compress, "a little");
					const damage = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 });
					// The headers are where most can go wrong.
					const place = fc.oneof(fc.constant(packed.length), fc.constant(Math.min(60, packed.length)));
					await fc.assert(
						fc.asyncProperty(damage, place, async (flips, range) => {
							const broken = packed.slice();
							for (const [at, value] of flips) broken[at % range] = value;
							try {
								const { bytes, consumed } = await codecs.codec(id).decode(broken, { limit });
								expect(bytes.length).toBeLessThanOrEqual(limit);
								expect(consumed).toBeLessThanOrEqual(broken.length);
							} catch (error) {
								if (!(error instanceof Error && error.name === "AnyvisorError")) throw error;
							}
						}),
						{ numRuns: 40 },
					);
				});
			},
		);
	}

	test("many buffers at once come back as what they were", async () => {
		for (const id of (["deflate", "zlib", "zstd"] as const).filter((each) => ids.includes(each))) {
			const codec = codecs.codec(id);
			const buffers = Array.from({ length: 300 }, (_, i) => contents["a mixture"].subarray(i * 1000, i * 1000 + 4096));
			const packed = await Promise.all(buffers.map((buffer) => codec.encode(buffer, 1)));
			const decoded = await Promise.all(packed.map((each) => codec.decode(each, { limit: 4096 })));
			decoded.forEach(({ bytes }, i) => expect(same(bytes, buffers[i] ?? bytes)).toBe(i < buffers.length));
		}
	});

	test.skipIf(!ids.includes("lzma") || missing("xz"))(
		`lzma forgets what no match can reach ${because("xz")}`,
		async () => {
			const content = sample(4 << 20);
			for (const dictionary of ["64KiB", "1MiB"]) {
				const packed = pipe("xz", ["-c", "--format=lzma", `--lzma1=preset=0,dict=${dictionary}`], content);
				expect(same((await drain(codecs.codec("lzma"), packed, 0)).bytes, content)).toBe(true);
			}
		},
	);

	test("a stream that is left early lets go", async () => {
		for (const id of (["gzip", "zstd", "lz4-legacy"] as const).filter((each) => ids.includes(each))) {
			const codec = codecs.codec(id);
			const packed = await codec.encode(new Uint8Array(20 << 20));
			for await (const piece of codec.stream(bytesSource(packed), 0)) {
				expect(piece.length).toBeGreaterThan(0);
				break;
			}
			expect(same((await codec.decode(await codec.encode(garbage), { limit: 99 })).bytes, garbage)).toBe(true);
		}
	});

	test("the report names an implementation for every codec", async () => {
		const report = await codecs.codecReport();
		expect(report.map(({ codec }) => codec).sort()).toEqual(
			["bzip2", "deflate", "gzip", "lz4", "lz4-legacy", "lzma", "lzop", "xz", "zlib", "zstd"].sort(),
		);
		for (const { implementation } of report) expect(implementation).not.toBe("");
		// Or the arrangement did not hold.
		const native = report.filter(({ implementation }) => implementation.includes("of this system"));
		expect(arrange === arrangedByDefault || native.length === 0).toBe(true);
	});
});

describe("on this system", async () => {
	const { codec, recogniseCodec } = await import("../../src/bytes/codec/index.js");

	test("gzip decodes one member of several", async () => {
		const [one, two] = [await codec("gzip").encode(sample(5000)), await codec("gzip").encode(sample(50))];
		const first = await codec("gzip").decode(join(one, two), { limit: 5000 });
		expect(first.consumed).toBe(one.length);
		const second = await codec("gzip").decode(join(one, two).subarray(one.length), { limit: 50 });
		expect(same(second.bytes, sample(50))).toBe(true);
	});

	test.skipIf(missing("gzip"))(`gzip steps over a header with everything in it ${because("gzip")}`, async () => {
		const plain = pipe("gzip", ["-nc"], sample(99));
		// FHCRC, FEXTRA, FNAME, FCOMMENT: RFC 1952 section 2.3.1.
		const extra = Buffer.from("\u0003\u0000abcname\0comment\0\u0000\u0000", "latin1");
		const full = join(plain.subarray(0, 10), extra, plain.subarray(10));
		full[3] = 0x02 | 0x04 | 0x08 | 0x10;
		expect(same((await codec("gzip").decode(full, { limit: 99 })).bytes, sample(99))).toBe(true);
	});

	test("zstd steps over skippable frames, and takes them alone for a stream without content", async () => {
		const skippable = Uint8Array.of(0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3);
		const frame = await codec("zstd").encode(sample(999));
		const all = join(skippable, skippable, frame, garbage);
		const decoded = await codec("zstd").decode(all, { limit: 999 });
		expect(same(decoded.bytes, sample(999))).toBe(true);
		expect(decoded.consumed).toBe(all.length - garbage.length);

		const alone = await codec("zstd").decode(join(skippable, garbage), { limit: 0 });
		expect([alone.bytes.length, alone.consumed]).toEqual([0, skippable.length]);
		const cut = codec("zstd").decode(skippable.subarray(0, 9), { limit: 0 });
		await expect(cut).rejects.toMatchObject({ kind: "damaged" });
	});

	test.skipIf(missing("lz4"))(`lz4-legacy ends after a block that is not full ${because("lz4")}`, async () => {
		const packed = pipe("lz4", ["-l", "-c"], sample(1000));
		// As little-endian words: a gzip header, and the length that the kernel's build appends; both could be sizes.
		for (const next of [Uint8Array.of(0x1f, 0x8b, 8, 0), Uint8Array.of(0xe8, 3, 0, 0), packed]) {
			expect((await codec("lz4-legacy").decode(join(packed, next), { limit: 1000 })).consumed).toBe(packed.length);
		}
	});

	test.skipIf(missing("lz4"))(`lz4-legacy goes on after a full block ${because("lz4")}`, async () => {
		const content = new Uint8Array((8 << 20) + 5);
		content.set(sample(4000), (8 << 20) - 3995);
		const theirs = pipe("lz4", ["-l", "-c"], content);
		expect(same((await codec("lz4-legacy").decode(theirs, { limit: content.length })).bytes, content)).toBe(true);
		expect(same(pipe("lz4", ["-dc"], await codec("lz4-legacy").encode(content)), content)).toBe(true);
	});

	test.skipIf(missing("xz"))(`xz decodes the filter of x86 code ${because("xz")}`, async () => {
		const packed = pipe("xz", ["-c", "--x86", "--lzma2=preset=6", "--check=sha256"], sample(9000));
		const decoded = await codec("xz").decode(join(packed, garbage), { limit: 9000 });
		expect(same(decoded.bytes, sample(9000))).toBe(true);
		expect(decoded.consumed).toBe(packed.length);
	});

	test.skipIf(missing("zstd", "xz"))(
		`native code keeps hold of what it works on while garbage is collected ${because("zstd", "xz")}`,
		async () => {
			// Little input and much output: one piece of input is in use long enough for its code to be optimised.
			const content = new Uint8Array(64 << 20);
			for (const id of ["zstd", "xz"] as const) {
				const packed = pipe(id, ["-c"], content);
				for (let round = 0; round < 8; round++) {
					let length = 0;
					for await (const piece of codec(id).stream(bytesSource(packed), 0)) {
						length += piece.length;
						new Uint8Array(500_000).fill(0xff);
					}
					expect(length).toBe(content.length);
				}
			}
		},
	);

	test("magics are recognised, and only as magics", async () => {
		const packed: [CodecId, Uint8Array][] = [
			["gzip", await codec("gzip").encode(garbage)],
			["zstd", await codec("zstd").encode(garbage)],
			["lz4-legacy", await codec("lz4-legacy").encode(garbage)],
			["xz", Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0, 0, 1)],
			["bzip2", Buffer.from("BZh91AY&SY")],
			["lzma", Uint8Array.of(0x5d, 0, 0, 0x80, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0)],
			["lzop", Uint8Array.of(0x89, 0x4c, 0x5a, 0x4f, 0, 0x0d, 0x0a, 0x1a, 0x0a, 0x10, 0x40, 0x20, 0xa0, 9, 0x40, 1)],
			["lz4", Uint8Array.of(4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82, 0)],
		];
		for (const [id, bytes] of packed) {
			expect(recogniseCodec(bytes)?.id).toBe(id);
			for (let length = 0; length < 3; length++) expect(recogniseCodec(bytes.subarray(0, length))).toBeUndefined();
		}
		expect(recogniseCodec(garbage)).toBeUndefined();
		expect(recogniseCodec(await codec("zlib").encode(garbage))).toBeUndefined();
	});
});
