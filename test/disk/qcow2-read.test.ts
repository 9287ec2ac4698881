import { readFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Disk, DiskFormat } from "../../src/disk/disk.js";
import { confinedNeighbours } from "../../src/disk/neighbours.js";
import { qcow2 } from "../../src/disk/qcow2/index.js";
import { openDisk } from "../../src/disk/registry.js";
import { isZero } from "../../src/disk/zero.js";
import { openFile } from "../../src/source/file.js";
import { folderNeighbours } from "../../src/source/neighbours.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { surviveMutations } from "./mutations.js";
import { listExtents, openFileCount, readAll, withDisk } from "./support.js";

const MIB = 1024 * 1024;
const SIZE = 5 * MIB + 3 * 512;
const folder = await temporaryFolder();
const at = (name: string) => path.join(folder, name);

/** A snapshot, or the current state, as QEMU sees it. */
async function judged(name: string, snapshot?: string): Promise<Uint8Array> {
	const flags = snapshot === undefined ? [] : ["-l", snapshot];
	// Inside the folder: QEMU takes the name of an external data file relative to where it runs.
	const command = `cd "$1" && shift && qemu-img convert -f qcow2 -O raw "$@" judged.raw`;
	await run("sh", "-c", command, "sh", folder, ...flags, name);
	return withDisk(at("judged.raw"), readAll, "raw");
}

async function withSnapshot<T>(
	name: string,
	snapshot: string | undefined,
	use: (disk: Disk) => Promise<T>,
): Promise<T> {
	await using source = await openFile(at(name));
	const disk = await openDisk(source, { snapshot, neighbours: confinedNeighbours(folderNeighbours(folder)) });
	try {
		return await use(disk);
	} finally {
		await disk[Symbol.asyncDispose]?.();
	}
}

async function expectAsJudged(name: string, snapshot?: string): Promise<void> {
	await withSnapshot(name, snapshot, async (disk) => {
		const judge = await judged(name, snapshot);
		expect(disk.size).toBe(judge.length);
		expect(Buffer.compare(await readAll(disk), judge)).toBe(0);
		let next = 0;
		const wrong = (await listExtents(disk)).filter(({ at, length, kind }) => {
			const gap = at !== next;
			next = at + length;
			return gap || (kind === "zero" && !isZero(judge.subarray(at, next)));
		});
		expect(wrong).toEqual([]);
		expect(next).toBe(disk.size);
	});
}

type Step = { readonly at: number; readonly length: number; readonly do: "data" | "zero" | "unmapped" | "discard" };

const step: fc.Arbitrary<Step> = fc.record({
	at: fc.nat(SIZE / 512 - 1).map((sector) => sector * 512),
	length: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 3000 })).map((sectors) => sectors * 512),
	do: fc.constantFrom("data", "data", "zero", "unmapped", "discard"),
});

const command = ({ at, length, do: what }: Step, index: number) => {
	const where = `${at} ${Math.min(length, SIZE - at)}`;
	if (what === "data") return `write -P ${(index % 255) + 1} ${where}`;
	if (what === "discard") return `discard ${where}`;
	return what === "zero" ? `write -z ${where}` : `write -z -u ${where}`;
};

async function play(name: string, steps: readonly Step[]): Promise<void> {
	const commands = steps.flatMap((step, index) => ["-c", command(step, index)]);
	await run("sh", "-c", `cd "$1" && shift && qemu-io -f qcow2 -d unmap "$@"`, "sh", folder, ...commands, name);
}

/** What changes the layout of tables and data. */
const LAYOUTS = [
	"compat=0.10,cluster_size=512",
	"cluster_size=4096,refcount_bits=1",
	"cluster_size=2M,refcount_bits=64",
	"extended_l2=on,cluster_size=16k",
	"extended_l2=on,cluster_size=128k",
	"extended_l2=on,cluster_size=2M,lazy_refcounts=on",
	"data_file=data.raw",
	"data_file=data.raw,data_file_raw=on",
	"data_file=data.raw,extended_l2=on",
];

