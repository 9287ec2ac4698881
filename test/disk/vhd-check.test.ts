import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { guid, viewOf } from "../../src/bytes/struct.js";
import { checkImage } from "../../src/disk/check.js";
import type { DiskFormat, Finding } from "../../src/disk/disk.js";
import { vhd } from "../../src/disk/vhd/index.js";
import { checksum, DynamicHeader, Footer } from "../../src/disk/vhd/layout.js";
import { vhdx } from "../../src/disk/vhdx/index.js";
import {
	HEADER_OFFSETS,
	Header,
	ITEM,
	METADATA_SIGNATURE,
	MetadataTableEntry,
	MIB,
	REGION_TABLE_OFFSETS,
	RegionTableEntry,
	RegionTableHeader,
	sealed,
	TABLE_SIZE,
} from "../../src/disk/vhdx/layout.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { inMemory } from "./vhd-chains.js";

const folder = await temporaryFolder();

/** What the format's own check finds, in short. */
async function found(format: DiskFormat, bytes: Uint8Array): Promise<string[]> {
	const findings: string[] = [];
	const check = format.check?.(bytesSource(bytes, "image"), inMemory({})) ?? [];
	for await (const { severity, message } of check) findings.push(`${severity}: ${message}`);
	return findings;
}

/** Whether the image is damaged, as a user is told. */
async function errors(bytes: Uint8Array, format: string): Promise<number> {
	const findings: Finding[] = [];
	const options = { format, neighbours: inMemory({}), onFinding: (finding: Finding) => findings.push(finding) };
	await checkImage(bytesSource(bytes, "image"), options);
	return findings.filter(({ severity }) => severity === "error").length;
}

async function made(format: string, size: string, options: string, commands: readonly string[]): Promise<Uint8Array> {
	const file = path.join(folder, `${format}-${size}-${options.replaceAll(/\W/g, "-")}`);
	await run("qemu-img", "create", "-q", "-f", format, "-o", options, file, size);
	await run("qemu-io", "-f", format, ...commands.flatMap((command) => ["-c", command]), file);
	return new Uint8Array(await readFile(file));
}

const set64 = (bytes: Uint8Array, at: number, value: number) => viewOf(bytes).setBigUint64(at, BigInt(value), true);

