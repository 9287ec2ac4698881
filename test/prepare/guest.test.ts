import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { lstat, mkdir, open, readdir, readFile, readlink, unlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ByteSource } from "../../src/bytes/source.js";
import type { Disk } from "../../src/disk/disk.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { openVm } from "../../src/open.js";
import { type Prepared, prepare } from "../../src/packaging.js";
import { inspect, judgeAll, look, planFor, type Vm } from "../../src/pipeline.js";
import { optionalRules, type Rule, rules } from "../../src/prepare/index.js";
import { openFile } from "../../src/source/index.js";
import { unmountable } from "../filesystem/xfs-images.js";
import { guestTools, testGuest } from "../support/guests.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const tools = [...guestTools, "debugfs", "e2fsck", "fsck.vfat", "sfdisk", "mtype"];
const now = 1_790_000_000;
const mebibyte = 2 ** 20;
/** The guest has no udev: the kernel calls its interface eth0 wherever it is. */
const needed = rules.filter((rule) => rule !== "network" && !optionalRules.includes(rule));

const opened: ByteSource[] = [];
afterAll(async () => {
	for (const source of opened) await source[Symbol.asyncDispose]?.();
});

async function openGuest(file: string): Promise<Vm> {
	const source = await openFile(file);
	opened.push(source);
	return openVm({ source, neighbour: () => Promise.reject(new Error("a raw disk has no neighbour")) });
}

/** As `convert` to raw would, with holes for zeros. */
async function writeRaw(disk: Disk, file: string): Promise<void> {
	await using out = await open(file, "wx");
	const chunk = new Uint8Array(mebibyte);
	for await (const { at, length, kind } of disk.extents()) {
		if (kind === "zero") continue;
		for (let done = 0; done < length; done += mebibyte) {
			const part = chunk.subarray(0, Math.min(mebibyte, length - done));
			await disk.read(at + done, part);
			if (part.some((byte) => byte !== 0)) await out.write(part, 0, part.length, at + done);
		}
	}
	await out.truncate(disk.size);
}

async function sha256(file: string): Promise<string> {
	const hash = createHash("sha256");
	for await (const chunk of createReadStream(file, { highWaterMark: mebibyte })) hash.update(chunk as Buffer);
	return hash.digest("hex");
}

/** Byte offsets of the partitions, by the number that Linux gives them. */
async function partitions(disk: string): Promise<readonly number[]> {
	const { partitiontable } = JSON.parse(await run("sfdisk", "--json", disk)) as {
		partitiontable: { partitions: readonly { start: number }[] };
	};
	return [0, ...partitiontable.partitions.map(({ start }) => start * 512)];
}

/** Every file of the root file system as debugfs takes it out: path to kind, mode, owner and contents. */
async function filesOf(disk: string, folder: string): Promise<ReadonlyMap<string, string>> {
	await mkdir(folder);
	await run("debugfs", "-R", `rdump / ${folder}`, `${disk}?offset=${(await partitions(disk))[3]}`);
	const files = new Map<string, string>();
	for (const entry of await readdir(folder, { recursive: true })) {
		const file = path.join(folder, entry);
		const stat = await lstat(file);
		const facts = `${stat.mode.toString(8)} ${stat.uid}:${stat.gid} `;
		if (stat.isSymbolicLink()) files.set(`/${entry}`, facts + (await readlink(file)));
		else files.set(`/${entry}`, facts + (stat.isFile() ? await sha256(file) : ""));
	}
	return files;
}

const probe = await temporaryFolder();