describe.skipIf(missing("qemu-img", "qemu-io"))(`reading qcow2 ${because("qemu-img", "qemu-io")}`, () => {
	for (const layout of LAYOUTS) {
		for (const backed of [false, true]) {
			if (backed && layout.includes("data_file_raw")) continue;
			it(`sees what QEMU sees after any writes: ${layout}${backed ? ", backed" : ""}`, async () => {
				await run("sh", "-c", `yes base | head -c ${2 * MIB + 700} >"$1"`, "sh", at("base.raw"));
				const backing = backed ? ["-F", "raw", "-b", "base.raw"] : [];
				const create = `cd "$1" && shift && rm -f data.raw && qemu-img create -q -f qcow2 "$@"`;
				await fc.assert(
					fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
						await run("sh", "-c", create, "sh", folder, "-o", layout, ...backing, "image", String(SIZE));
						await play("image", steps);
						await expectAsJudged("image");
					}),
					{ numRuns: 4 },
				);
			});
		}
	}

	it("reads compressed clusters among subclusters", async () => {
		const options = "extended_l2=on,compression_type=zstd,cluster_size=16k";
		await run("qemu-img", "create", "-q", "-f", "qcow2", "-o", options, at("packed"), "1M");
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 1 -c 0 64k", "-c", "write -P 2 5k 700", at("packed"));
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 3 -c 512k 16k", "-c", "write -z 40k 1k", at("packed"));
		await expectAsJudged("packed");
	});

	it("lists snapshots and reads each", async () => {
		for (const compat of ["0.10", "1.1"]) {
			const name = `snapshots-${compat}`;
			await run("qemu-img", "create", "-q", "-f", "qcow2", "-o", `compat=${compat}`, at(name), "3M");
			const before = Math.floor(Date.now() / 1000);
			for (const [i, label] of ["first", "2", "last one"].entries()) {
				await run("qemu-io", "-f", "qcow2", "-c", `write -P ${i + 1} ${i}M 100k`, at(name));
				await run("qemu-img", "snapshot", "-c", label, at(name));
			}
			await run("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 3M", at(name));
			await withDisk(at(name), async (disk) => {
				expect(disk.snapshots).toEqual(
					["first", "2", "last one"].map((name, i) => ({
						id: String(i + 1),
						name,
						date: expect.any(Number),
						size: 3 * MIB,
						vmStateSize: 0,
					})),
				);
				expect(Math.abs((disk.snapshots?.[0]?.date ?? 0) - before)).toBeLessThan(600);
			});
			for (const label of ["first", "2", "last one"]) await expectAsJudged(name, label);
			// An id comes before a name that looks like one.
			expect((await withSnapshot(name, "2", readAll)).subarray(MIB).indexOf(2)).toBe(0);
			await expect(withSnapshot(name, "none", readAll)).rejects.toMatchObject({
				kind: "not-found",
				message: expect.stringContaining('"none"'),
				hint: expect.stringContaining("1 (first)"),
			});
			await expectAsJudged(name);
		}
	});

	it.skipIf(missing("qemu-system-x86_64"))(
		`reads the disk of a snapshot that holds a machine's state, too ${because("qemu-system-x86_64")}`,
		async () => {
			await run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", at("machine"), "3M");
			await run("qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 100k", at("machine"));
			const monitor = `printf 'savevm state\nquit\n' | qemu-system-x86_64 -S -m 16 -nodefaults -display none \
				-accel tcg -monitor stdio -drive file="$1",format=qcow2,if=virtio`;
			await run("sh", "-c", monitor, "sh", at("machine"));
			await run("qemu-io", "-f", "qcow2", "-c", "write -P 8 0 3M", at("machine"));
			const [snapshot] = (await withDisk(at("machine"), (disk) => Promise.resolve(disk.snapshots))) ?? [];
			const listed = JSON.parse(await run("qemu-img", "info", "--output=json", at("machine"))) as {
				snapshots: { "vm-state-size": number; "date-sec": number }[];
			};
			expect(snapshot).toMatchObject({ name: "state", size: 3 * MIB });
			expect(snapshot?.vmStateSize).toBeGreaterThan(10_000);
			expect(snapshot?.vmStateSize).toBe(listed.snapshots[0]?.["vm-state-size"]);
			expect(snapshot?.date).toBe(listed.snapshots[0]?.["date-sec"]);
			await expectAsJudged("machine", "state");
		},
	);

	it("survives any mutation of subclusters, snapshots and extensions", async () => {
		await run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "extended_l2=on,cluster_size=16k", at("mutant"), "3M");
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 7 1M 100k", "-c", "write -z 1020k 7k", at("mutant"));
		await run("qemu-img", "snapshot", "-c", "state", at("mutant"));
		const image = await readFile(at("mutant"));
		const l1 = Number(image.readBigUInt64BE(40));
		const snapshots = Number(image.readBigUInt64BE(64));
		const l2 = Number(image.readBigUInt64BE(l1) & 0xff_ffff_ffff_fe00n);
		const targets = [
			{ at: 0, length: 200 },
			{ at: l1, length: 16 },
			{ at: l2 + 60 * 16, length: 20 * 16 },
			{ at: snapshots, length: 72 },
		];
		for (const snapshot of [undefined, "state"]) {
			const format: DiskFormat = {
				...qcow2,
				open: (source, neighbours) => qcow2.open(source, neighbours, { snapshot }),
			};
			const outcomes = await surviveMutations(format, image, targets);
			expect(outcomes.read).toBeGreaterThan(0);
			expect(outcomes.refused).toBeGreaterThan(0);
		}
	});

	it("reads a snapshot in the size that the disk had", async () => {
		await run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", at("grown"), "1M");
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 7 0 1M", at("grown"));
		await run("qemu-img", "snapshot", "-c", "small", at("grown"));
		await run("qemu-img", "resize", "-q", "-f", "qcow2", at("grown"), "9M");
		await run("qemu-io", "-f", "qcow2", "-c", "write -P 8 0 9M", at("grown"));
		const small = await withSnapshot("grown", "small", readAll);
		expect(Buffer.compare(small, new Uint8Array(MIB).fill(7))).toBe(0);
		expect((await withDisk(at("grown"), readAll)).length).toBe(9 * MIB);
	});

	it("tells what is special about an image", async () => {
		const options = "extended_l2=on,lazy_refcounts=on,refcount_bits=64,compression_type=zstd,cluster_size=128k";
		await run(
			"qemu-img",
			"create",
			"-q",
			"-u",
			"-f",
			"qcow2",
			"-b",
			"b.vhd",
			"-F",
			"vpc",
			"-o",
			options,
			at("x"),
			"1M",
		);
		await run("qemu-img", "create", "-q", "-f", "vpc", at("b.vhd"), "1M");
		await expect(withDisk(at("x"), (disk) => Promise.resolve(disk.details))).resolves.toEqual({
			version: 3,
			clusterSize: 131_072,
			compression: "zstd",
			refcountBits: 64,
			lazyRefcounts: true,
			dirty: false,
			extendedL2: true,
			backingFile: "b.vhd",
			backingFormat: "vhd",
		});
	});

	it("takes a backing file that is said to be raw for raw, whatever its content", async () => {
		await run("qemu-img", "create", "-q", "-f", "qcow2", at("trap"), "1M");
		await run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "trap", at("pinned"));
		expect(Buffer.from((await withDisk(at("pinned"), readAll)).subarray(0, 4)).toString("latin1")).toBe("QFI\xfb");
		await expectAsJudged("pinned");
	});

	it("closes every file that it opened", () => {
		expect(openFileCount()).toBe(0);
	});
});
