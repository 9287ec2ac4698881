import { copyFile, mkdir, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { gzipSync } from "node:zlib";
import { beforeAll, describe, expect, it } from "vitest";
import { everyVariant, formatFacts, streamedVariants } from "../../src/cli/disk/formats.js";
import type { DiskInfo } from "../../src/cli/disk/info.js";
import { exitCodes } from "../../src/cli/exit-codes.js";
import type { MapEntry } from "../../src/disk/map.js";
import { diskFormats } from "../../src/disk/registry.js";
import { buildVhdChild } from "../disk/vhd-chains.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { anyvisor } from "./support.js";

const MIB = 2 ** 20;

describe("what help and completion know of disk formats", () => {
	it("is what the registry has", () => {
		const known = Object.fromEntries(Object.entries(formatFacts).map(([id, { variants }]) => [id, variants]));
		expect(known).toEqual(Object.fromEntries(diskFormats.map(({ id, variants }) => [id, variants])));
	});

	it("names only variants that there are", () => {
		const all = diskFormats.flatMap(({ id, variants }) => variants.map((variant) => `${id}/${variant}`));
		expect(all).toEqual(expect.arrayContaining([...streamedVariants]));
		for (const { variants, compressed } of Object.values(formatFacts)) {
			expect(compressed === undefined || variants.includes(compressed)).toBe(true);
		}
		expect(new Set(everyVariant).size).toBe(everyVariant.length);
	});
});

describe("the disk command", () => {
	it("explains each of its commands", async () => {
		const help = (await anyvisor(["disk", "--help"])).stdout;
		for (const name of ["info", "check", "convert", "compare", "map", "snapshot", "faces"]) {
			expect(help).toMatch(new RegExp(`^ +${name} `, "m"));
			const { code, stdout } = await anyvisor(["disk", name, "--help"]);
			expect(code).toBe(0);
			expect(stdout).toContain(`Usage: anyvisor disk ${name}`);
		}
	});

	it.skipIf(missing("bash"))(`is completed by bash, with formats and variants ${because("bash")}`, async () => {
		const script = path.join(await temporaryFolder(), "completion");
		await writeFile(script, (await anyvisor(["completion", "bash"])).stdout);
		const complete = async (...words: string[]) => {
			const line = words.map((word) => `'${word}'`).join(" ");
			const probe = `. ${script}; COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _anyvisor; printf '%s\\n' "\${COMPREPLY[@]}"`;
			return (await run("bash", "-c", probe)).trimEnd().split("\n");
		};
		expect(await complete("anyvisor", "disk", "com")).toEqual(["compare"]);
		expect(await complete("anyvisor", "disk", "snapshot", "")).toEqual(["list", "--help"]);
		expect(await complete("anyvisor", "disk", "snapshot", "list", "a.qcow2", "--j")).toEqual(["--json"]);
		expect(await complete("anyvisor", "disk", "convert", "a", "b", "--to", "vh")).toEqual(["vhdx", "vhd"]);
		expect(await complete("anyvisor", "convert", "a", "b", "--variant", "stream")).toEqual(["streamOptimized"]);
		expect(await complete("anyvisor", "disk", "info", "--format", "parallels")).toEqual(["parallels"]);
	});
});

describe.skipIf(missing("qemu-img", "qemu-io"))(`disk commands ${because("qemu-img", "qemu-io")}`, () => {
	let folder = "";
	const at = (name: string) => path.join(folder, name);

	beforeAll(async () => {
		folder = await temporaryFolder();
		const file = await open(at("disk.raw"), "w");
		for (const [place, length, text] of [
			[0, 70_000, "start "],
			[10 * MIB, 3 * MIB, "middle "],
			[48 * MIB - 512, 512, "end "],
		] as const) {
			await file.write(Buffer.alloc(length, text), 0, length, place);
		}
		await file.close();
		await run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", at("disk.raw"), at("base.qcow2"));
		await run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", at("middle.qcow2"));
		await run("qemu-io", "-c", "write -P 7 1M 1M", "-c", "write -z 11M 1M", at("middle.qcow2"));
		await run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", at("top.qcow2"));
		await run("qemu-img", "snapshot", "-c", "before the update", at("top.qcow2"));
		await run("qemu-io", "-c", "write -P 9 20M 64k", at("top.qcow2"));
	});

	async function ok(...args: string[]): Promise<string> {
		const { code, stdout, stderr } = await anyvisor(["disk", ...args]);
		expect(code, stderr).toBe(0);
		return stdout;
	}
	const info = async (...args: string[]) => JSON.parse(await ok("info", "--json", ...args)) as DiskInfo;

	async function converted(name: string, format: string, ...options: string[]): Promise<string> {
		await run("qemu-img", "convert", "-f", "raw", "-O", format, ...options, at("disk.raw"), at(name));
		return at(name);
	}

	describe("info", () => {
		it.each([
			["raw", "raw", null],
			["qcow2", "qcow2", null],
			["vmdk", "vmdk", "monolithicSparse"],
			["vpc", "vhd", "dynamic"],
			["vhdx", "vhdx", "dynamic"],
			["vdi", "vdi", "dynamic"],
		])("says of %s what qemu-img says", async (judge, format, variant) => {
			const file = await converted(`info.${judge}`, judge, ...(judge === "vpc" ? ["-o", "force_size=on"] : []));
			// What a file takes up is settled when it is on the disk.
			await run("sync", file);
			const theirs = JSON.parse(await run("qemu-img", "info", "-f", judge, "--output=json", file));
			const ours = await info(file);
			expect(ours).toMatchObject({ file, format, variant, sectorSize: 512, files: [] });
			expect(ours.virtualSize).toBe(theirs["virtual-size"]);
			expect(ours.allocated).toBe(theirs["actual-size"]);
			const text = await ok("info", file);
			expect(text).toContain("virtual size");
			expect(text).toContain("48.0 MiB (50331648 bytes)");
			expect(text).not.toContain("\u001b");
		});

		it("follows a chain, and lists snapshots", async () => {
			const { files, snapshots, virtualSize } = await info(at("top.qcow2"));
			expect(virtualSize).toBe(48 * MIB);
			expect(files.map(({ name, state, format }) => [name, state, format])).toEqual([
				[at("middle.qcow2"), "ok", "qcow2"],
				[at("base.qcow2"), "ok", "qcow2"],
			]);
			expect(snapshots).toMatchObject([{ name: "before the update", size: 48 * MIB, vmStateSize: 0 }]);
			const listed = JSON.parse(await ok("snapshot", "list", "--json", at("top.qcow2")));
			expect(listed).toEqual(snapshots);
			expect(await ok("snapshot", "list", at("top.qcow2"))).toContain("before the update");
			expect(await ok("snapshot", "list", at("base.qcow2"))).toContain("no snapshots");
			const { code, stderr } = await anyvisor(["disk", "snapshot", "list", at("disk.raw")]);
			expect(code, stderr).toBe(exitCodes.unsupported);
		});

		it("tells what it can where a file of the chain is missing", async () => {
			const home = at("incomplete");
			await mkdir(home);
			for (const name of ["middle.qcow2", "top.qcow2"]) await copyFile(at(name), path.join(home, name));
			const { files, virtualSize, snapshots } = await info(path.join(home, "top.qcow2"));
			expect(virtualSize).toBe(48 * MIB);
			expect(snapshots).toHaveLength(1);
			expect(files).toMatchObject([
				{ name: path.join(home, "middle.qcow2"), state: "ok" },
				{ name: "base.qcow2", state: "missing", hint: expect.any(String) },
			]);
			const text = await ok("info", path.join(home, "top.qcow2"));
			expect(text).toMatch(/✘ +base\.qcow2 +missing/);
			expect(text).toMatch(/Next: \S/);
			expect((await anyvisor(["disk", "check", path.join(home, "top.qcow2")])).code).toBe(exitCodes["not-found"]);
		});

		it("names files elsewhere, and follows them when it may", async () => {
			await mkdir(at("inner"));
			const file = at("inner/outside.qcow2");
			await run("qemu-img", "create", "-q", "-f", "qcow2", "-b", "../base.qcow2", "-F", "qcow2", file);
			expect((await info(file)).files).toMatchObject([
				{ name: "../base.qcow2", state: "external", hint: expect.stringContaining("--allow-external") },
			]);
			expect((await info("--allow-external", "../base.qcow2", file)).files).toMatchObject([
				{ name: at("base.qcow2"), state: "ok", format: "qcow2" },
			]);
		});

		it("tells the format where nothing else can be told without what is missing", async () => {
			await converted("split.vmdk", "vmdk", "-o", "subformat=twoGbMaxExtentSparse");
			await rm(at("split-s001.vmdk"));
			expect(await info(at("split.vmdk"))).toMatchObject({
				format: "vmdk",
				virtualSize: null,
				files: [{ name: "split-s001.vmdk", state: "missing" }],
			});
		});

		it("lists a parent once, under the name that led to it", async () => {
			await ok("convert", at("disk.raw"), at("parent.vhd"));
			const parent = await info(at("parent.vhd"));
			const child = buildVhdChild({
				content: new Uint8Array(48 * MIB),
				own: (sector) => sector === 0,
				blockSize: 2 * MIB,
				id: "9a6b7f0e-1c5d-4e57-8f0a-3d2b1c0a9e88",
				parentId: String(parent.details["uniqueId"]),
				relativePath: ".\\renamed.vhd",
				absolutePath: "C:\\disks\\parent.vhd",
			});
			await writeFile(at("child.vhd"), child);
			expect(await info(at("child.vhd"))).toMatchObject({
				variant: "differencing",
				virtualSize: 48 * MIB,
				files: [{ name: at("parent.vhd"), state: "ok", format: "vhd" }],
			});
			await rm(at("parent.vhd"));
			const orphan = await info(at("child.vhd"));
			expect(orphan.format).toBe("vhd");
			expect(orphan.files.map(({ name, state }) => [name, state])).toEqual([
				["renamed.vhd", "missing"],
				["parent.vhd", "missing"],
			]);
		});

		it("ends with the failure's own code for what is encrypted, and for what is no disk", async () => {
			const file = at("secret.qcow2");
			await copyFile(at("base.qcow2"), file);
			const handle = await open(file, "r+");
			await handle.write(Uint8Array.of(0, 0, 0, 1), 0, 4, 32);
			await handle.close();
			const encrypted = await anyvisor(["disk", "info", file]);
			expect(encrypted.code).toBe(exitCodes.refused);
			expect(encrypted.stderr).toContain("encrypted");
			await writeFile(at("letter.txt"), "Dear Sir or Madam,\n".repeat(99));
			expect((await anyvisor(["disk", "info", at("letter.txt")])).code).toBe(exitCodes.unsupported);
			expect((await anyvisor(["disk", "info", at("none.qcow2")])).code).toBe(exitCodes["not-found"]);
		});
	});

	it("keeps to the limit for temporary files that it is given, whoever opens the disk", async () => {
		const file = path.join(folder, "large.raw.gz");
		await writeFile(file, gzipSync(new Uint8Array(3 * MIB).fill(1)));
		for (const words of [["disk", "info"], ["disk", "compare", file], ["inspect"], ["volumes"]]) {
			const { code, stderr } = await anyvisor([...words, file, "--spool-limit", "2M"]);
			expect(code, stderr).toBe(exitCodes.refused);
			expect(stderr).toContain("2097152 bytes");
			expect(stderr).toContain("--spool-limit");
		}
		const { code, stdout } = await anyvisor(["disk", "info", "--json", file, "--spool-limit", "4M"]);
		expect([code, JSON.parse(stdout)]).toMatchObject([0, { virtualSize: 3 * MIB }]);
	});

	it("takes the disk of one of the machines of an OVF by --system", async () => {
		const item = (type: number, id: number, more = "") =>
			`<Item><rasd:ElementName>e${id}</rasd:ElementName>${more}<rasd:InstanceID>${id}</rasd:InstanceID><rasd:ResourceType>${type}</rasd:ResourceType></Item>`;
		const system = (id: string) =>
			`<VirtualSystem ovf:id="${id}"><Info/><VirtualHardwareSection><Info/>${item(5, 1)}<Item><rasd:ElementName>d</rasd:ElementName><rasd:HostResource>ovf:/disk/${id}</rasd:HostResource><rasd:InstanceID>2</rasd:InstanceID><rasd:Parent>1</rasd:Parent><rasd:ResourceType>17</rasd:ResourceType></Item></VirtualHardwareSection></VirtualSystem>`;
		const names = ["web", "db"];
		const each = (text: (name: string) => string) => names.map((name) => text(name)).join("");
		const ovf = at("two.ovf");
		await writeFile(at("web.img"), new Uint8Array(MIB).fill(1));
		await writeFile(at("db.img"), new Uint8Array(2 * MIB).fill(1));
		await writeFile(
			ovf,
			`<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData">
			<References>${each((name) => `<File ovf:id="f-${name}" ovf:href="${name}.img"/>`)}</References>
			<DiskSection><Info/>${each((name) => `<Disk ovf:diskId="${name}" ovf:fileRef="f-${name}" ovf:capacity="1" ovf:format="raw"/>`)}</DiskSection>
			<VirtualSystemCollection>${each(system)}</VirtualSystemCollection></Envelope>`,
		);
		for (const command of ["info", "map", "check"]) {
			const { code, stderr } = await anyvisor(["disk", command, ovf]);
			expect([code, stderr]).toEqual([exitCodes.usage, expect.stringContaining("describes 2 machines: web, db")]);
		}
		const info = await anyvisor(["disk", "info", "--json", ovf, "--system", "db"]);
		expect(JSON.parse(info.stdout)).toMatchObject({ virtualSize: 2 * MIB });
		const map = await anyvisor(["disk", "map", "--json", ovf, "--system", "web"]);
		expect(JSON.parse(map.stdout)).toMatchObject([{ start: 0, length: MIB, kind: "data" }]);
		const compare = ["disk", "compare", ovf, ovf, "--strict", "--system"];
		expect(await anyvisor([...compare, "db", "--system2", "db"])).toMatchObject({ code: 0 });
		expect(await anyvisor([...compare, "db", "--system2", "web"])).toMatchObject({ code: 1 });
	});

	it("inspect looks into archives for the disk as well", async () => {
		await run("tar", "-C", folder, "-cf", at("disk.tar"), "base.qcow2");
		for (const name of [at("disk.tar"), `${at("disk.tar")}:base.qcow2`]) {
			const { code, stderr } = await anyvisor(["inspect", name]);
			expect(code).toBe(exitCodes.unsupported);
			expect(stderr).toMatch(/No operating system.*disk\.tar:base\.qcow2/);
		}
	});

	describe("map", () => {
		interface Theirs {
			readonly start: number;
			readonly length: number;
			readonly data: boolean;
			readonly zero: boolean;
		}

		/** Runs of data and of zeros, joined; what QEMU calls data that is zero is zero. */
		function runs<T extends { start: number; length: number }>(entries: readonly T[], isData: (entry: T) => boolean) {
			const joined: [start: number, end: number, data: boolean][] = [];
			for (const entry of entries) {
				const { start, length } = entry;
				const data = isData(entry);
				const last = joined.at(-1);
				if (last?.[2] === data && last[1] === start) last[1] += length;
				else joined.push([start, start + length, data]);
			}
			return joined;
		}

		it.each([
			["raw", "raw", []],
			["qcow2", "qcow2", []],
			["qcow2", "qcow2", ["-c"]],
			["vmdk", "vmdk", []],
			["vmdk", "vmdk", ["-o", "subformat=streamOptimized"]],
			["vdi", "vdi", []],
			// Of VHDX, QEMU takes all for data.
		])("agrees with qemu-img map about %s %s %j", async (format, judge, options) => {
			const file = await converted(`map-${options.length}.${format}`, judge, ...options);
			const theirs = JSON.parse(await run("qemu-img", "map", "-f", judge, "--output=json", file)) as Theirs[];
			const ours = JSON.parse(await ok("map", "--json", file)) as MapEntry[];
			expect(runs(ours, ({ kind }) => kind === "data")).toEqual(runs(theirs, ({ data, zero }) => data && !zero));
		});

		it("names the file of each run of a chain, at the offset where its bytes are", async () => {
			const entries = JSON.parse(await ok("map", "--json", at("top.qcow2"))) as MapEntry[];
			expect(entries.at(-1)?.start).toBeLessThan(48 * MIB);
			const data = entries.filter(({ kind }) => kind === "data");
			expect(new Set(data.map(({ file }) => file))).toEqual(
				new Set(["base.qcow2", "middle.qcow2", "top.qcow2"].map(at)),
			);
			for (const [start, file, byte] of [
				[MIB, "middle.qcow2", 7],
				[20 * MIB, "top.qcow2", 9],
			] as const) {
				const entry = data.find((each) => each.start === start);
				expect(entry?.file).toBe(at(file));
				expect((await readFile(at(file)))[entry?.offset ?? 0]).toBe(byte);
			}
			expect(await ok("map", at("top.qcow2"))).toMatch(/^0x00100000 +1\.0 MiB +data +0x[0-9a-f]{8} +.*middle\.qcow2$/m);
			const before = JSON.parse(await ok("map", "--json", "--snapshot", "before the update", at("top.qcow2")));
			expect((before as MapEntry[]).map(({ file }) => file)).not.toContain(at("top.qcow2"));
		});

		it("costs what the data costs, not the virtual size", async () => {
			await run("qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=2M", at("huge.qcow2"), "64T");
			const started = performance.now();
			expect(JSON.parse(await ok("map", "--json", at("huge.qcow2")))).toEqual([
				{ start: 0, length: 64 * 2 ** 40, kind: "zero", file: null, offset: null, compressed: false },
			]);
			expect(performance.now() - started).toBeLessThan(3000);
		});
	});

	describe("compare", () => {
		const compare = async (...args: string[]) => {
			const { code, stdout, stderr } = await anyvisor(["disk", "compare", ...args]);
			return { code, stdout, stderr };
		};

		it("ends with 0 for what is identical, in any two formats", async () => {
			const packed = await converted("same.qcow2", "qcow2", "-c");
			const vmdk = await converted("same.vmdk", "vmdk", "-o", "subformat=streamOptimized");
			expect(await compare(packed, vmdk)).toMatchObject({ code: 0, stdout: "Identical.\n" });
			const { stdout } = await compare("--json", at("disk.raw"), packed);
			const sizes = [48 * MIB, 48 * MIB];
			expect(JSON.parse(stdout)).toMatchObject({ identical: true, sameSize: true, firstDifference: null, sizes });
		});

		it("ends with 1 and the first offset for what differs", async () => {
			const { code, stdout } = await compare(at("disk.raw"), at("top.qcow2"));
			expect(code).toBe(exitCodes.differ);
			expect(stdout).toContain(`byte ${MIB} (0x100000)`);
			const json = await compare("--json", at("disk.raw"), at("top.qcow2"));
			expect(json.code).toBe(exitCodes.differ);
			expect(JSON.parse(json.stdout)).toMatchObject({ identical: false, firstDifference: MIB });
		});

		it("lets a larger disk end in zeros, unless it is strict", async () => {
			await copyFile(at("base.qcow2"), at("larger.qcow2"));
			await run("qemu-img", "resize", "-q", at("larger.qcow2"), "64M");
			const lenient = await compare(at("disk.raw"), at("larger.qcow2"));
			expect(lenient).toMatchObject({
				code: 0,
				stdout: expect.stringMatching(/Identical.*zero.*48\.0 MiB.*64\.0 MiB/),
			});
			expect((await compare("--strict", at("disk.raw"), at("larger.qcow2"))).code).toBe(exitCodes.differ);
		});

		it("never says that disks differ because one of them cannot be read", async () => {
			expect((await compare(at("disk.raw"), at("none.raw"))).code).toBe(exitCodes["not-found"]);
			expect((await compare(at("disk.raw"))).code).toBe(exitCodes.usage);
		});

		it("reports progress to the end", async () => {
			const { stderr } = await compare("--progress", "json", at("disk.raw"), at("base.qcow2"));
			const events = stderr
				.trimEnd()
				.split("\n")
				.map((line) => JSON.parse(line) as object);
			expect(events.at(-1)).toMatchObject({ finished: true, done: 48 * MIB, total: 48 * MIB });
		});
	});

	describe("check", () => {
		it("ends with 0 for a clean image", async () => {
			expect(await ok("check", "--read", at("top.qcow2"))).toMatch(/No errors; all data can be read/);
			const summary = JSON.parse(await ok("check", "--json", at("base.qcow2")));
			expect(summary).toMatchObject({ format: "qcow2", counts: { error: 0, leak: 0, warning: 0 }, findings: [] });
		});

		it("ends with 10 for errors, each told with its place", async () => {
			await copyFile(at("base.qcow2"), at("broken.qcow2"));
			const file = await open(at("broken.qcow2"), "r+");
			// The first two clusters of the disk, by the L2 table that qemu-img places behind the L1 table: made one.
			const l1 = Number((await file.read(Buffer.alloc(8), 0, 8, 40)).buffer.readBigUInt64BE());
			const entry = (await file.read(Buffer.alloc(8), 0, 8, l1)).buffer.readBigUInt64BE();
			const l2 = Number(entry & 0x00ff_ffff_ffff_fe00n);
			const first = (await file.read(Buffer.alloc(8), 0, 8, l2)).buffer;
			await file.write(first, 0, 8, l2 + 8);
			await file.close();
			const { code, stdout } = await anyvisor(["disk", "check", at("broken.qcow2")]);
			expect(code).toBe(exitCodes["check-errors"]);
			expect(stdout).toMatch(/^error +.*more than one place/m);
			const json = await anyvisor(["disk", "check", "--json", at("broken.qcow2")]);
			expect(json.code).toBe(exitCodes["check-errors"]);
			const { findings, counts } = JSON.parse(json.stdout);
			expect(findings).toHaveLength(counts.error + counts.leak + counts.warning);
		});

		it("ends with 11 for leaks only", async () => {
			const file = await converted("leak.vdi", "vdi");
			const handle = await open(file, "r+");
			const map = (await handle.read(Buffer.alloc(4), 0, 4, 0x154)).buffer.readUInt32LE();
			await handle.write(Uint8Array.of(255, 255, 255, 255), 0, 4, map);
			await handle.close();
			const { code, stdout } = await anyvisor(["disk", "check", file]);
			expect(code, stdout).toBe(exitCodes["check-leaks"]);
			expect(stdout).toMatch(/^leak /m);
		});
	});

	describe.skipIf(corpus === undefined || missing("gzip"))(
		`a Parallels folder ${corpusReason}${because("gzip")}`,
		() => {
			it("is opened by its descriptor", async () => {
				const home = at("plain.hdd");
				await mkdir(home);
				const disk = "plain.hdd.0.{5fbaabe3-6958-40ff-92a7-860e329aab41}.hds";
				const data = "fox-it+dissect.hypervisor/tests/_data/disk/hdd/plain.hdd";
				await run(
					"sh",
					"-c",
					`gzip -dc "$1" >"$2"`,
					"sh",
					path.join(corpus ?? "", data, `${disk}.gz`),
					path.join(home, disk),
				);
				const { size } = await stat(path.join(home, disk));
				const descriptor = await readFile(
					path.join(corpus ?? "", "log2timeline+dfvfs/test_data/hfsplus.hdd/DiskDescriptor.xml"),
					"utf8",
				);
				const sectors = String(size / 512);
				await writeFile(
					path.join(home, "DiskDescriptor.xml"),
					descriptor
						.replace(/<Disk_size>\d+/, `<Disk_size>${sectors}`)
						.replace(/<End>\d+/, `<End>${sectors}`)
						.replace(/<Type>\w+/, "<Type>Plain")
						.replace(/<File>[^<]+/, `<File>${disk}`),
				);
				expect(await info(home)).toMatchObject({ format: "parallels", virtualSize: size, files: [{ state: "ok" }] });
			});
		},
	);
});
