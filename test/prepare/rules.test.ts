import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GuestTree } from "../../src/filesystem/tree.js";
import type { BootEntry, Generator, LinuxGuest } from "../../src/guest/guest.js";
import { parseFstab } from "../../src/guest/linux/fstab.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { vmware } from "../../src/hypervisor/vmware.js";
import {
	type Change,
	type Planning,
	plan,
	type ReplaceLines,
	type Rule,
	type WriteFile,
} from "../../src/prepare/index.js";
import { joinLines, splitLines } from "../../src/prepare/lines.js";
import { planCommandLines } from "../../src/prepare/rules/command-lines.js";
import { planDropIns } from "../../src/prepare/rules/drop-in.js";
import { planEspFallback } from "../../src/prepare/rules/esp-fallback.js";
import { namesThatChange, planFstab } from "../../src/prepare/rules/stable-names.js";
import { guest as driverGuest } from "../driver/guests.js";
import { type Contents, memoryFilesystem, memoryTree } from "../guest/support/memory.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { guestWith } from "./support.js";

/** Devices that hold a file system; swap, for one, does not. */
const known: Readonly<Record<string, string>> = {
	"/dev/sda1": "UUID=1111-AAAA",
	"/dev/nvme0n1p2": "UUID=2222-bbbb",
	"/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:0:0-part1": "UUID=1111-AAAA",
	"/dev/vdb1": "PARTUUID=33",
	"/dev/sdc": "UUID=4444",
};

/** Names that a kernel without an initramfs understands. */
const knownToKernels: Readonly<Record<string, string>> = { "/dev/vdb1": "PARTUUID=33" };

function planning(facts: Partial<LinuxGuest>, files: Readonly<Record<string, Contents>>): Planning {
	return {
		guest: guestWith(facts),
		tree: memoryTree(files),
		nics: [],
		targets: hypervisors,
		stableName: (device, byKernel) => (byKernel ? knownToKernels[device] : known[device]),
	};
}

/** What the file holds when the change has been made, byte by byte. */
function changed(contents: Uint8Array, lines: ReplaceLines["lines"]): Uint8Array {
	const all = splitLines(contents);
	for (const { line, from, to } of lines) {
		const now = all[line - 1] ?? "";
		expect(now.replace(/\r$/, "")).toBe(from);
		all[line - 1] = to + now.slice(from.length);
	}
	return joinLines(all);
}

const encode = (text: string) => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

async function fstabAfter(text: string): Promise<string> {
	const [change] = await planFstab(planning({ fstab: parseFstab(text) }, { "/etc/fstab": text }));
	return change ? decode(changed(encode(text), change.lines)) : text;
}

/** The file at `path` after the rule, and what the rule found to change. */
async function menuAfter(path: string, contents: string | Uint8Array, facts: Partial<LinuxGuest> = {}) {
	const bytes = typeof contents === "string" ? encode(contents) : contents;
	const changes = await planCommandLines(planning(facts, { [path]: bytes }), new Set(["cmdline"]));
	return { changes, bytes: changes.reduce((now, { lines }) => changed(now, lines), bytes) };
}

describe("lines", () => {
	it("come back byte by byte, whatever they are", () => {
		fc.assert(
			fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
				expect(joinLines(splitLines(bytes))).toEqual(bytes);
			}),
		);
		fc.assert(
			fc.property(fc.string({ unit: "grapheme" }), (text) => {
				expect(splitLines(encode(text))).toEqual(text.split("\n"));
			}),
		);
	});

	it("shows what is not UTF-8 as lone surrogates, line by line", () => {
		const latin1 = Uint8Array.of(0xe4, 0x0a, 0xc3, 0xa4, 0x0a, 0xef, 0xbb, 0xbf, 0x41);
		expect(splitLines(latin1)).toEqual(["\udce4", "ä", "\ufeffA"]);
	});
});

