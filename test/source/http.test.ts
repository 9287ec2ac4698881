import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import * as fc from "fast-check";
import { afterAll, beforeEach, describe, expect, test } from "vitest";
import type { AnyvisorError } from "../../src/bytes/errors.js";
import { readBytes } from "../../src/bytes/source.js";
import { urlNeighbours } from "../../src/source/http-neighbours.js";
import { type HttpOptions, openUrl } from "../../src/source/index.js";

type Handler = (request: IncomingMessage, response: ServerResponse, count: number) => void | Promise<void>;

const content = randomBytes(24 << 20);
const requests: IncomingMessage[] = [];
let handle: Handler;
let busiest = 0;
let busy = 0;

const server = createServer((request, response) => {
	requests.push(request);
	busiest = Math.max(busiest, ++busy);
	response.once("close", () => busy--);
	void handle(request, response, requests.length);
});
await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
const { port } = server.address() as AddressInfo;
const base = `http://127.0.0.1:${port}`;
afterAll(() => {
	server.closeAllConnections();
	server.close();
});

interface Serving {
	readonly body?: Buffer;
	/** Besides, or in place of, the usual ones; undefined leaves one out. */
	readonly headers?: Record<string, string | undefined>;
	/** Ends the connection after so many bytes of the body. */
	readonly dropAfter?: number;
	/** Ends the body properly after so many bytes of it. */
	readonly shortenTo?: number;
}

/** Answers a request for a range as a good server does, unless told otherwise. */
function serve(
	request: IncomingMessage,
	response: ServerResponse,
	{ body = content, headers = {}, dropAfter, shortenTo }: Serving = {},
): void {
	const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
	const from = Number(first);
	if (first === undefined || from >= body.length) {
		response.writeHead(first === undefined ? 400 : 416, { "content-range": `bytes */${body.length}` }).end();
		return;
	}
	const to = Math.min(Number(last) + 1, body.length);
	const length = shortenTo === undefined ? String(to - from) : undefined;
	const range = `bytes ${from}-${to - 1}/${body.length}`;
	const all = { "content-range": range, etag: '"v1"', "content-length": length, ...headers };
	for (const [name, value] of Object.entries(all)) if (value !== undefined) response.setHeader(name, value);
	response.writeHead(206);
	const piece = body.subarray(from, to);
	if (shortenTo !== undefined) response.end(piece.subarray(0, shortenTo));
	else if (dropAfter === undefined) response.end(piece);
	else response.write(piece.subarray(0, dropAfter), () => response.destroy());
}

/** Answers with all of it, whatever was asked for. */
function serveWhole(response: ServerResponse, headers: Record<string, string> = {}, dropAfter?: number): void {
	response.writeHead(200, { "content-length": content.length, ...headers });
	if (dropAfter === undefined) response.end(content);
	else response.write(content.subarray(0, dropAfter), () => response.destroy());
}

beforeEach(() => {
	requests.length = 0;
	busiest = 0;
	handle = (request, response) => serve(request, response);
});

const quick: HttpOptions = { pause: 1, timeout: 5000 };
const url = `${base}/images/disk.raw`;
const open = (options: HttpOptions = {}) => openUrl(url, { ...quick, ...options });
const failure = (work: Promise<unknown>): Promise<AnyvisorError> =>
	work.then(
		() => Promise.reject(new Error("did not fail")),
		(error: AnyvisorError) => error,
	);