describe.skipIf(missing("qemu-img", "qemu-io"))(`checking a VHDX ${because("qemu-img", "qemu-io")}`, () => {
	let image: Uint8Array;
	let bat: number;
	let metadata: number;

	const reseal = (bytes: Uint8Array) => {
		for (const at of HEADER_OFFSETS) sealed(bytes.subarray(at, at + Header.size));
		for (const at of REGION_TABLE_OFFSETS) sealed(bytes.subarray(at, at + TABLE_SIZE));
	};
	const region = (table: 0 | 1, i: number, field: keyof typeof RegionTableEntry.offsets) =>
		REGION_TABLE_OFFSETS[table] + RegionTableHeader.size + i * RegionTableEntry.size + RegionTableEntry.offsets[field];
	const entryOf = (id: string) => {
		for (let i = 1; ; i++) {
			const at = metadata + i * MetadataTableEntry.size;
			if (MetadataTableEntry.parse(image, at).itemId === id) return at;
		}
	};

	beforeAll(async () => {
		image = await made("vhdx", "16M", "block_size=1M", ["write -P 1 0 3M", "write -P 2 8M 1M"]);
		metadata = Buffer.from(image.buffer).indexOf(METADATA_SIGNATURE, MIB);
		const at = [0, 1].map((i) => Number(viewOf(image).getBigUint64(region(0, i, "fileOffset"), true)));
		bat = at.find((place) => place !== metadata) ?? 0;
	});

	it("finds nothing where nothing is wrong", async () => {
		expect(await found(vhdx, image)).toEqual([]);
		for (const options of ["subformat=fixed,block_size=1M", "block_size=256M", "block_size=8M,block_state_zero=off"]) {
			expect(await found(vhdx, await made("vhdx", "40M", options, ["write 3M 9M"]))).toEqual([]);
		}
	});

	/** What is done to the image, what is found, and whether qemu-img's check sees it too. */
	const cases: readonly [string, (bytes: Uint8Array) => void, RegExp[], "seen" | "unseen"][] = [
		[
			"a torn header",
			(b) => b.fill(1, HEADER_OFFSETS[1] + 100, HEADER_OFFSETS[1] + 120),
			[/^warning: header 2/],
			"unseen",
		],
		[
			"two headers that are both the latest",
			(b) => {
				for (const at of HEADER_OFFSETS) set64(b, at + Header.offsets.sequenceNumber, 9);
				b[HEADER_OFFSETS[0] + Header.offsets.fileWriteGuid] = 0x77;
				reseal(b);
			},
			[/^error: both headers have sequence number 9/],
			"seen",
		],
		[
			"a torn region table",
			(b) => b.fill(1, REGION_TABLE_OFFSETS[0] + 300, REGION_TABLE_OFFSETS[0] + 320),
			[/^warning: region table 1/],
			"seen",
		],
		[
			"region tables that differ",
			(b) => {
				viewOf(b).setUint32(region(1, 0, "flags"), 1, true);
				reseal(b);
			},
			[/^error: the two region tables differ/],
			"unseen",
		],
		[
			"a region over another",
			(b) => {
				for (const table of [0, 1] as const) viewOf(b).setUint32(region(table, 0, "length"), 2 * MIB, true);
				reseal(b);
			},
			[/^error: region .* lies over region/],
			"seen",
		],
		[
			"a log over the header section",
			(b) => {
				for (const at of HEADER_OFFSETS) set64(b, at + Header.offsets.logOffset, 512 * 1024);
				reseal(b);
			},
			[/^error: the log does not lie at whole MiB/, /^error: the log lies over the header section/],
			"seen",
		],
		["a block over another", (b) => b.copyWithin(bat + 8, bat, bat + 8), [/^error: block 1 at .* lies over/], "unseen"],
		[
			"a block over the block allocation table",
			(b) => set64(b, bat + 16, bat + 6),
			[/^error: block 2 at .* lies over/],
			"seen",
		],
		[
			"a block beyond the end",
			(b) => set64(b, bat + 16, 100 * MIB + 6),
			[/^error: block 2 at 104857600 goes on beyond the end/],
			"seen",
		],
		["a state that cannot be", (b) => set64(b, bat + 24, 5), [/^error: block 3 has state 5/], "unseen"],
		["a block in part without a parent", (b) => b.fill(7, bat + 8, bat + 9), [/^error: block 1 has state 7/], "unseen"],
		[
			"metadata that is there twice",
			(b) => {
				guid.set(viewOf(b), entryOf(ITEM.physicalSectorSize), ITEM.virtualDiskId, true);
			},
			[/^error: metadata beca12ab.* is there twice/, /^warning: the metadata lacks the physical sector size/],
			"seen",
		],
		[
			"metadata over other metadata",
			(b) => viewOf(b).setUint32(entryOf(ITEM.virtualDiskId) + MetadataTableEntry.offsets.offset, TABLE_SIZE, true),
			[/^error: metadata beca12ab-.* lies over metadata/, /^error: metadata .* lies over metadata beca12ab-/],
			"unseen",
		],
	];

	for (const [what, damage, expected, byQemu] of cases) {
		it(`finds ${what}, ${byQemu} by qemu-img`, async () => {
			const bytes = image.slice();
			damage(bytes);
			const findings = await found(vhdx, bytes);
			expect(findings).toEqual(expected.map((message) => expect.stringMatching(message)));
			const file = path.join(folder, "damaged.vhdx");
			await writeFile(file, bytes);
			const clean = await run("qemu-img", "check", "-f", "vhdx", file).then(
				(text) => text.includes("No errors"),
				() => false,
			);
			expect(clean ? "unseen" : "seen").toBe(byQemu);
			const worst = findings.some((finding) => finding.startsWith("error")) ? 1 : 0;
			expect(Math.min(1, await errors(bytes, "vhdx"))).toBe(worst);
		});
	}
});

