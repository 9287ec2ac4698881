import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parseFstab } from "../../src/guest/linux/fstab.js";
import { readModuleIndex } from "../../src/guest/linux/modules.js";
import { parseAssignments, unquote } from "../../src/guest/linux/text.js";
import { compareVersions } from "../../src/guest/linux/version.js";
import { because, missing, run } from "../support/tools.js";
import { memoryTree } from "./support/memory.js";

describe("fstab", () => {
	it("keeps what an installer wrote, with its line numbers", () => {
		const text = `# /etc/fstab: static file system information.
UUID=8dbd9ad2-8d4c-4b6d-a7cf-d1e1a4f0bd55 /               ext4    errors=remount-ro 0       1

/dev/sda2\t/srv/my\\040data\text4\tdefaults,noatime\t0\t2\r
LABEL=swap none swap sw 0 0
tmpfs /tmp
broken`;
		expect(parseFstab(text)).toEqual([
			{
				spec: "UUID=8dbd9ad2-8d4c-4b6d-a7cf-d1e1a4f0bd55",
				mount: "/",
				type: "ext4",
				options: "errors=remount-ro",
				line: 2,
			},
			{ spec: "/dev/sda2", mount: "/srv/my data", type: "ext4", options: "defaults,noatime", line: 4 },
			{ spec: "LABEL=swap", mount: "none", type: "swap", options: "sw", line: 5 },
			{ spec: "tmpfs", mount: "/tmp", type: "auto", options: "defaults", line: 6 },
		]);
	});
});

describe("shell assignments", () => {
	it("reads os-release as os-release(5) spells it", () => {
		const values = parseAssignments(
			`NAME='Debian GNU/Linux'\nID=debian # comment\nVERSION_ID="12"\nODD="a \\"b\\" \\$c"\nexport X=1\nnot an assignment\nID=last\n`,
		);
		expect(Object.fromEntries(values)).toEqual({
			NAME: "Debian GNU/Linux",
			ID: "last",
			VERSION_ID: "12",
			ODD: 'a "b" $c',
			X: "1",
		});
	});

	it("unquotes a word as a shell does", async () => {
		const word = fc.array(fc.constantFrom("a", "'b c'", '"d \\" e"', "\\'", "x y", "'\"'"), {
			minLength: 1,
			maxLength: 5,
		});
		await fc.assert(
			fc.asyncProperty(word, async (parts) => {
				const text = parts.join("");
				expect(unquote(text)).toBe(await run("sh", "-c", `set -- ${text}; printf %s "$1"`));
			}),
			{ numRuns: 60 },
		);
	});
});

describe("versions", () => {
	const newestFirst = [
		"6.10.3-200.fc40.x86_64",
		"6.9.12",
		"6.1.0-18-amd64",
		"6.1.0-9-amd64",
		"6.1.0~rc7",
		"5.15.0-1056-kvm",
		"3.10.0-1160.el7.x86_64",
	];

	it("sorts kernels as people expect", () => {
		expect(newestFirst.toReversed().sort(compareVersions).reverse()).toEqual(newestFirst);
		expect(compareVersions("6.01.0", "6.1")).toBeGreaterThan(0);
		expect(compareVersions("6.1.0", "6.01.0")).toBe(0);
	});

	it.skipIf(missing("dpkg"))(`agrees with dpkg on releases of kernels ${because("dpkg")}`, async () => {
		for (const [i, newer] of newestFirst.entries()) {
			const older = newestFirst[i + 1];
			if (older === undefined) continue;
			await expect(run("dpkg", "--compare-versions", newer, "gt", older)).resolves.toBe("");
		}
	});

	it("is an order", () => {
		const version = fc.stringMatching(/^[0-9a-z.~-]{0,12}$/);
		fc.assert(
			fc.property(fc.tuple(version, version, version), (versions) => {
				const [a, b, c] = versions.sort(compareVersions);
				expect(compareVersions(a, b)).toBeLessThanOrEqual(0);
				expect(compareVersions(b, c)).toBeLessThanOrEqual(0);
				expect(compareVersions(a, c)).toBeLessThanOrEqual(0);
				expect(compareVersions(c, a)).toBeGreaterThanOrEqual(0);
			}),
		);
	});
});

describe("module index", () => {
	it("reads depmod's text files", async () => {
		const index = await readModuleIndex(
			memoryTree({
				"/m/modules.dep":
					"kernel/drivers/virtio/virtio-blk.ko.xz: kernel/drivers/virtio/virtio.ko.xz kernel/lib/x-y.ko.zst\nkernel/lib/x-y.ko.zst:\n",
				"/m/modules.alias":
					"# Aliases extracted from modules themselves.\nalias scsi:t-0x00* sd-mod\nalias dmi:*:svnA[-b]:* one\nalias\n",
				"/m/modules.builtin": "kernel/drivers/ata/ahci-lib.ko\n",
				"/m/modules.builtin.modinfo": "ahci.alias=pci:v*\0ahci.license=GPL\0ahci.file=x\0nothing\0",
				"/m/modules.softdep":
					"# Soft dependencies\nsoftdep virtio_blk pre: crct10dif x-y post: z\nsoftdep other post: w\nsoftdep\n",
			}),
			"/m",
		);
		expect({ ...index, aliases: [...index.aliases] }).toEqual({
			aliases: [
				["scsi:t-0x00*", "sd_mod"],
				["dmi:*:svnA[-b]:*", "one"],
				["pci:v*", "ahci"],
			],
			builtin: new Set(["ahci_lib"]),
			paths: new Map([
				["virtio_blk", "kernel/drivers/virtio/virtio-blk.ko.xz"],
				["x_y", "kernel/lib/x-y.ko.zst"],
			]),
			dependencies: new Map([
				["virtio_blk", ["virtio", "x_y"]],
				["x_y", []],
			]),
			softdeps: new Map([
				["virtio_blk", { pre: ["crct10dif", "x_y"], post: ["z"] }],
				["other", { pre: [], post: ["w"] }],
			]),
		});
	});

	it("needs a modules.dep", async () => {
		await expect(readModuleIndex(memoryTree({ "/m/": "" }), "/m")).rejects.toMatchObject({ kind: "not-found" });
	});
});