describe("openUrl", () => {
	test("reads any range, and not beyond the end", async () => {
		await using file = await open();
		expect([file.name, file.size]).toEqual([url, content.length]);
		const starts = [0, content.length - 10, 262_140, 5_000_000, 1];
		const read = await Promise.all(starts.map((start) => readBytes(file, start, 10)));
		expect(read.map((bytes) => Buffer.from(bytes))).toEqual(starts.map((start) => content.subarray(start, start + 10)));
		await expect(readBytes(file, content.length - 5, 10)).rejects.toMatchObject({ kind: "damaged" });
	});

	test("a small read is one request of 256 KiB, and those beside it are none", async () => {
		await using file = await open();
		requests.length = 0;
		for (const at of [1_000_000, 1_000_010, 900_000]) await readBytes(file, at, 512);
		expect(requests.map(({ headers }) => headers.range)).toEqual([`bytes=${3 * 262_144}-${4 * 262_144 - 1}`]);
	});

	test("reads that follow each other become long requests, several at a time", async () => {
		handle = async (request, response) => {
			await sleep(20);
			serve(request, response);
		};
		await using file = await open();
		requests.length = 0;
		for (let at = 0; at < content.length; at += 65_536) {
			expect(content.subarray(at, at + 65_536).equals(await readBytes(file, at, 65_536))).toBe(true);
		}
		expect(requests.length).toBeLessThan(20);
		expect(busiest).toBeGreaterThan(1);
		expect(busiest).toBeLessThanOrEqual(4);
	});

	test("connections are used again", async () => {
		const connections = new Set<Socket>();
		handle = (request, response) => {
			connections.add(request.socket);
			serve(request, response);
		};
		await using file = await open();
		for (let i = 0; i < 20; i++) await readBytes(file, (i * 7_919_000) % (content.length - 9), 9);
		for (let at = 0; at < content.length; at += 1 << 20) await readBytes(file, at, 1 << 20);
		expect(requests.length).toBeGreaterThan(20);
		expect(connections.size).toBeLessThan(requests.length / 2);
	});

	test("one large read is whole as well", async () => {
		await using file = await open();
		expect(content.equals(await readBytes(file, 0, content.length))).toBe(true);
		expect(requests.length).toBeLessThan(20);
	});

	test("an empty file has nothing to read", async () => {
		handle = (request, response) => serve(request, response, { body: Buffer.alloc(0) });
		await using file = await open();
		expect(file.size).toBe(0);
	});

	test("whatever breaks, what is read is right", async () => {
		const faults = fc.array(
			fc.record({
				kind: fc.constantFrom("fine", "drop", "shorten", "busy", "stall", "reset"),
				after: fc.oneof(fc.nat(3000), fc.integer({ min: 70_000, max: 400_000 })),
			}),
			{ maxLength: 12 },
		);
		const reads = fc.array(fc.tuple(fc.nat(content.length - 1), fc.integer({ min: 1, max: 700_000 })), {
			minLength: 1,
			maxLength: 6,
		});
		await fc.assert(
			fc.asyncProperty(faults, reads, async (faults, reads) => {
				const left = [...faults];
				handle = (request, response) => {
					const { kind, after } = left.shift() ?? { kind: "fine", after: 0 };
					if (kind === "busy") response.writeHead(503, { "retry-after": "0" }).end("busy");
					else if (kind === "reset") request.socket.destroy();
					else if (kind === "drop") serve(request, response, { dropAfter: after });
					else if (kind === "shorten") serve(request, response, { shortenTo: after });
					else if (kind === "fine") serve(request, response);
				};
				await using file = await open({ retries: 12, timeout: 40 });
				await Promise.all(
					reads.map(async ([at, wanted]) => {
						const length = Math.min(wanted, content.length - at);
						expect(content.subarray(at, at + length).equals(await readBytes(file, at, length))).toBe(true);
					}),
				);
			}),
			{ numRuns: 30 },
		);
	});

	test("a connection that breaks again and again continues where it broke", async () => {
		handle = (request, response) => serve(request, response, { dropAfter: 100_000 });
		await using file = await open({ retries: 2 });
		requests.length = 0;
		expect(content.subarray(0, 1 << 20).equals(await readBytes(file, 0, 1 << 20))).toBe(true);
		const starts = requests.map(({ headers }) => Number(/\d+/.exec(headers.range ?? "")?.[0]));
		expect(new Set(starts).size).toBe(starts.length);
		expect(starts.length).toBeGreaterThan(8);
	});

	test("a server that never brings more than a few bytes is given up", async () => {
		await using file = await open({ retries: 3 });
		handle = (request, response) => serve(request, response, { dropAfter: 10 });
		requests.length = 0;
		expect(await failure(readBytes(file, 0, 1000))).toMatchObject({ kind: "io", file: url, hint: expect.any(String) });
		expect(requests.length).toBe(4);
	});

	test("a busy server is asked again, and not for ever", async () => {
		handle = (request, response, count) => (count < 3 ? void response.writeHead(503).end() : serve(request, response));
		await using file = await open();
		expect(content.subarray(0, 9).equals(await readBytes(file, 0, 9))).toBe(true);

		requests.length = 0;
		handle = (_, response) => void response.writeHead(503).end();
		const error = await failure(open({ retries: 2 }));
		expect(error).toMatchObject({ kind: "io", message: expect.stringContaining("503") });
		expect(requests.length).toBe(3);
	});

	test("a server that falls silent is asked again, and not for ever", async () => {
		handle = (request, response, count) => {
			if (count === 2) response.writeHead(206, { "content-range": `bytes 0-262143/${content.length}` }).write("abc");
			else if (count !== 3) serve(request, response);
		};
		await using file = await open({ timeout: 60 });
		expect(content.subarray(3, 12).equals(await readBytes(file, 3, 9))).toBe(true);
		expect(requests.length).toBeGreaterThan(3);

		handle = () => {};
		const error = await failure(open({ timeout: 40, retries: 1 }));
		expect(error).toMatchObject({ kind: "io", message: expect.stringContaining("nothing came") });
	});

	const dated = (date: string) => ({ headers: { etag: undefined, "last-modified": date } });
	test.each<[string, Serving, Serving]>([
		["another ETag", {}, { headers: { etag: '"v2"' } }],
		["another length", {}, { body: content.subarray(0, 1_000_000) }],
		["another date", dated("Mon, 14 Nov 1994 12:45:26 GMT"), dated("Tue, 15 Nov 1994 12:45:26 GMT")],
		["no longer that long", {}, { body: Buffer.alloc(0) }],
	])("a file that changes meanwhile is noticed: %s", async (_, before, after) => {
		handle = (request, response, count) => serve(request, response, count === 1 ? before : after);
		await using file = await open();
		expect(await failure(readBytes(file, 0, 10))).toMatchObject({
			kind: "io",
			file: url,
			message: expect.stringMatching(/disk\.raw changed while/),
		});
	});

	test("asks for ranges of the version that it knows, and notices by the whole answer that there is another", async () => {
		handle = (request, response, count) => {
			if (count === 1) serve(request, response);
			else serveWhole(response, { etag: '"v2"' });
		};
		await using file = await open();
		expect(await failure(readBytes(file, 0, 10))).toMatchObject({
			kind: "io",
			message: expect.stringContaining("changed"),
		});
		expect(requests[1]?.headers["if-range"]).toBe('"v1"');
	});

	test("an answer with other bytes than asked for is not taken", async () => {
		handle = (request, response, count) => {
			if (count > 1) request.headers.range = "bytes=5-262143";
			serve(request, response);
		};
		await using file = await open({ retries: 1 });
		expect(await failure(readBytes(file, 0, 10))).toMatchObject({
			kind: "io",
			message: expect.stringContaining("other bytes"),
		});
	});

	test("a server without ranges is unsupported, and says what to do", async () => {
		handle = (_, response) => serveWhole(response);
		expect(await failure(open())).toMatchObject({
			kind: "unsupported",
			file: url,
			hint: expect.stringContaining("curl"),
		});
	});

	test("a server without ranges is spooled where that is allowed, also over a broken connection", async () => {
		handle = (_, response, count) => serveWhole(response, { etag: '"v1"' }, count === 2 ? 3_000_001 : undefined);
		const spooled: number[] = [];
		await using file = await open({ spool: { onProgress: (bytes) => spooled.push(bytes) } });
		expect(content.equals(await readBytes(file, 0, content.length))).toBe(true);
		expect(spooled.reduce((sum, bytes) => sum + bytes, 0)).toBe(content.length);
		expect(await failure(open({ spool: { limit: 1 << 20 } }))).toMatchObject({ kind: "refused" });
		handle = (_, response, count) => serveWhole(response, { etag: `"v${count}"` }, 3_000_000);
		expect(await failure(open({ spool: {} }))).toMatchObject({
			kind: "io",
			message: expect.stringContaining("changed"),
		});
		handle = (_, response) => serveWhole(response, {}, 3_000_000);
		expect(await failure(open({ spool: {} }))).toMatchObject({
			kind: "io",
			message: expect.stringContaining("broke off"),
		});
	});

	test("an answer that is compressed on its way is unsupported", async () => {
		handle = (request, response) => serve(request, response, { headers: { "content-encoding": "gzip" } });
		expect(await failure(open())).toMatchObject({ kind: "unsupported", message: expect.stringContaining("gzip") });
	});

	test.each([
		[404, "not-found"],
		[410, "not-found"],
		[401, "permission"],
		[403, "permission"],
		[418, "io"],
	])("%i is %s, at once", async (status, kind) => {
		handle = (_, response) => void response.writeHead(status).end();
		expect(await failure(open())).toMatchObject({ kind, file: url, message: expect.stringContaining(String(status)) });
		expect(requests.length).toBe(1);
	});

	test("nobody there is said at once", async () => {
		const closed = createServer().listen(0, "127.0.0.1");
		await once(closed, "listening");
		const { port } = closed.address() as AddressInfo;
		closed.close();
		const started = performance.now();
		const error = await failure(openUrl(`http://127.0.0.1:${port}/disk.raw`));
		expect(error).toMatchObject({ kind: "io", message: expect.stringContaining("ECONNREFUSED") });
		expect(performance.now() - started).toBeLessThan(1000);
	});

	test("what is no URL is a usage error", async () => {
		for (const text of ["ftp://user:secret@a/b", "http://", "disk.raw"]) {
			const error = await failure(openUrl(text));
			expect(error.kind).toBe("usage");
			expect(`${error.message} ${error.hint}`).not.toContain("secret");
		}
	});

	test("credentials are sent and never shown, nor are queries", async () => {
		const named = `http://user:s%65cret@127.0.0.1:${port}/disk.raw?signature=hidden#x`;
		await using file = await openUrl(named, quick);
		expect(requests[0]?.headers.authorization).toBe(`Basic ${Buffer.from("user:secret").toString("base64")}`);
		expect(requests[0]?.url).toBe("/disk.raw?signature=hidden");
		expect(file.name).toBe(`${base}/disk.raw`);
		handle = (_, response) => void response.writeHead(403).end();
		const { message, hint } = await failure(openUrl(named, quick));
		expect(`${message} ${hint}`).not.toMatch(/secret|cret@|hidden/);
	});

	test("redirects are followed once, and ranges go to where they lead", async () => {
		let expired = false;
		handle = (request, response, count) => {
			if (request.url === "/images/disk.raw") response.writeHead(302, { location: `../store/${count}` }).end();
			else if (expired && request.url === "/store/1") response.writeHead(403).end();
			else serve(request, response);
		};
		await using file = await open();
		await readBytes(file, 0, 10);
		expect(requests.map(({ url }) => url)).toEqual(["/images/disk.raw", "/store/1", "/store/1"]);
		expect(file.name).toBe(url);
		expired = true;
		expect(content.subarray(9_000_000, 9_000_010).equals(await readBytes(file, 9_000_000, 10))).toBe(true);
		expect(requests.slice(3).map(({ url }) => url)).toEqual(["/store/1", "/images/disk.raw", "/store/5"]);
	});

	test("credentials do not follow a redirect to another server", async () => {
		const other = createServer((request, response) => {
			requests.push(request);
			serve(request, response);
		});
		await new Promise<void>((resolve) => other.listen(0, "127.0.0.1", resolve));
		const { port: otherPort } = other.address() as AddressInfo;
		handle = (_, response) => void response.writeHead(307, { location: `http://127.0.0.1:${otherPort}/x` }).end();
		try {
			await using file = await openUrl(url.replace("//", "//user:secret@"), {
				...quick,
				headers: { "x-token": "secret" },
			});
			await readBytes(file, 0, 10);
			expect(requests.map(({ headers }) => [headers.authorization !== undefined, headers["x-token"]])).toEqual([
				[true, "secret"],
				[false, undefined],
				[false, undefined],
			]);
		} finally {
			other.closeAllConnections();
			other.close();
		}
	});

	test.each(["/images/disk.raw", "file:///etc/passwd", "http://["])("a redirect to %s ends", async (location) => {
		handle = (_, response) => void response.writeHead(301, { location }).end();
		expect(await failure(open())).toMatchObject({ kind: "io", message: expect.stringContaining("leads to") });
		expect(requests.length).toBeLessThan(15);
	});

	test("stops when asked to: while opening, reading, and waiting for the next attempt", async () => {
		const stop = new AbortController();
		handle = () => void setTimeout(() => stop.abort(), 20);
		expect(await failure(open({ signal: stop.signal }))).toMatchObject({ kind: "interrupted" });

		const later = new AbortController();
		handle = (request, response, count) => {
			if (count > 2) setTimeout(() => later.abort(), 20);
			else serve(request, response);
		};
		requests.length = 0;
		await using file = await open({ signal: later.signal });
		await readBytes(file, 0, 10);
		expect(await failure(readBytes(file, 9_000_000, 10))).toMatchObject({ kind: "interrupted" });

		const waiting = AbortSignal.timeout(50);
		handle = (_, response) => void response.writeHead(503, { "retry-after": "30" }).end();
		expect(await failure(open({ signal: waiting }))).toMatchObject({ kind: "interrupted" });
	});

	test("closing ends what is under way", async () => {
		handle = (request, response, count) => {
			if (count === 1) serve(request, response);
		};
		const file = await open();
		const reading = failure(readBytes(file, 0, 10));
		await sleep(20);
		await file[Symbol.asyncDispose]();
		expect(await reading).toMatchObject({ kind: "interrupted" });
	});
});