describe("fstab", () => {
	it("is mounted by UUID, and nothing else of it changes", async () => {
		const before = [
			"# /dev/sda1 is the root",
			"/dev/sda1\t/ \text4\terrors=remount-ro 0 1 # /dev/sda1",
			"  /dev/nvme0n1p2 /mnt/a\\040b\text4 defaults",
			"/dev/sda5 none swap sw 0 0",
			"UUID=3 /home ext4 defaults 0 2",
			"/dev/sda /whole ext4 defaults 0 2",
			"/dev/sdc /data xfs defaults 0 2",
			"/dev/sda1-snapshot /snap ext4 ro 0 0",
			"/dev/mapper/sda1 /lv ext4 defaults 0 0",
			"",
		].join("\n");
		const after = await fstabAfter(before);
		expect(after).toBe(
			before
				.replace("/dev/sda1\t/ ", "UUID=1111-AAAA\t/ ")
				.replace("  /dev/nvme0n1p2 /mnt", "  UUID=2222-bbbb /mnt")
				.replace("/dev/sdc /data", "UUID=4444 /data"),
		);
		expect(await fstabAfter(after)).toBe(after);
	});

	it("keeps line ends and other encodings", async () => {
		const bytes = Uint8Array.from([...encode("/dev/sda1 / ext4 defaults 0 1 # "), 0xe4, 0x0d, 0x0a, 0xff, 0x0a]);
		const [change] = await planFstab(planning({ fstab: parseFstab(decode(bytes)) }, { "/etc/fstab": bytes }));
		expect(change?.lines).toEqual([
			{
				line: 1,
				from: "/dev/sda1 / ext4 defaults 0 1 # \udce4",
				to: "UUID=1111-AAAA / ext4 defaults 0 1 # \udce4",
			},
		]);
		expect(changed(bytes, change?.lines ?? [])).toEqual(
			Uint8Array.from([...encode("UUID=1111-AAAA / ext4 defaults 0 1 # "), 0xe4, 0x0d, 0x0a, 0xff, 0x0a]),
		);
	});

	it("once changed stays as it is, and comments and other fields are never touched", async () => {
		const space = fc.constantFrom(" ", "\t", "  \t");
		const spec = fc.constantFrom(
			"/dev/sda1",
			"/dev/sda5",
			"/dev/nvme0n1p2",
			"UUID=x",
			"LABEL=sda1",
			"#/dev/sda1",
			"proc",
		);
		const line = fc
			.tuple(
				fc.constantFrom("", " "),
				spec,
				space,
				fc.constantFrom("/", "/dev/sda1", "none"),
				space,
				fc.constantFrom("ext4 x=/dev/sda1", "auto", ""),
			)
			.map((fields) => fields.join(""));
		await fc.assert(
			fc.asyncProperty(fc.array(line), fc.constantFrom("\n", "\r\n"), async (lines, end) => {
				const before = lines.join(end);
				const after = await fstabAfter(before);
				expect(await fstabAfter(after)).toBe(after);
				const rows = after.split("\n");
				for (const [i, row] of before.split("\n").entries()) {
					const first = /\S+/.exec(row)?.[0] ?? "";
					const mounts = parseFstab(row).length > 0;
					expect(rows[i]).toBe(mounts ? row.replace(first, known[first] ?? first) : row);
				}
			}),
		);
	});
});

describe("crypttab", () => {
	it("names what it opens by UUID, and what has a new key each time by its partition", async () => {
		const before =
			"# data /dev/sda1\ndata /dev/sda1 none luks\nold\t/dev/sda9 none\nswap /dev/sda1 /dev/urandom swap\nswap2 /dev/vdb1 /dev/urandom swap\nx UUID=1 none\n";
		const [change] = await planFstab(planning({}, { "/etc/crypttab": before }));
		expect(decode(changed(encode(before), change?.lines ?? []))).toBe(
			before.replace("\ndata /dev/sda1", "\ndata UUID=1111-AAAA").replace("/dev/vdb1", "PARTUUID=33"),
		);
	});
});