describe.skipIf(missing(...tools))(`a whole guest ${because(...tools)}`, () => {
	describe.each(["initramfs-tools", "dracut"] as const)("of %s", (generator) => {
		let folder = "";
		let source = "";
		let digest = "";
		let result = "";
		let prepared: Prepared;
		const own = (file: string) => path.join(folder, file);
		const dropIn = generator === "dracut" ? "/etc/dracut.conf.d/anyvisor.conf" : "/etc/initramfs-tools/hooks/anyvisor";

		beforeAll(async () => {
			folder = await temporaryFolder();
			source = await testGuest(generator);
			digest = await sha256(source);
			prepared = await prepare(await openGuest(source), hypervisors, { now });
			result = own("prepared.raw");
			const [disk] = prepared.vm.disks;
			if (disk) await writeRaw(disk, result);
		}, 300_000);

		it("gets the change of every rule that it needs", () => {
			expect(prepared.changes.map(({ rule }) => rule)).toEqual(needed);
		});

		it("is ready for every hypervisor, and a second time nothing changes", async () => {
			const vm = await openGuest(result);
			const contents = await look(vm);
			const judgements = await judgeAll(vm, contents, hypervisors);
			expect(judgements.map(({ verdict }) => verdict.verdict)).toEqual(hypervisors.map(() => "ready"));
			const again = await prepare(vm, hypervisors, { now: now + 1 });
			expect(again.changes).toEqual([]);
		});

		it("its file systems are sound", async () => {
			const [, , esp = 0, root = 0] = await partitions(result);
			expect(await run("e2fsck", "-fn", `${result}?offset=${root}`)).toMatch(/root: \d+\/\d+ files/);
			await run(
				"dd",
				"status=none",
				"bs=1M",
				`if=${result}`,
				`of=${own("esp.img")}`,
				`skip=${esp}`,
				"count=64",
				"iflag=skip_bytes",
			);
			expect(await run("fsck.vfat", "-n", own("esp.img"))).not.toMatch(/dirty|differ|error/i);
		});

		it("only what was planned is different: modes, owners and all other files are as they were", async () => {
			const before = await filesOf(source, own("before"));
			const after = await filesOf(result, own("after"));
			const different = [...after].filter(([name, facts]) => before.get(name) !== facts).map(([name]) => name);
			const planned = prepared.changes.map((change) => change.path).filter((name) => !name.startsWith("/boot/efi"));
			const folders = [...after.keys()].filter((name) => !before.has(name) && after.get(name)?.endsWith(" "));
			expect(different.sort()).toEqual([...planned, ...folders].sort());
			expect([...before.keys()].filter((name) => !after.has(name))).toEqual([]);
			for (const name of planned) {
				const kept = before.get(name)?.split(" ").slice(0, 2) ?? [generator === "dracut" ? "100644" : "100755", "0:0"];
				expect(after.get(name)?.split(" ").slice(0, 2)).toEqual(kept);
			}

			const read = (when: string, name: string) => readFile(own(when + name));
			const initramfs = planned.find((name) => name.includes("/boot/init")) ?? "";
			const original = await read("before", initramfs);
			expect((await read("after", initramfs)).subarray(0, original.length).equals(original)).toBe(true);
			const uuid = (
				await run("blkid", "-p", "-o", "value", "-s", "UUID", "-O", `${(await partitions(source))[3]}`, source)
			).trim();
			expect(await readFile(own("after/etc/fstab"), "utf8")).toBe(
				(await readFile(own("before/etc/fstab"), "utf8"))
					.replace("/dev/sda3", `UUID=${uuid}`)
					.replace("/dev/sda2", `UUID=${prepared.contents.volumes[1]?.filesystem?.uuid}`)
					.replace("/dev/sda4", `UUID=${prepared.contents.volumes[3]?.uuid}`),
			);
			expect(
				(await readFile(own("after/boot/grub/grub.cfg"), "utf8")).replace(`root=UUID=${uuid}`, "root=/dev/sda3"),
			).toBe(await readFile(own("before/boot/grub/grub.cfg"), "utf8"));
			expect((await lstat(own(`after${dropIn}`))).mode & 0o777).toBe(generator === "dracut" ? 0o644 : 0o755);
		});

		it("its firmware finds a loader where it looks by itself", async () => {
			const image = `${result}@@${(await partitions(result))[2]}`;
			const type = async (name: string, to: string) => {
				await run("mcopy", "-n", "-i", image, `::${name}`, own(to));
				return readFile(own(to));
			};
			const loader = await type("EFI/debian/grubx64.efi", "grub");
			expect((await type("EFI/BOOT/BOOTX64.EFI", "fallback")).equals(loader)).toBe(true);
		});

		it("the source is byte for byte what it was", async () => {
			expect(await sha256(source)).toBe(digest);
		});

		it.each(needed)("without %s all else is done, and that alone is left to do", async (rule) => {
			const partial = await prepare(await openGuest(source), hypervisors, { now, skip: new Set<Rule>([rule]) });
			expect(partial.changes.map((change) => change.rule)).toEqual(needed.filter((other) => other !== rule));
			const left = await planFor(partial.vm, partial.contents, hypervisors);
			// What an initramfs has already, its generator is not asked to add.
			expect(left.map((change) => change.rule)).toEqual(rule === "drop-in" ? [] : [rule]);
		});
	});

	const reason = missing("mkfs.xfs") ? because("mkfs.xfs") : unmountable(probe);
	it.skipIf(reason !== "")(`that was not unmounted is prepared as inspect says it can be ${reason}`, async () => {
		const folder = await temporaryFolder();
		const [live, left, result] = ["live.raw", "left.raw", "prepared.raw"].map((name) => path.join(folder, name));
		if (!live || !left || !result) throw new Error("three names");
		await run("cp", "--sparse=always", await testGuest("initramfs-tools"), live);
		const root = (await partitions(live))[3] ?? 0;
		const at = path.join(folder, "mounted");
		await mkdir(at);
		await run("mount", "-o", `loop,offset=${root}`, live, at);
		try {
			const held = await open(path.join(at, "etc/held"), "wx");
			await held.write("deleted, but open");
			await unlink(path.join(at, "etc/held"));
			await writeFile(path.join(at, "etc/late"), "late");
			await run("sync", "-f", at);
			await run("cp", "--sparse=always", live, left);
			await held.close();
		} finally {
			await run("umount", at);
		}
		expect(await run("dumpe2fs", "-h", `${left}?offset=${root}`)).toContain("needs_recovery");
		const { verdicts } = await inspect(await openGuest(left), hypervisors);
		expect(verdicts.map(({ verdict }) => verdict)).not.toContain("blocked");
		const { vm } = await prepare(await openGuest(left), hypervisors, { now });
		const [disk] = vm.disks;
		if (disk) await writeRaw(disk, result);
		expect(await run("dumpe2fs", "-h", `${left}?offset=${root}`)).toContain("needs_recovery");
		expect(await run("e2fsck", "-fn", `${result}?offset=${root}`)).toMatch(/root: \d+\/\d+ files/);
		expect(await run("debugfs", "-R", "cat /etc/late", `${result}?offset=${root}`)).toBe("late");

		// What was being removed when the machine stopped is not for everybody to finish.
		await run("debugfs", "-w", "-R", "set_super_value last_orphan 2", `${live}?offset=${root}`);
		const refused = await inspect(await openGuest(live), hypervisors);
		expect(refused.verdicts.map(({ verdict }) => verdict)).not.toContain("fixable");
		expect(refused.verdicts.flatMap(({ reasons }) => reasons).join()).toContain("was not unmounted");
		await expect(prepare(await openGuest(live), hypervisors, { now })).rejects.toMatchObject({ kind: "refused" });
	});
});