describe("urlNeighbours", () => {
	const neighbour = urlNeighbours(`http://u:p@127.0.0.1:${port}/images/vm/top.qcow2?x=1`, {
		http: quick,
		allow: ["../shared/base.raw", `${base}/named.raw`],
	});
	const elsewhere = (path: string, mention = path) =>
		neighbour.elsewhere?.(path, mention) ?? Promise.reject(new Error());

	test.each([
		["base.raw", "/images/vm/base.raw"],
		["sub/a b#c?.raw", "/images/vm/sub/a%20b%23c%3F.raw"],
		["%2e%2e/x", "/images/vm/%252e%252e/x"],
		["../shared/base.raw", "/images/shared/base.raw"],
		["/images/vm/base.raw", "/images/vm/base.raw"],
		[`${base}/named.raw`, "/named.raw"],
	])("%s is %s", async (name, path) => {
		await (await neighbour(name))[Symbol.asyncDispose]?.();
		expect(requests[0]?.url).toBe(path);
	});

	test.each(["../x", "/etc/passwd", "../vm2/x", "https://127.0.0.1/x", `${base}/other`, "C:\\x", "json:{}", "nbd://a"])(
		"%s is refused",
		async (name) => {
			const error = await failure(name.includes("..") ? elsewhere(name) : neighbour(name));
			expect(error.kind).toBe("refused");
			expect(`${error.message}${error.hint}`).not.toMatch(/u:p@/);
			expect(requests.length).toBe(0);
		},
	);
});