describe("names that change", () => {
	it("are told where it is not known what they mean", () => {
		const fstab = parseFstab(
			"/dev/sda1 / ext4\n/dev/sdb1 /data ext4\n/dev/disk/by-id/ata-X-part2 /x ext4\n/dev/disk/by-id/dm-name-vg-a /y ext4\n/dev/disk/by-path/pci-0:1 /cd iso9660\n",
		);
		const entries = [{ title: "", kernel: "", initrds: [], cmdline: "root=/dev/sda1 resume=/dev/sda7" }];
		const told = namesThatChange({
			guest: guestWith({ fstab, boot: { kind: "grub2", config: "", entries, default: 0 } }),
			stableName: (name) => known[name],
		});
		expect(told.map((sentence) => /\S*(\/dev\/[^ ,]+)/.exec(sentence)?.[0])).toEqual([
			"/dev/sdb1",
			"/dev/disk/by-id/ata-X-part2",
			"resume=/dev/sda7",
		]);
	});
});

describe("a unified kernel image", () => {
	it("keeps the name that its command line has, and that is told", () => {
		const uki = { release: "6.1", stub: "252", signed: true };
		const entry = { title: "", kernel: "/efi/EFI/Linux/a.efi", initrds: [], cmdline: "root=/dev/sda1 ro", uki };
		const told = (entries: readonly BootEntry[]) =>
			namesThatChange({
				guest: guestWith({ boot: { kind: "systemd-boot", config: "", entries, default: 0 } }),
				stableName: (name) => known[name],
			});
		expect(told([entry])).toEqual([expect.stringMatching(/root=\/dev\/sda1.*\/efi\/EFI\/Linux\/a\.efi: rebuild/)]);
		expect(told([{ ...entry, cmdline: "root=UUID=1" }])).toEqual([]);
	});
});

describe("GRUB's map of disks", () => {
	it("no longer says under which name the disk is", async () => {
		const before =
			"# map\n(hd0)\t/dev/sda\n(hd1) /dev/disk/by-id/ata-QEMU_HARDDISK_1\n(fd0) /dev/fd0\n(hd2) /dev/md0\n";
		const after =
			"# map\n# (hd0)\t/dev/sda\n# (hd1) /dev/disk/by-id/ata-QEMU_HARDDISK_1\n(fd0) /dev/fd0\n(hd2) /dev/md0\n";
		const at = (text: string) => planFstab(planning({}, { "/boot/grub/device.map": text }));
		const [change] = await at(before);
		expect(decode(changed(encode(before), change?.lines ?? []))).toBe(after);
		expect(await at(after)).toEqual([]);
	});
});

