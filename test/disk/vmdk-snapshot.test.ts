import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { listExtents, openFileCount, readAll, withDisk } from "./support.js";
import { describing } from "./vmdk-esx.js";

const MIB = 1024 * 1024;
const folder = await temporaryFolder();
const inFolder = (name: string) => path.join(folder, name);

async function judged(file: string): Promise<Uint8Array> {
	const raw = inFolder("judged.raw");
	await run("qemu-img", "convert", "-f", "vmdk", "-O", "raw", file, raw);
	return readFile(raw);
}

const write = (file: string, ...commands: string[]) =>
	run("qemu-io", "-f", "vmdk", ...commands.flatMap((command) => ["-c", command]), file);

/** Creates `name`, over `parent` where there is one; `parent` is named as it is given. */
async function create(name: string, parent?: string, options = "subformat=monolithicSparse"): Promise<string> {
	const over = parent === undefined ? [] : ["-F", "vmdk", "-b", parent];
	const size = parent === undefined ? ["8M"] : [];
	await run("qemu-img", "create", "-q", "-f", "vmdk", "-o", options, ...over, inFolder(name), ...size);
	return inFolder(name);
}

const read = (file: string) => withDisk(file, readAll);

describe.skipIf(missing("qemu-img", "qemu-io"))(`VMDK snapshots ${because("qemu-img", "qemu-io")}`, () => {
	it("a chain of any writes is what qemu-img reads", async () => {
		const writes = fc.array(
			fc.tuple(fc.nat(8 * 2048 - 1), fc.integer({ min: 1, max: 600 }), fc.nat(255)).map(([at, length, value]) => {
				const sectors = Math.min(length, 8 * 2048 - at);
				return value === 0 ? `write -z ${at * 512} ${sectors * 512}` : `write -P ${value} ${at * 512} ${sectors * 512}`;
			}),
			{ minLength: 1, maxLength: 6 },
		);
		let chain = 0;
		const subformats = fc.constantFrom(
			"subformat=monolithicSparse",
			"subformat=twoGbMaxExtentSparse",
			"zeroed_grain=on",
			"subformat=monolithicSparse,adapter_type=lsilogic,hwversion=13",
			"compat6=on",
		);
		await fc.assert(
			fc.asyncProperty(fc.array(fc.tuple(writes, subformats), { minLength: 2, maxLength: 4 }), async (levels) => {
				chain++;
				let top: string | undefined;
				for (const [level, [commands, options]] of levels.entries()) {
					const name = `chain-${chain}-${level}.vmdk`;
					await write(await create(name, top, options), ...commands);
					top = name;
				}
				const file = inFolder(top ?? "");
				expect(Buffer.compare(await read(file), await judged(file))).toBe(0);
			}),
			{ numRuns: 12 },
		);
	});

	it("shows through to what its parent has as data, and where", async () => {
		await write(await create("shown.vmdk"), "write -P 7 0 1M");
		const child = await create("over.vmdk", "shown.vmdk");
		await write(child, "write -P 8 64k 64k");
		await withDisk(child, async (disk) => {
			const extents = await listExtents(disk);
			expect(extents.map(({ at, length, kind, stored }) => [at, length, kind, stored?.source.name])).toEqual([
				[0, 65536, "data", inFolder("shown.vmdk")],
				[65536, 65536, "data", child],
				[131072, MIB - 131072, "data", inFolder("shown.vmdk")],
				[MIB, 7 * MIB, "zero", undefined],
			]);
			const { details } = await withDisk(inFolder("shown.vmdk"), (parent) => Promise.resolve(parent));
			expect(disk.details).toMatchObject({ parentCid: details?.["cid"], parent: "shown.vmdk" });
		});
	});

	it("is refused when the parent was changed after it was taken, or is no VMDK", async () => {
		await write(await create("changed.vmdk"), "write -P 7 0 1M");
		const child = await create("orphan.vmdk", "changed.vmdk");
		await write(inFolder("changed.vmdk"), "write -P 9 0 64k");
		await expect(read(child)).rejects.toMatchObject({
			kind: "damaged",
			message: /taken when .*changed\.vmdk had the content ID [0-9a-f]{8}; now it has [0-9a-f]{8}/,
			hint: /content ID/,
		});
		await writeFile(inFolder("changed.vmdk"), new Uint8Array(8 * MIB));
		await expect(read(child)).rejects.toMatchObject({ kind: "damaged", message: /changed\.vmdk/ });
	});

	it("finds a parent that is named by a path of another system beside it", async () => {
		const base = await create("moved.vmdk");
		await write(base, "write -P 5 0 64k");
		const cid = await withDisk(base, (disk) => Promise.resolve(String(disk.details?.["cid"])));
		for (const name of ["/vmfs/volumes/5f3c/vm/moved.vmdk", "D:\\VMs\\old\\moved.vmdk"]) {
			const child = inFolder("elsewhere.vmdk");
			await writeFile(child, describing("custom", ["RW 16384 ZERO"], { cid, name }));
			expect((await read(child)).every((byte) => byte === 0)).toBe(true);
			await writeFile(child, describing("custom", ["RW 16384 ZERO"], { cid: "01010101", name }));
			await expect(read(child)).rejects.toMatchObject({ kind: "damaged", message: /now it has/ });
		}
		await writeFile(inFolder("nowhere.vmdk"), describing("custom", ["RW 8 ZERO"], { cid, name: "/a/none.vmdk" }));
		await expect(read(inFolder("nowhere.vmdk"))).rejects.toMatchObject({ kind: "not-found", message: /none\.vmdk/ });
	});

	it("follows no circle, and nothing outside of its folder", async () => {
		await mkdir(inFolder("inner"));
		for (const [file, name, kind] of [
			["circle.vmdk", "circle.vmdk", "refused"],
			["protocol.vmdk", "json:{}", "refused"],
			// It is there, but only inside of the folder may it be.
			["inner/outside.vmdk", "../moved.vmdk", "not-found"],
		] as const) {
			await writeFile(inFolder(file), describing("custom", ["RW 8 ZERO"], { cid: "0badf00d", name }));
			await expect(read(inFolder(file))).rejects.toMatchObject({ kind });
		}
	});

	it("that does not say what it continues is damaged", async () => {
		for (const [what, by] of [
			['parentFileNameHint="x"', ""],
			["parentCID=0badf00d", "parentCID=what"],
		] as const) {
			const text = describing("custom", ["RW 8 ZERO"], { cid: "0badf00d", name: "x" }).replace(what, by);
			await writeFile(inFolder("unsaid.vmdk"), text);
			await expect(read(inFolder("unsaid.vmdk"))).rejects.toMatchObject({
				kind: "damaged",
				hint: /parentFileNameHint/,
			});
		}
	});

	it("leaves no file open", () => {
		expect(openFileCount()).toBe(0);
	});
});
