import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import type { Initramfs, LinuxKernel } from "../../src/guest/guest.js";
import { readInitramfs } from "../../src/guest/initramfs/initramfs.js";
import { overlayArchive } from "../../src/prepare/overlay-archive.js";
import { kernelIn } from "../prepare/support.js";
import { because, missing, temporaryFolder } from "../support/tools.js";
import { archive, concat, type Entry, folder, link } from "./support/cpio.js";
import { memoryTree } from "./support/memory.js";
import { survivesMutation } from "./support/mutation.js";

const version = "6.6.1-arch1-1";
const directory = `/usr/lib/modules/${version}`;

const configuration = `moduledependencies:
    sd_mod:
        - scsi_mod
modulesforceload:
    - dm-mod
builtinmodules:
    nvme: true
kernel: ${version}
mounttimeout: 180
`;

/** As the generator lays an image out. */
const image = (config = configuration): readonly Entry[] => [
	...["usr", "usr/lib", "usr/lib/modules", "etc"].map(folder),
	link("lib", "usr/lib"),
	{ name: "init", contents: "a program" },
	{ name: "etc/booster.init.yaml", contents: config },
	{ name: "usr/lib/modules/sd_mod.ko", contents: "sd" },
	{ name: "usr/lib/modules/scsi_mod.ko", contents: "scsi" },
	{ name: "usr/lib/modules/booster.alias", contents: "scsi:t-0x00* sd_mod\n" },
];

const read = async (...parts: readonly Uint8Array[]) =>
	(await readInitramfs(
		[{ path: "/boot/booster-linux.img", source: bytesSource(concat(parts), "image") }],
		version,
	)) as Initramfs;

const dep = `kernel/drivers/scsi/scsi_common.ko.zst:
kernel/drivers/scsi/scsi_mod.ko.zst: kernel/drivers/scsi/scsi_common.ko.zst
kernel/drivers/scsi/sd_mod.ko.zst: kernel/drivers/scsi/scsi_mod.ko.zst kernel/drivers/scsi/scsi_common.ko.zst
kernel/drivers/scsi/vmw-pvscsi.ko.zst: kernel/drivers/scsi/scsi_mod.ko.zst kernel/drivers/scsi/scsi_common.ko.zst
`;
const tree = memoryTree({
	[`${directory}/modules.dep`]: dep,
	[`${directory}/modules.alias`]: "alias pci:v000015ADd000007C0sv*sd*bc*sc*i* vmw_pvscsi\nalias scsi:t-0x00* sd_mod\n",
	[`${directory}/modules.softdep`]: "softdep vmw_pvscsi pre: scsi:t-0x00 post: absent\n",
	[`${directory}/kernel/drivers/scsi/scsi_common.ko.zst`]: "common",
	[`${directory}/kernel/drivers/scsi/vmw-pvscsi.ko.zst`]: "pvscsi",
});

/** The judge of what another program makes of the configuration; python3-yaml. */
function pythonHasYaml(): boolean {
	try {
		execFileSync("python3", ["-c", "import yaml"], { stdio: "ignore" });
		return true;
	} catch {
		return false;
	}
}

describe("booster", () => {
	it("is recognised, with what its own loader goes by", async () => {
		expect(await read(archive(image()))).toMatchObject({
			generator: "booster",
			modulesDirectory: "usr/lib/modules",
			modules: new Map([
				["sd_mod", "sd_mod.ko"],
				["scsi_mod", "scsi_mod.ko"],
			]),
			dependencies: new Map([["sd_mod", ["scsi_mod"]]]),
			aliases: [["scsi:t-0x00*", "sd_mod"]],
			forced: new Set(["dm_mod"]),
		});
	});

	it("loads nothing for another kernel", async () => {
		const other = await read(archive(image(configuration.replace(version, "6.5.0"))));
		expect(other.modules.size).toBe(0);
	});

	it.each(["a: [", "moduledependencies: none", "- list"])("says so of a broken configuration: %s", async (broken) => {
		await expect(read(archive(image(broken)))).rejects.toMatchObject({ kind: "damaged", file: "image" });
	});

	it("survives any damage", async () => {
		expect(await survivesMutation(archive(image()), (bytes) => read(bytes), { numRuns: 200 })).toBeGreaterThan(0);
	});

	it.skipIf(missing("cpio", "python3") || !pythonHasYaml())(
		`finds what is appended: its aliases, files and configuration say so ${because("cpio", "python3")}`,
		async () => {
			const base = archive(image());
			const kernel: LinuxKernel = await kernelIn(tree, version, directory);
			const before = await read(base);
			const overlay = await overlayArchive(tree, kernel, before, ["scsi_common", "vmw_pvscsi"]);
			const root = path.join(await temporaryFolder(), "root");
			await mkdir(root);
			for (const input of [base, overlay]) execFileSync("cpio", ["--quiet", "-idum", "-D", root], { input });

			const modules = path.join(root, "usr/lib/modules");
			expect((await readdir(modules)).sort()).toEqual(
				["booster.alias", "scsi_common.ko", "scsi_mod.ko", "sd_mod.ko", "vmw_pvscsi.ko"].sort(),
			);
			expect(await readFile(path.join(modules, "vmw_pvscsi.ko"), "utf8")).toBe("pvscsi");
			expect(await readFile(path.join(modules, "booster.alias"), "utf8")).toBe(
				"pci:v000015ADd000007C0sv*sd*bc*sc*i* vmw_pvscsi\nscsi:t-0x00* sd_mod\n",
			);
			const script = "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))";
			const file = path.join(root, "etc/booster.init.yaml");
			const written: unknown = JSON.parse(execFileSync("python3", ["-c", script, file], { encoding: "utf8" }));
			expect(written).toEqual({
				moduledependencies: { sd_mod: ["scsi_mod"], vmw_pvscsi: ["scsi_mod", "scsi_common", "sd_mod"] },
				modulesforceload: ["dm-mod"],
				builtinmodules: { nvme: true },
				kernel: version,
				mounttimeout: 180,
			});
			const after = await read(base, overlay);
			expect([...after.modules.keys()].sort()).toEqual(["scsi_common", "scsi_mod", "sd_mod", "vmw_pvscsi"]);
		},
	);
});