describe("kernel command lines", () => {
	it("name the root by UUID wherever boot loaders and their generators look", async () => {
		const cases: readonly (readonly [path: string, before: string, after: string])[] = [
			[
				"/boot/grub/grub.cfg",
				"submenu 'x' {\n\tmenuentry 'y' {\n\t\tlinux /vmlinuz root=/dev/sda1 ro quiet resume=/dev/sda5\r\n\t}\n}\n",
				"submenu 'x' {\n\tmenuentry 'y' {\n\t\tlinux /vmlinuz root=UUID=1111-AAAA ro quiet resume=/dev/sda5\r\n\t}\n}\n",
			],
			[
				"/boot/grub2/grub.cfg",
				'set kernelopts="root=/dev/sda1 ro"\n# root=/dev/sda1\nlinux /v root=/dev/sda1 root=/dev/nvme0n1p2\n',
				'set kernelopts="root=UUID=1111-AAAA ro"\n# root=/dev/sda1\nlinux /v root=UUID=1111-AAAA root=UUID=2222-bbbb\n',
			],
			[
				"/etc/default/grub",
				'GRUB_CMDLINE_LINUX="root=/dev/sda1 \\"root=/dev/sda1\\""\nGRUB_DISABLE_LINUX_UUID="true" # why\n#GRUB_DISABLE_LINUX_UUID=true\n',
				'GRUB_CMDLINE_LINUX="root=UUID=1111-AAAA \\"root=UUID=1111-AAAA\\""\nGRUB_DISABLE_LINUX_UUID="false" # why\n#GRUB_DISABLE_LINUX_UUID=true\n',
			],
			[
				"/etc/default/grub.d/50-cloud.cfg",
				"GRUB_CMDLINE_LINUX=root=/dev/sda1",
				"GRUB_CMDLINE_LINUX=root=UUID=1111-AAAA",
			],
			["/boot/loader/entries/a.conf", "options root='/dev/sda1' ro\n", "options root='UUID=1111-AAAA' ro\n"],
			["/etc/kernel/cmdline", "root=/dev/sda1", "root=UUID=1111-AAAA"],
			[
				"/boot/extlinux/extlinux.conf",
				"LABEL l0\n\tLINUX /boot/vmlinuz\n\tAPPEND initrd=/boot/initrd root=/dev/sda1 ro\n",
				"LABEL l0\n\tLINUX /boot/vmlinuz\n\tAPPEND initrd=/boot/initrd root=UUID=1111-AAAA ro\n",
			],
			["/etc/update-extlinux.conf", "root=/dev/sda1\n", "root=UUID=1111-AAAA\n"],
			["/etc/zipl.conf", '\tparameters = "root=/dev/sda1"\n', '\tparameters = "root=UUID=1111-AAAA"\n'],
			[
				"/boot/grub/custom.cfg",
				"linux /v root=/dev/disk/by-path/pci-0000:00:10.0-scsi-0:0:0:0-part1 ro\n",
				"linux /v root=UUID=1111-AAAA ro\n",
			],
		];
		for (const [path, before, after] of cases) {
			const once = await menuAfter(path, before);
			expect(once.changes.map((change) => change.path)).toEqual([path]);
			expect(decode(once.bytes)).toBe(after);
			expect((await menuAfter(path, once.bytes)).changes).toEqual([]);
		}
	});

	it.skipIf(missing("grub-editenv"))(
		`in GRUB's environment block leave it as long as it was ${because("grub-editenv")}`,
		async () => {
			const file = path.join(await temporaryFolder(), "grubenv");
			await run("grub-editenv", file, "create");
			await run("grub-editenv", file, "set", "saved_entry=0", "kernelopts=root=/dev/sda1 ro resume=/dev/nvme0n1p2");
			const { bytes, changes } = await menuAfter("/boot/grub2/grubenv", await readFile(file));
			expect(changes).toHaveLength(1);
			expect(bytes.length).toBe(1024);
			await writeFile(file, bytes);
			expect((await run("grub-editenv", file, "list")).trim().split("\n")).toEqual([
				"saved_entry=0",
				"kernelopts=root=UUID=1111-AAAA ro resume=UUID=2222-bbbb",
			]);
			await run("grub-editenv", file, "set", "more=1");
			expect((await menuAfter("/boot/grub2/grubenv", bytes)).changes).toEqual([]);
		},
	);

	it("that fill GRUB's environment block are refused rather than cut", async () => {
		const line = "kernelopts=root=/dev/sda1 ";
		const full = `# GRUB Environment Block\n${line}${"x".repeat(1024 - 25 - line.length - 1 - 3)}\n###`;
		await expect(menuAfter("/boot/grub2/grubenv", full)).rejects.toMatchObject({ kind: "refused" });
	});

	it("is left alone where it names anything else", async () => {
		const text =
			"linux /v root=/dev/sda10 root=/dev/sda root=/dev/sda1x mycryptroot=/dev/sda1 root=UUID=/dev/sda1 set=root=hd0 xroot=/dev/sda1\n";
		expect((await menuAfter("/boot/grub/grub.cfg", text)).changes).toEqual([]);
	});

	it("is one that the kernel knows itself where it has no initramfs, or left alone, but not where one is damaged", async () => {
		const bare = driverGuest({});
		const other = await menuAfter("/boot/grub/grub.cfg", "linux /v root=/dev/vdb1\n", { kernels: bare.kernels });
		expect(decode(other.bytes)).toBe("linux /v root=PARTUUID=33\n");
		const text = "linux /v root=/dev/sda1\n";
		expect((await menuAfter("/boot/grub/grub.cfg", text, { kernels: bare.kernels })).changes).toEqual([]);
		const broken = { ...bare.kernels[0], problems: ["/boot/initrd.img cannot be read"] };
		expect((await menuAfter("/boot/grub/grub.cfg", text, { kernels: [broken] })).changes.length).toBe(1);
	});

	it.each([
		[
			"cryptdevice=/dev/sda1:root:allow-discards root=/dev/mapper/root",
			"cryptdevice=UUID=1111-AAAA:root:allow-discards root=/dev/mapper/root",
		],
		["cryptroot=/dev/sda1 cryptdm=root", "cryptroot=UUID=1111-AAAA cryptdm=root"],
	])("of what is encrypted opens by UUID: %s", async (before, expected) => {
		const { bytes } = await menuAfter("/boot/grub/grub.cfg", `linux /v ${before}\n`);
		expect(decode(bytes)).toBe(`linux /v ${expected}\n`);
	});

	it("of one file with several names is changed once, where the file is", async () => {
		const config = "/boot/efi/EFI/fedora/grub.cfg";
		const changes = await planCommandLines(
			planning(
				{
					boot: { kind: "grub2", config: "/boot/grub2/grub.cfg", entries: [], default: -1 },
					esp: { mount: "/boot/efi", fallback: true, loaders: ["/boot/efi/EFI/fedora/grubx64.efi"], signed: [] },
				},
				{ "/boot/grub2/grub.cfg": { link: "../efi/EFI/fedora/grub.cfg" }, [config]: "linux /v root=/dev/sda1\n" },
			),
			new Set(["cmdline"]),
		);
		expect(changes.map(({ path }) => path)).toEqual([config]);
	});

	it("once changed stays as it is, byte by byte beside the names", async () => {
		const word = fc.constantFrom(
			"root=/dev/sda1",
			"root=/dev/sda9",
			"resume=/dev/nvme0n1p2",
			"ro",
			'"',
			"'",
			"#",
			"\\",
			"=",
			"ä",
		);
		const text = fc.array(fc.tuple(word, fc.constantFrom(" ", "\n", "", "\t", "\r\n")).map((parts) => parts.join("")));
		await fc.assert(
			fc.asyncProperty(text, async (parts) => {
				const once = await menuAfter("/boot/grub/grub.cfg", parts.join(""));
				expect((await menuAfter("/boot/grub/grub.cfg", once.bytes)).changes).toEqual([]);
				const back = decode(once.bytes)
					.replaceAll("UUID=1111-AAAA", "/dev/sda1")
					.replaceAll("UUID=2222-bbbb", "/dev/nvme0n1p2");
				expect(back).toBe(parts.join(""));
			}),
		);
	});
});