describe.skipIf(missing("qemu-img", "qemu-io"))(`checking a VHD ${because("qemu-img", "qemu-io")}`, () => {
	const BAT = Footer.size + DynamicHeader.size;
	let image: Uint8Array;

	function repair(bytes: Uint8Array) {
		const seal = (at: number, { size, offsets }: typeof Footer | typeof DynamicHeader) => {
			const structure = bytes.subarray(at, at + size);
			viewOf(structure).setUint32(offsets.checksum, checksum(structure, offsets.checksum));
		};
		seal(0, Footer);
		seal(Footer.size, DynamicHeader);
		seal(bytes.length - Footer.size, Footer);
	}

	beforeAll(async () => {
		const commands = ["write -P 1 0 3M", "write -P 2 8M 1M"];
		image = await made("vpc", "16M", "force_size=on", commands);
	});

	it("finds nothing where nothing is wrong", async () => {
		expect(await found(vhd, image)).toEqual([]);
		expect(await found(vhd, await made("vpc", "16M", "subformat=fixed,force_size=on", ["write 3M 9M"]))).toEqual([]);
		expect(await found(vhd, await made("vpc", "4G", "subformat=dynamic", ["write 3G 9M"]))).toEqual([]);
	});

	const cases: readonly [string, (bytes: Uint8Array) => void, RegExp[]][] = [
		["a damaged copy of the footer", (b) => b.fill(1, 20, 30), [/^error: the copy of the footer/]],
		["a damaged footer", (b) => b.fill(1, b.length - 500, b.length - 490), [/^error: the footer at the end/]],
		[
			"a footer and a copy that differ",
			(b) => {
				b[Footer.offsets.creatorVersion] = 9;
				repair(b);
			},
			[/^warning: the footer and its copy differ/],
		],
		[
			"a saved state and an unknown version",
			(b) => {
				for (const at of [0, b.length - Footer.size]) {
					b[at + Footer.offsets.savedState] = 1;
					b[at + Footer.offsets.fileFormatVersion] = 1;
				}
				repair(b);
			},
			[/^warning: the footer has a version other/, /^warning: .*state was saved/],
		],
		[
			"a BAT over the header",
			(b) => {
				const within = Footer.size + DynamicHeader.offsets.reserved2;
				b.fill(0xff, within, within + 32);
				viewOf(b).setUint32(Footer.size + DynamicHeader.offsets.tableOffset + 4, within);
				repair(b);
			},
			[/^error: the BAT lies over a header/],
		],
		["a block over another", (b) => b.copyWithin(BAT + 4, BAT, BAT + 4), [/^error: two blocks lie over each other/]],
		[
			"a block over the headers",
			(b) => viewOf(b).setUint32(BAT, 1),
			[/^error: block 0 at 512 lies over the dynamic disk header/, /^error: block 0 at 512 lies over the BAT/],
		],
		["a header that is gone", (b) => b.fill(0, 512, 600), [/^damaged: .*dynamic disk header is missing/]],
	];

	for (const [what, damage, expected] of cases) {
		it(`finds ${what}`, async () => {
			const bytes = image.slice();
			damage(bytes);
			const findings = await found(vhd, bytes).catch((error: unknown) => [
				String(error).replace("AnyvisorError", "damaged"),
			]);
			expect(findings).toEqual(expected.map((message) => expect.stringMatching(message)));
			const worst = findings.some((finding) => !finding.startsWith("warning")) ? 1 : 0;
			expect(Math.min(1, await errors(bytes, "vhd"))).toBe(worst);
		});
	}
});
