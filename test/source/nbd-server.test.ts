import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { overlay } from "../../src/bytes/overlay.js";
import { bytesSource, readBytes } from "../../src/bytes/source.js";
import { serveNbd } from "../../src/source/nbd-server.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const MIB = 1 << 20;
let count = 0;
const folder = await temporaryFolder();
const socketFile = () => path.join(folder, `socket-${count++}`);
const uri = (socket: string) => `nbd+unix:///?socket=${socket}`;

describe.skipIf(missing("qemu-img", "qemu-io"))(`serveNbd ${because("qemu-img", "qemu-io")}`, () => {
	it("serves what qemu-img finds identical to the original, to several clients at once", async () => {
		const content = randomBytes(40 * MIB + 512);
		const original = path.join(folder, "original.raw");
		await writeFile(original, content);
		const socket = socketFile();
		await using server = await serveNbd(bytesSource(content), socket);
		const compare = () => run("qemu-img", "compare", "-f", "raw", "-F", "raw", original, uri(socket));
		expect(await Promise.all([compare(), compare()])).toEqual(Array(2).fill(expect.stringContaining("identical")));
		const info = JSON.parse(await run("qemu-img", "info", "--output=json", uri(socket)));
		expect(info["virtual-size"]).toBe(content.length);
		expect(server.failures).toEqual([]);
	});

	it("takes in what is written, and lets nobody write to what is read only", async () => {
		const content = Buffer.alloc(4 * MIB, "abc");
		const store = overlay(bytesSource(content));
		const socket = socketFile();
		await using server = await serveNbd(store, socket);
		const commands = ["write -P 7 1000 3000", "write -z 1M 1M", "write -P 9 3145728 1M", "flush", "read -P 7 1024 512"];
		const said = await run("qemu-io", "-f", "raw", ...commands.flatMap((command) => ["-c", command]), uri(socket));
		expect(said).not.toMatch(/failed|error/i);
		const expected = Buffer.from(content);
		expected
			.fill(7, 1000, 4000)
			.fill(0, MIB, 2 * MIB)
			.fill(9, 3 * MIB);
		expect(expected.equals(await readBytes(store, 0, store.size))).toBe(true);
		expect(server.failures).toEqual([]);

		const readOnly = socketFile();
		await using _ = await serveNbd(bytesSource(content), readOnly);
		await expect(run("qemu-io", "-f", "raw", "-c", "write 0 512", uri(readOnly))).rejects.toThrow(/permission denied/i);
	});

	it("tells its owner what failed, and its client that something did", async () => {
		const source = { name: "broken", size: MIB, read: () => Promise.reject(new Error("a scratch")) };
		const socket = socketFile();
		await using server = await serveNbd(source, socket);
		expect(await run("qemu-io", "-r", "-f", "raw", "-c", "read 0 512", uri(socket)).catch(String)).toMatch(/failed/i);
		expect(server.failures[0]?.message).toBe("a scratch");
	});
});

describe("a client that is none", () => {
	it("ends its own connection, whatever it sends, and no other", async () => {
		const socket = socketFile();
		const store = overlay(bytesSource(new Uint8Array(MIB)), { limit: MIB });
		await using _ = await serveNbd(store, socket);
		const go = Buffer.concat([
			Buffer.from([0, 0, 0, 3]),
			Buffer.from("IHAVEOPT"),
			Buffer.from([0, 0, 0, 7, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0]),
		]);
		await fc.assert(
			fc.asyncProperty(fc.boolean(), fc.uint8Array({ maxLength: 200 }), async (negotiated, noise) => {
				const client = connect(socket);
				client.on("error", () => undefined).resume();
				client.end(Buffer.concat([negotiated ? go : Buffer.alloc(0), noise]));
				await once(client, "close");
			}),
			{ seed: 1, numRuns: 200 },
		);
		expect(store.inMemory).toBeLessThanOrEqual(MIB);
		const greeting = connect(socket);
		const [hello] = (await once(greeting, "data")) as [Buffer];
		expect(hello.toString("latin1", 0, 16)).toBe("NBDMAGICIHAVEOPT");
		greeting.destroy();
	});
});