describe("drop-ins", () => {
	const files = {
		"initramfs-tools": "/etc/initramfs-tools/hooks/anyvisor",
		dracut: "/etc/dracut.conf.d/anyvisor.conf",
		mkinitcpio: "/etc/mkinitcpio.conf.d/anyvisor.conf",
		mkinitfs: "/etc/mkinitfs/features.d/anyvisor.modules",
	} as const satisfies Record<Exclude<Generator, "booster">, string>;
	const generators = Object.keys(files) as (keyof typeof files)[];
	const home = ["ata_piix", "sd_mod", "ext4"];

	const all = (present: Readonly<Record<string, string>>, list: readonly Generator[] = generators) =>
		planDropIns({
			...planning(driverGuest({ initramfs: home, guest: { generators: list } }), present),
			targets: [{ ...vmware, boot: { ...vmware.boot, disk: ["pvscsi"] }, also: [] }],
		});
	const dropIns = async (...args: Parameters<typeof all>) =>
		(await all(...args)).filter((change): change is WriteFile => change.action === "write-file");

	it("are written in each generator's own words", async () => {
		const changes = await dropIns({ "/etc/": "" });
		expect(changes.map(({ path, mode, contents }) => ({ path, mode, contents }))).toEqual([
			{
				path: files["initramfs-tools"],
				mode: 0o755,
				contents: `#!/bin/sh
# Written by Anyvisor: keeps the drivers of other hypervisors in the initramfs after kernel updates.
if [ "$1" = prereqs ]; then
	exit 0
fi
. /usr/share/initramfs-tools/hook-functions
manual_add_modules vmw_pvscsi
`,
			},
			{
				path: files.dracut,
				mode: 0o644,
				contents: `# Written by Anyvisor: keeps the drivers of other hypervisors in the initramfs after kernel updates.
for anyvisor_driver in vmw_pvscsi; do
	if grep -q "/\${anyvisor_driver//_/[-_]}[.]ko" "/lib/modules/\${kernel:-$(uname -r)}/modules.dep"; then
		add_drivers+=" $anyvisor_driver "
	fi
done
`,
			},
			{
				path: files.mkinitcpio,
				mode: 0o644,
				contents: `# Written by Anyvisor: keeps the drivers of other hypervisors in the initramfs after kernel updates.
MODULES+=("vmw_pvscsi?")
`,
			},
			{
				path: files.mkinitfs,
				mode: 0o644,
				contents: `# Written by Anyvisor: keeps the drivers of other hypervisors in the initramfs after kernel updates.
kernel/vmw_pvscsi.ko*
`,
			},
		]);
	});

	it.each([
		['features="ata base ext4"', 'features="ata base ext4 anyvisor"'],
		["features='base'\r", "features='base anyvisor'"],
		["features=base", 'features="base anyvisor"'],
		['# x\nfeatures="base anyvisor"', undefined],
		['features="$mine"', undefined],
	])("of mkinitfs are listed as a feature: %j", async (before, after) => {
		const path = "/etc/mkinitfs/mkinitfs.conf";
		const changes = await all({ [path]: before }, ["mkinitfs"]);
		const edits = changes.flatMap((change) => (change.action === "replace-lines" ? change.lines : []));
		expect(edits.map(({ to }) => to)).toEqual(after === undefined ? [] : [after]);
		expect(changes[0]?.path).toBe(files.mkinitfs);
	});

	it("of booster make its image universal, and keep what is configured", async () => {
		const [fresh] = await dropIns({ "/etc/": "" }, ["booster"]);
		expect(fresh).toMatchObject({
			path: "/etc/booster.yaml",
			contents: "universal: true\nmodules: kernel/\n",
		});
		const own = "# mine\nuniversal: false # small\nmodules: -*,hid_apple\ncompression: zstd\n";
		const [merged] = await dropIns({ "/etc/booster.yaml": own }, ["booster"]);
		expect(merged?.contents).toBe(
			"# mine\nuniversal: true # small\nmodules: -*,hid_apple,kernel/\ncompression: zstd\n",
		);
		expect(await dropIns({ "/etc/booster.yaml": merged?.contents ?? "" }, ["booster"])).toEqual([]);
		await expect(dropIns({ "/etc/booster.yaml": "- a\n" }, ["booster"])).rejects.toMatchObject({ kind: "damaged" });
	});

	it.each(generators)("of %s are not asked for twice, and keep what an earlier one named", async (generator) => {
		const [first] = await dropIns({ "/etc/": "" }, [generator]);
		expect(await dropIns({ [files[generator]]: first?.contents ?? "" }, [generator])).toEqual([]);
		const other = (first?.contents ?? "").replace("vmw_pvscsi", "hv_storvsc");
		const [merged] = await dropIns({ [files[generator]]: other }, [generator]);
		expect(merged?.contents).toMatch(/hv_storvsc[^]*vmw_pvscsi/);
	});

	it.skipIf(missing("bash"))(`of mkinitcpio reach a configuration that a preset names ${because("bash")}`, async () => {
		const after = async (line: string, preset = 'ALL_config="/etc/mkinitcpio.conf"\n') => {
			const text = `# a comment\n${line}\nHOOKS=(base)\n`;
			const present = { "/etc/mkinitcpio.conf": text, "/etc/mkinitcpio.d/linux.preset": preset };
			const change = (await all(present, ["mkinitcpio"])).find(({ action }) => action === "replace-lines");
			if (change?.action !== "replace-lines") return undefined;
			expect(change.path).toBe("/etc/mkinitcpio.conf");
			return change.lines.map(({ to }) => to).join("\n");
		};
		const modules = (line = "") =>
			execFileSync("bash", ["-euc", `${line}\nset -f\necho \${MODULES[@]}`], { encoding: "utf8" }).trim();
		expect(modules(await after("MODULES=()"))).toBe("vmw_pvscsi?");
		expect(modules(await after('MODULES=(btrfs "crc32c?")'))).toBe("btrfs crc32c? vmw_pvscsi?");
		expect(modules(await after('MODULES="btrfs xfs"'))).toBe("btrfs xfs vmw_pvscsi?");
		for (const other of ["MODULES=(vmw-pvscsi)", "MODULES=(", "#MODULES=()", "MODULES=($(cat list))"]) {
			expect(await after(other), other).toBeUndefined();
		}
		expect(await after("MODULES=()", "#ALL_config=/etc/mkinitcpio.conf\nPRESETS=('default')\n")).toBeUndefined();
	});

	it.skipIf(missing("dash", "bash"))(`are what shells take ${because("dash", "bash")}`, async () => {
		const [hook, ...configurations] = await dropIns({ "/etc/": "" });
		expect(execFileSync("dash", ["-eus", "prereqs"], { input: hook?.contents ?? "", encoding: "utf8" })).toBe("");
		const [dracut = "", mkinitcpio = ""] = configurations.map(({ contents }) => contents);
		const bash = (script: string) => execFileSync("bash", ["-euc", script], { encoding: "utf8" });
		expect(bash(`add_drivers=" x "\ngrep() { true; }\n${dracut}echo "$add_drivers"`).trim()).toBe("x  vmw_pvscsi");
		expect(bash(`MODULES=(x)\nshopt -s nullglob\n${mkinitcpio}echo "\${MODULES[@]}"`)).toBe("x vmw_pvscsi?\n");
	});

	it("name no module that another one brings along, and all of every target's", async () => {
		const [change] = await planDropIns({
			...planning(driverGuest({ initramfs: home, guest: { generators: ["dracut"] } }), { "/etc/": "" }),
			targets: hypervisors,
		});
		const contents = change?.action === "write-file" ? change.contents : "";
		const words = new Set(/anyvisor_driver in (.*);/.exec(contents)?.[1]?.split(" "));
		for (const driver of ["nvme", "virtio_pci", "vmw_pvscsi"]) expect(words).toContain(driver);
		for (const dependency of ["virtio", "virtio_ring", "scsi_mod", "nvme_core", "hv_vmbus"]) {
			expect(words).not.toContain(dependency);
		}
	});
});

