import { readFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { bytesSource } from "../../src/bytes/source.js";
import { viewOf } from "../../src/bytes/struct.js";
import { openDisk } from "../../src/disk/registry.js";
import { checksum, DynamicHeader, Footer } from "../../src/disk/vhd/layout.js";
import { because, missing, run, temporaryFolder, trials } from "../support/tools.js";

const MIB = 1024 * 1024;
/** Enough to have gone through any table of these small files more than once. */
const MOST_EXTENTS = 100_000;

const images: readonly {
	readonly id: string;
	readonly judge: string;
	readonly options: string;
	readonly flags?: string;
}[] = [
	{ id: "qcow2", judge: "qcow2", options: "cluster_size=4096", flags: "-c" },
	{ id: "qcow2", judge: "qcow2", options: "compat=0.10,cluster_size=512" },
	{ id: "qcow2", judge: "qcow2", options: "cluster_size=4096,compression_type=zstd", flags: "-c" },
	{ id: "vhd", judge: "vpc", options: "subformat=dynamic,force_size=on" },
	{ id: "vhd", judge: "vpc", options: "subformat=fixed,force_size=on" },
	{ id: "vhdx", judge: "vhdx", options: "subformat=dynamic,block_size=1048576" },
	{ id: "vdi", judge: "vdi", options: "static=off" },
	{ id: "parallels", judge: "parallels", options: "cluster_size=65536" },
	{ id: "vmdk", judge: "vmdk", options: "subformat=monolithicSparse" },
	{ id: "vmdk", judge: "vmdk", options: "subformat=streamOptimized" },
];

const folder = await temporaryFolder();

/** Opens, walks and samples an image: what a hostile one must survive. */
async function inspect(bytes: Uint8Array, format: string): Promise<void> {
	const disk = await openDisk(bytesSource(bytes, "image"), { format });
	let next = 0;
	let count = 0;
	for await (const { at, length } of disk.extents()) {
		expect(at).toBe(next);
		next = at + length;
		if (++count === MOST_EXTENTS) break;
	}
	expect(count === MOST_EXTENTS || next === disk.size).toBe(true);
	const sample = new Uint8Array(65536);
	for (const at of [0, Math.floor(disk.size / 2), disk.size - sample.length]) {
		if (at >= 0 && at + sample.length <= disk.size) await disk.read(at, sample);
	}
}

/** Whoever damages a VHD on purpose keeps its checksums right. */
function repairVhd(bytes: Uint8Array): void {
	const repair = (at: number, { size, offsets }: { size: number; offsets: { checksum: number } }) => {
		if (at < 0 || at + size > bytes.length) return;
		const structure = bytes.subarray(at, at + size);
		viewOf(structure).setUint32(offsets.checksum, checksum(structure, offsets.checksum));
	};
	repair(0, Footer);
	repair(Footer.size, DynamicHeader);
	repair(bytes.length - Footer.size, Footer);
}

describe.skipIf(missing("qemu-img"))(`a damaged image ${because("qemu-img")}`, () => {
	beforeAll(async () => {
		const prepare = `head -c 50000 /dev/urandom >"$1" && yes pattern | head -c 200000 >>"$1" && truncate -s 3M "$1"`;
		await run("sh", "-c", prepare, "sh", path.join(folder, "original"));
	});

	for (const { id, judge, options, flags } of images) {
		it(`of ${id} (${options}) is read or refused with a typed error, soon and in little memory`, async () => {
			const file = path.join(folder, `${judge}-${options.replaceAll(/\W/g, "-")}`);
			const extra = flags === undefined ? [] : [flags];
			await run(
				"qemu-img",
				"convert",
				"-f",
				"raw",
				"-O",
				judge,
				...extra,
				"-o",
				options,
				path.join(folder, "original"),
				file,
			);
			const original = await readFile(file);
			await inspect(original, id);

			// Most of what matters lies in headers and tables at the start; the footer of a VHD at the end.
			const places = [fc.nat(1023), fc.nat(Math.min(original.length, 256 * 1024) - 1), fc.nat(original.length - 1)];
			const place = fc.oneof(...places, fc.integer({ min: original.length - 512, max: original.length - 1 }));
			const value = fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255));
			const run_ = fc.record({ place, value, length: fc.constantFrom(1, 1, 2, 4, 8) });
			const damage = fc.record({
				runs: fc.array(run_, { minLength: 1, maxLength: 6 }),
				length: fc.option(fc.nat(original.length), { freq: 4 }),
			});
			// In milliseconds of the processor: a busy machine is not the reader's fault.
			let slowest = 0;
			await fc.assert(
				fc.asyncProperty(damage, async ({ runs, length }) => {
					const bytes = Uint8Array.from(original.subarray(0, length ?? original.length));
					for (const { place, value, length } of runs) bytes.fill(value, place, place + length);
					if (id === "vhd") repairVhd(bytes);
					const started = process.cpuUsage();
					const before = process.memoryUsage().arrayBuffers;
					const failure: unknown = await inspect(bytes, id).catch((error: unknown) => error);
					const { user, system } = process.cpuUsage(started);
					slowest = Math.max(slowest, (user + system) / 1000);
					expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * MIB);
					expect(failure === undefined || failure instanceof AnyvisorError).toBe(true);
				}),
				{ numRuns: trials(300) },
			);
			expect(slowest).toBeLessThan(1000);
		});
	}
});
