import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { importersNamed } from "../../src/lint/index.js";
import { fixNamed, lintNamed } from "../../src/linting.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "../target/appliance.js";

const MEBIBYTE = 1 << 20;

describe.skipIf(missing("tar"))(`an XVA ${because("tar")}`, () => {
	let root = "";
	let right = "";
	/** The members, in order, and a folder that has them. */
	let names: string[] = [];
	let parts = "";

	beforeAll(async () => {
		root = await temporaryFolder();
		const disks = [
			await rawDisk(path.join(root, "a.img"), 5 * MEBIBYTE),
			await rawDisk(path.join(root, "b.img"), 3 * MEBIBYTE, 2),
		];
		const { folder } = await written(root, "xenserver", "xva", {
			disks,
			machine: { ...machine, firmware: "uefi" },
		});
		right = path.join(folder, (await readdir(folder)).find((name) => name.endsWith(".xva")) ?? "");
		names = (await run("tar", "-tf", right)).trim().split("\n");
		parts = path.join(root, "parts");
		await mkdir(parts);
		await run("tar", "-xf", right, "-C", parts);
	});

	/** Packs the members that tar is told, and says which rules that breaks. */
	async function rulesOf(archive: string, members: readonly string[], folder = parts): Promise<readonly string[]> {
		const file = path.join(root, archive);
		await run("tar", "--format=ustar", "--no-recursion", "-cf", file, "-C", folder, ...members);
		await using linted = await lintNamed(file, { importers: importersNamed("xenserver") });
		return linted.verdicts.flatMap(({ findings }) => findings.map(({ rule }) => rule));
	}

	const chunks = (reference: string) => names.filter((name) => name.startsWith(`${reference}/`));

	test("of ours breaks no rule, also when tar packs it again", async () => {
		expect(await rulesOf("same.xva", names)).toEqual([]);
	});

	test("that does not begin with its description is refused, and corrected", async () => {
		const file = path.join(root, "late.xva");
		expect(await rulesOf("late.xva", [...names.slice(1), "ova.xml"])).toEqual(["xenserver/first-member"]);
		const options = { importers: importersNamed("xenserver"), now: 0 };
		await using linted = await lintNamed(file, options);
		await fixNamed(linted, path.join(root, "fixed.xva"), options);
		expect((await run("tar", "-tf", path.join(root, "fixed.xva"))).trim().split("\n")).toEqual(names);
	});

	test("without the first, the last or any chunk of a disk is told", async () => {
		const [first = ""] = chunks("Ref:010");
		const last = chunks("Ref:010").at(-2) ?? "";
		const without = (...gone: string[]) => names.filter((name) => !gone.some((each) => name.startsWith(each)));
		expect(await rulesOf("no-first.xva", without(first))).toEqual(["xenserver/first-chunk"]);
		expect(await rulesOf("no-last.xva", without(last))).toEqual(["xenserver/last-chunk"]);
		expect(await rulesOf("no-disk.xva", without("Ref:011/"))).toEqual(["xenserver/no-chunks"]);
		expect(await rulesOf("no-sum.xva", without(`${last}.xxhash`))).toEqual(["xenserver/checksum"]);
	});

	test("with disks or chunks out of order is refused", async () => {
		const disks = [...chunks("Ref:011"), ...chunks("Ref:010")];
		expect(await rulesOf("disks.xva", ["ova.xml", ...disks])).toEqual(["xenserver/disk-order"]);
		const [a = "", aSum = "", b = "", bSum = "", ...rest] = chunks("Ref:010");
		const swapped = ["ova.xml", b, bSum, a, aSum, ...rest, ...chunks("Ref:011")];
		expect(await rulesOf("chunks.xva", swapped)).toEqual(["xenserver/chunk-order", "xenserver/first-chunk"]);
	});

	test("whose first chunk is short, whose sums are small, or whose device model has no UEFI is refused", async () => {
		const folder = path.join(root, "spoilt");
		await run("cp", "-r", parts, folder);
		const [first = "", sum = ""] = chunks("Ref:010");
		await writeFile(path.join(folder, first), (await readFile(path.join(parts, first))).subarray(0, 512));
		await writeFile(path.join(folder, sum), "ef46db3751d8e999");
		const xml = await readFile(path.join(parts, "ova.xml"), "utf8");
		await writeFile(path.join(folder, "ova.xml"), xml.replaceAll("qemu-upstream-uefi", "qemu-trad"));
		expect(await rulesOf("spoilt.xva", names, folder)).toEqual([
			"xenserver/chunk-size",
			"xenserver/checksum-form",
			"xenserver/device-model",
		]);
	});

	test("whose sums end with a line, as a shell writes them, is refused", async () => {
		const folder = path.join(root, "lines");
		await run("cp", "-r", parts, folder);
		const sum = chunks("Ref:011")[1] ?? "";
		await writeFile(path.join(folder, sum), `${await readFile(path.join(parts, sum), "utf8")}\n`);
		expect(await rulesOf("lines.xva", names, folder)).toEqual(["xenserver/checksum-form"]);
	});
});