describe("the ESP's fallback loader", () => {
	const esp = (loaders: readonly string[], facts: Partial<LinuxGuest> = {}) =>
		planEspFallback(
			planning(
				{
					esp: { mount: "/boot/efi", fallback: false, loaders: loaders.map((name) => `/boot/efi/${name}`), signed: [] },
					...facts,
				},
				{
					"/etc/": "",
				},
			),
		);
	const copies = async (...args: Parameters<typeof esp>) =>
		(await esp(...args)).map((change) => `${change.from.slice(10)} > ${change.path.slice(10)}`);

	it("is the guest's own, with what it starts beside it", async () => {
		expect(await copies(["EFI/debian/grubx64.efi"])).toEqual(["EFI/debian/grubx64.efi > EFI/BOOT/BOOTX64.EFI"]);
		expect(await copies(["EFI/systemd/systemd-bootx64.efi"])).toEqual([
			"EFI/systemd/systemd-bootx64.efi > EFI/BOOT/BOOTX64.EFI",
		]);
		expect(await copies(["efi/Debian/SHIMX64.EFI", "efi/Debian/GrubX64.efi"])).toEqual([
			"efi/Debian/SHIMX64.EFI > EFI/BOOT/BOOTX64.EFI",
			"efi/Debian/GrubX64.efi > EFI/BOOT/grubx64.efi",
		]);
	});

	it("is that of the installed system where there are several", async () => {
		const loaders = [
			"EFI/fedora/shimx64.efi",
			"EFI/fedora/grubx64.efi",
			"EFI/debian/shimx64.efi",
			"EFI/debian/grubx64.efi",
		];
		expect((await copies(loaders))[0]).toBe("EFI/debian/shimx64.efi > EFI/BOOT/BOOTX64.EFI");
	});

	it("is never a shim that would find nothing to start, and replaces nothing", async () => {
		expect(await copies(["EFI/a/shimx64.efi", "EFI/b/grubx64.efi"])).toEqual([
			"EFI/b/grubx64.efi > EFI/BOOT/BOOTX64.EFI",
		]);
		expect(await copies(["EFI/a/shimx64.efi"])).toEqual([]);
		expect(await copies(["EFI/a/shimx64.efi", "EFI/a/grubx64.efi", "EFI/Boot/GRUBX64.EFI"])).toEqual([
			"EFI/a/shimx64.efi > EFI/BOOT/BOOTX64.EFI",
		]);
	});

	it("gets what shim starts from wherever there is one", async () => {
		expect(await copies(["EFI/BOOT/BOOTX64.EFI", "EFI/debian/grubx64.efi"])).toEqual([
			"EFI/debian/grubx64.efi > EFI/BOOT/grubx64.efi",
		]);
	});

	it("is left alone where there is one, and where there is no ESP", async () => {
		const there = { mount: "/boot/efi", fallback: true, loaders: ["/boot/efi/EFI/debian/grubx64.efi"], signed: [] };
		expect(await copies([], { esp: there })).toEqual([]);
		expect(await planEspFallback(planning({}, { "/etc/": "" }))).toEqual([]);
		expect(await copies(["EFI/debian/grubx64.efi"], { arch: "s390x" })).toEqual([]);
	});

	it("has the name of the guest's architecture, and comes from the vendor's folder", async () => {
		const arm = [
			"EFI/ubuntu/shimaa64.efi",
			"EFI/ubuntu/grubaa64.efi",
			"EFI/redhat/shimaa64.efi",
			"EFI/redhat/grubaa64.efi",
		];
		expect(await copies(arm, { arch: "aarch64", id: "rhel" })).toEqual([
			"EFI/redhat/shimaa64.efi > EFI/BOOT/BOOTAA64.EFI",
			"EFI/redhat/grubaa64.efi > EFI/BOOT/grubaa64.efi",
		]);
		expect(await copies(["EFI/debian/grubia32.efi"], { arch: "i686" })).toEqual([
			"EFI/debian/grubia32.efi > EFI/BOOT/BOOTIA32.EFI",
		]);
		expect(await copies(["EFI/opensuse/shim.efi", "EFI/opensuse/grub.efi"], { id: "opensuse-leap" })).toEqual([
			"EFI/opensuse/shim.efi > EFI/BOOT/BOOTX64.EFI",
			"EFI/opensuse/grub.efi > EFI/BOOT/grub.efi",
		]);
	});

	it("is completed by SUSE's GRUB where SUSE's shim is there, which starts no other", async () => {
		const loaders = ["EFI/BOOT/BOOTX64.EFI", "EFI/sles/shim.efi", "EFI/sles/grub.efi", "EFI/sles/grubx64.efi"];
		expect(await copies(loaders, { id: "sles" })).toEqual(["EFI/sles/grub.efi > EFI/BOOT/grub.efi"]);
	});

	it("is completed where shim is there without what it starts", async () => {
		expect(await copies(["EFI/BOOT/BOOTX64.EFI", "EFI/debian/shimx64.efi", "EFI/debian/grubx64.efi"])).toEqual([
			"EFI/debian/grubx64.efi > EFI/BOOT/grubx64.efi",
		]);
	});
});

describe("a plan", () => {
	it("leaves out the rules that are skipped", async () => {
		const fstab = "/dev/sda1 / ext4 defaults 0 1\n";
		const facts: Partial<LinuxGuest> = {
			fstab: parseFstab(fstab),
			esp: { mount: "/boot/efi", fallback: false, loaders: ["/boot/efi/EFI/debian/grubx64.efi"], signed: [] },
		};
		const all = planning(facts, { "/etc/fstab": fstab, "/boot/grub/grub.cfg": "linux /v root=/dev/sda1\n" });
		const rulesOf = (changes: readonly Change[]) => changes.map(({ rule }) => rule);
		expect(rulesOf(await plan(all))).toEqual(["fstab", "cmdline", "esp-fallback"]);
		for (const rule of ["fstab", "cmdline", "esp-fallback"] as const) {
			expect(rulesOf(await plan(all, new Set<Rule>([rule])))).not.toContain(rule);
		}
	});

	it("is empty for a guest without files", async () => {
		const tree = new GuestTree([{ mount: "/", filesystem: memoryFilesystem({ "/etc/": "" }) }]);
		expect(await plan({ ...planning({}, {}), tree })).toEqual([]);
	});
});
