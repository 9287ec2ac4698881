import { spawn } from "node:child_process";
import { once } from "node:events";
import { PassThrough, Writable } from "node:stream";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { streamSink } from "../../src/source/index.js";

const text = (content: string) => new TextEncoder().encode(content);

/** A stream that keeps what it gets, and takes its time. */
function slowStream() {
	const chunks: Uint8Array[] = [];
	let waiting = 0;
	let mostWaiting = 0;
	const stream = new Writable({
		highWaterMark: 1,
		write(chunk: Uint8Array, _, done) {
			mostWaiting = Math.max(mostWaiting, waiting + this.writableLength);
			// The writer may use its array again once its promise resolves.
			chunks.push(chunk.slice());
			setImmediate(done);
		},
	});
	return { stream, content: () => Buffer.concat(chunks), mostWaiting: () => mostWaiting };
}

test("ascending writes and gaps arrive as one run of bytes", async () => {
	const pieces = fc.array(fc.tuple(fc.nat(3000), fc.uint8Array({ maxLength: 500 })), { maxLength: 8 });
	await fc.assert(
		fc.asyncProperty(pieces, fc.nat(1000), fc.boolean(), async (all, rest, oneByOne) => {
			const { stream, content } = slowStream();
			await using sink = streamSink(stream, "-");
			const model = new Uint8Array(40_000);
			let at = 0;
			const writes: Promise<void>[] = [];
			for (const [gap, bytes] of all) {
				const write = sink.write(at + gap, bytes);
				writes.push(write);
				if (oneByOne) await write;
				model.set(bytes, at + gap);
				at += gap + bytes.length;
			}
			await Promise.all(writes);
			await sink.commit(at + rest);
			expect(Buffer.compare(content(), model.subarray(0, at + rest))).toBe(0);
		}),
		{ numRuns: 50 },
	);
});

test("a gap of any size is filled in pieces, no faster than the reader takes them", async () => {
	const { stream, content, mostWaiting } = slowStream();
	await using sink = streamSink(stream, "-");
	await sink.write(20_000_000, text("end"));
	await sink.commit(20_000_003);
	expect(content().length).toBe(20_000_003);
	expect(content().subarray(20_000_000).toString()).toBe("end");
	expect(mostWaiting()).toBeLessThan(1_000_000);
});

test("a write that goes back is refused with a way out, and the commit fails as well", async () => {
	const { stream } = slowStream();
	await using sink = streamSink(stream, "standard output");
	await sink.write(0, text("0123456789"));
	await expect(sink.write(4, text("x"))).rejects.toMatchObject({
		kind: "unsupported",
		file: "standard output",
		offset: 4,
		hint: expect.stringContaining("streamOptimized"),
	});
	await expect(sink.commit(10)).rejects.toMatchObject({ kind: "unsupported" });
});

test("an end before what was written is an error", async () => {
	await using sink = streamSink(new PassThrough(), "-");
	await sink.write(0, text("0123456789"));
	await expect(sink.commit(9)).rejects.toMatchObject({ kind: "unsupported", offset: 9 });
});

test("a reader that goes away is an I/O error, of the commit too", async () => {
	const reader = spawn("head", ["-c", "10"], { stdio: ["pipe", "ignore", "ignore"] });
	await using sink = streamSink(reader.stdin, "standard output");
	await sink.write(0, text("0123456789"));
	await once(reader, "exit");
	await expect(sink.write(10, new Uint8Array(1 << 20))).rejects.toMatchObject({
		kind: "io",
		file: "standard output",
		hint: expect.any(String),
	});
	await expect(sink.write(10 + (1 << 20), text("more"))).rejects.toMatchObject({ kind: "io" });
	await expect(sink.commit(10 + (1 << 20) + 4)).rejects.toMatchObject({ kind: "io" });
});

test("a write nobody waited for fails the commit", async () => {
	const stream = new Writable({
		write: (_, __, done) => setImmediate(done, Object.assign(new Error("EIO: i/o error, write"), { code: "EIO" })),
	});
	await using sink = streamSink(stream, "-");
	sink.write(0, text("lost")).catch(() => {});
	await expect(sink.commit(4)).rejects.toMatchObject({ kind: "io", message: "writing - failed: i/o error" });
});
