import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import type { Disk } from "../../src/disk/disk.js";
import { type MapEntry, mapDisk } from "../../src/disk/map.js";

async function mapOf(disk: Disk): Promise<MapEntry[]> {
	const entries: MapEntry[] = [];
	for await (const entry of mapDisk(disk)) entries.push(entry);
	return entries;
}

describe("mapDisk", () => {
	const file = bytesSource(new Uint8Array(512), "extent.vmdk");
	const disk = (extents: Disk["extents"]): Disk => ({
		name: "model",
		size: 4096,
		format: "raw",
		sectorSize: 512,
		read: () => Promise.reject(new Error("a map reads no data")),
		extents,
	});

	it("says of each run where it is kept, without reading any", async () => {
		const entries = await mapOf(
			disk(async function* () {
				yield { at: 0, length: 512, kind: "data", stored: { source: file, at: 100 } };
				yield { at: 512, length: 1024, kind: "zero" };
				yield { at: 1536, length: 512, kind: "data", stored: { source: file, at: 7, compressed: true } };
				yield { at: 2048, length: 2048, kind: "data" };
			}),
		);
		expect(entries).toEqual([
			{ start: 0, length: 512, kind: "data", file: "extent.vmdk", offset: 100, compressed: false },
			{ start: 512, length: 1024, kind: "zero", file: null, offset: null, compressed: false },
			{ start: 1536, length: 512, kind: "data", file: "extent.vmdk", offset: 7, compressed: true },
			{ start: 2048, length: 2048, kind: "data", file: null, offset: null, compressed: false },
		]);
	});

	it("hands on what comes as it comes", async () => {
		let made = 0;
		const endless = mapDisk(
			disk(async function* () {
				for (;;) yield { at: made++ * 512, length: 512, kind: made % 2 === 0 ? "data" : "zero" };
			}),
		);
		for (let i = 0; i < 1000; i++) expect((await endless.next()).value).toMatchObject({ start: i * 512 });
		expect(made).toBe(1000);
		await endless.return();
	});
});
