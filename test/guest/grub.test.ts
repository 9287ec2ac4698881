import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readBootLoader } from "../../src/guest/linux/boot.js";
import { parseEntryFile } from "../../src/guest/linux/grub/bls.js";
import { parseGrubEnvironment } from "../../src/guest/linux/grub/environment.js";
import { readGrubMenu } from "../../src/guest/linux/grub/menu.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { processorTime } from "./support/cpu.js";
import { memoryTree } from "./support/memory.js";

const goldenFolder = fileURLToPath(new URL("golden/", import.meta.url));
const golden = (name: string) => readFile(path.join(goldenFolder, `${name}.grub.cfg`), "utf8");

/** The menu of a configuration beside which there is a grubenv, if any, and nothing else. */
function menu(config: string, env: Readonly<Record<string, string>> = {}) {
	const block = Object.entries(env).map(([name, value]) => `${name}=${value}\n`);
	const there = (file: string) => file === "/boot/grub/grubenv" && block.length > 0;
	const stat = { type: "file", size: 1024, mode: 0o644, uid: 0, gid: 0, mtime: 0 } as const;
	const files = {
		read: (file: string) => (there(file) ? block.join("") : undefined),
		stat: (file: string) => (there(file) ? stat : undefined),
	};
	return readGrubMenu(config, { prefix: "/boot/grub", files, blsEntries: [] });
}
const chosen = (config: string, env: Readonly<Record<string, string>> = {}) => {
	const { entries, default: index } = menu(config, env);
	return entries[index]?.title;
};

describe.skipIf(missing("grub-script-check"))(`the texts below ${because("grub-script-check")}`, () => {
	it("are what GRUB itself takes for a configuration", async () => {
		for (const name of await readdir(goldenFolder)) {
			await expect(run("grub-script-check", path.join(goldenFolder, name))).resolves.toBe("");
		}
	});
});

describe("GRUB menus of distributions", () => {
	it("reads Debian's, with its submenu", async () => {
		const config = await golden("debian-12");
		const { entries, default: index } = menu(config);
		expect(entries.map(({ title, kernel }) => [title, kernel])).toEqual([
			["Debian GNU/Linux", "/vmlinuz-6.1.0-18-amd64"],
			["Debian GNU/Linux, with Linux 6.1.0-18-amd64", "/vmlinuz-6.1.0-18-amd64"],
			["Debian GNU/Linux, with Linux 6.1.0-18-amd64 (recovery mode)", "/vmlinuz-6.1.0-18-amd64"],
			["Debian GNU/Linux, with Linux 6.1.0-9-amd64", "/vmlinuz-6.1.0-9-amd64"],
		]);
		expect(entries[0]).toMatchObject({
			initrds: ["/initrd.img-6.1.0-18-amd64"],
			cmdline: "root=UUID=8dbd9ad2-8d4c-4b6d-a7cf-d1e1a4f0bd55 ro quiet",
		});
		expect(index).toBe(0);
	});

	it.each([
		["1", "Debian GNU/Linux, with Linux 6.1.0-18-amd64"],
		["1>2", "Debian GNU/Linux, with Linux 6.1.0-9-amd64"],
		["1>17", "Debian GNU/Linux, with Linux 6.1.0-18-amd64"],
		["99", "Debian GNU/Linux"],
		["no such title", "Debian GNU/Linux"],
		[
			"Advanced options for Debian GNU/Linux>Debian GNU/Linux, with Linux 6.1.0-9-amd64",
			"Debian GNU/Linux, with Linux 6.1.0-9-amd64",
		],
		[
			"gnulinux-advanced-8dbd9ad2-8d4c-4b6d-a7cf-d1e1a4f0bd55>gnulinux-6.1.0-18-amd64-recovery-8dbd9ad2-8d4c-4b6d-a7cf-d1e1a4f0bd55",
			"Debian GNU/Linux, with Linux 6.1.0-18-amd64 (recovery mode)",
		],
	])("boots what saved_entry %s names", async (saved, title) => {
		const config = await golden("debian-12");
		expect(chosen(config, { saved_entry: saved })).toBe(title);
		expect(chosen(config, { saved_entry: "0", next_entry: saved })).toBe(title);
	});

	it("reads Ubuntu's cloud image, which boots without an initrd first", async () => {
		const config = await golden("ubuntu-22.04-cloud");
		expect(menu(config).entries).toMatchObject([
			{ initrds: [], cmdline: expect.stringContaining("panic=-1") as string },
		]);
		expect(menu(config, { initrdfail: "1" }).entries).toMatchObject([
			{ initrds: ["/boot/initrd.img-5.15.0-1056-kvm"] },
		]);
	});

	it("reads CentOS 7's, whose saved entry is a title", async () => {
		const config = await golden("centos-7");
		const title = "CentOS Linux (0-rescue-5c7b2f3a9a3d4c0b8a1d) 7 (Core)";
		expect(chosen(config, { saved_entry: title })).toBe(title);
		expect(menu(config).entries[0]).toMatchObject({
			kernel: "/vmlinuz-3.10.0-1160.el7.x86_64",
			initrds: ["/initramfs-3.10.0-1160.el7.x86_64.img"],
		});
	});
});

describe("Fedora's boot loader entries", () => {
	const id = "2e7f1bb9a1cb4d1f9c5d0a2f3b4c5d6e";
	const bls = (version: string) => `title Fedora Linux (${version}) 39 (Server Edition)
version ${version}
linux /vmlinuz-${version}
initrd /initramfs-${version}.img $tuned_initrd
options $kernelopts $tuned_params
grub_users $grub_users
grub_class fedora
`;
	const versions = ["6.5.6-300.fc39.x86_64", "6.10.3-200.fc39.x86_64", "6.9.12-200.fc39.x86_64"];
	const env = (saved: string) =>
		`# GRUB Environment Block\nsaved_entry=${saved}\nkernelopts=root=UUID=8c3 ro rd.lvm.lv=a/b \nboot_success=0\n####`;
	const tree = async (saved: string) =>
		memoryTree({
			"/boot/grub2/grub.cfg": await golden("fedora-39"),
			"/boot/grub2/grubenv": env(saved),
			[`/boot/loader/entries/${id}-0-rescue.conf`]: bls("0-rescue-2e7f"),
			...Object.fromEntries(versions.map((version) => [`/boot/loader/entries/${id}-${version}.conf`, bls(version)])),
			...Object.fromEntries(versions.map((version) => [`/boot/vmlinuz-${version}`, "kernel"])),
		});

	it("come newest first, with the variables of grubenv", async () => {
		const boot = await readBootLoader(await tree(`${id}-6.5.6-300.fc39.x86_64`));
		expect(boot).toMatchObject({ kind: "grub2", config: "/boot/grub2/grub.cfg", default: 2 });
		expect(boot.entries.map(({ kernel }) => kernel)).toEqual([
			"/boot/vmlinuz-6.10.3-200.fc39.x86_64",
			"/boot/vmlinuz-6.9.12-200.fc39.x86_64",
			"/boot/vmlinuz-6.5.6-300.fc39.x86_64",
			"/vmlinuz-0-rescue-2e7f",
		]);
		expect(boot.entries[0]).toMatchObject({
			title: "Fedora Linux (6.10.3-200.fc39.x86_64) 39 (Server Edition)",
			initrds: ["/initramfs-6.10.3-200.fc39.x86_64.img"],
			cmdline: "root=UUID=8c3 ro rd.lvm.lv=a/b",
		});
	});

	it("boot the newest where nothing is saved, and nothing known where Windows is chosen", async () => {
		expect((await readBootLoader(await tree(""))).default).toBe(0);
		expect((await readBootLoader(await tree("4"))).default).toBe(-1);
	});

	it("are read without GRUB as well", async () => {
		const boot = await readBootLoader(
			memoryTree({
				"/boot/loader/entries/arch.conf":
					"title Arch\nlinux /vmlinuz-linux\ninitrd /ucode.img\ninitrd /initramfs-linux.img\noptions root=LABEL=a\noptions rw\n",
			}),
		);
		expect(boot).toMatchObject({
			kind: "unknown",
			config: "",
			default: 0,
			entries: [{ title: "Arch", initrds: ["/ucode.img", "/initramfs-linux.img"], cmdline: "root=LABEL=a rw" }],
		});
		expect(parseEntryFile("# note\nlinux\nefi /a.efi\n")).toEqual(new Map([["efi", ["/a.efi"]]]));
		const other = await readBootLoader(memoryTree({ "/boot/loader/entries/win.conf": "efi /w.efi" }));
		expect(other.entries).toEqual([]);
	});
});

describe("blscfg", () => {
	const bls = (config: string, entries: Readonly<Record<string, string>>, env = "") =>
		readBootLoader(
			memoryTree({
				"/boot/grub2/grub.cfg": config,
				"/boot/grub2/grubenv": env,
				...Object.fromEntries(Object.entries(entries).map(([id, text]) => [`/boot/loader/entries/${id}.conf`, text])),
			}),
		);
	const entry = (version: string) => `title ${version}\nlinux /vmlinuz-${version}\noptions $kernelopts $tuned\n`;

	it("sorts entries as rpm would packages of their names", async () => {
		const ids = [
			"m-5.14.0-70.el9.x86_64",
			"m-0-rescue",
			"m-5.14.0-70.13.1.el9_0.x86_64+debug",
			"m-5.14.0-70.13.1.el9_0.x86_64",
			"m-5.14.0-427.el9.x86_64",
			"m-5.14.0~rc7-1.el9.x86_64",
			"m-custom-5.14.0-500.el9.x86_64",
		];
		const { entries } = await bls("blscfg", Object.fromEntries(ids.map((id) => [id, entry(id)])));
		// "m-custom" is another package, and the name counts before the version.
		expect(entries.map(({ title }) => title)).toEqual([
			"m-custom-5.14.0-500.el9.x86_64",
			"m-5.14.0-427.el9.x86_64",
			"m-5.14.0-70.13.1.el9_0.x86_64+debug",
			"m-5.14.0-70.13.1.el9_0.x86_64",
			"m-5.14.0-70.el9.x86_64",
			"m-5.14.0~rc7-1.el9.x86_64",
			"m-0-rescue",
		]);
	});

	it("takes options from grubenv, and from the configuration where there are none", async () => {
		const config = 'load_env\nif [ -z "$kernelopts" ]; then set kernelopts="root=fallback"; fi\nblscfg\n';
		const cmdlines = async (...args: Parameters<typeof bls>) =>
			(await bls(...args)).entries.map(({ cmdline }) => cmdline);
		expect(await cmdlines(config, { a: entry("1") }, "kernelopts=root=/dev/sda1 ro\n")).toEqual(["root=/dev/sda1 ro"]);
		expect(await cmdlines(config, { a: entry("1") })).toEqual(["root=fallback"]);
		const bare = { a: "title a\nlinux /a\n" };
		expect(await cmdlines(`set default_kernelopts="root=x quiet"\n${config}`, bare)).toEqual(["root=x quiet"]);
	});

	it("loads early initrds from beside the others, and lists the default first where it is told so", async () => {
		const config = "set default=b; set early_initrd='ucode.img'; blscfg default; blscfg non-default";
		const { entries } = await bls(config, {
			a: "title A\nlinux /k/a\n",
			b: "title B\nlinux /k/b\ninitrd /i/b.img\ninitrd $none\n",
		});
		expect(entries).toMatchObject([
			{ title: "B", initrds: ["/i/ucode.img", "/i/b.img"] },
			{ title: "A", initrds: ["/k/ucode.img"] },
		]);
	});
});

describe("configurations of several files", () => {
	it("are followed from the ESP to where the menu is", async () => {
		const boot = await readBootLoader(
			memoryTree({
				"/efi/EFI/fedora/grub.cfg":
					"search --no-floppy --root-dev-only --fs-uuid --set=dev 1-2\nset prefix=($dev)/boot/loader-files\nexport $prefix\nconfigfile $prefix/grub.cfg\nmenuentry no { linux /no }\n",
				"/boot/loader-files/grub.cfg":
					"load_env\nset default=$saved_entry\nmenuentry a { linux /boot/a }\nmenuentry b { linux /boot/b }\n",
				"/boot/loader-files/grubenv": "# GRUB Environment Block\nsaved_entry=b\n####",
			}),
		);
		expect(boot).toMatchObject({ config: "/efi/EFI/fedora/grub.cfg", default: 1 });
		expect(boot.entries.map(({ title }) => title)).toEqual(["a", "b"]);
	});

	it("take in what they source, and ask for files", async () => {
		const config = `set default=1
if [ -f \${config_directory}/custom.cfg ]; then source \${config_directory}/custom.cfg; fi
if [ -s /boot/empty -o -d /boot/vmlinuz -o ! -e /boot/vmlinuz ]; then menuentry no { linux /no }; fi
menuentry own { linux /boot/vmlinuz }
`;
		const boot = await readBootLoader(
			memoryTree({
				"/boot/grub/grub.cfg": config,
				"/boot/grub/custom.cfg": "menuentry one { linux /boot/one }\nmenuentry two { linux /boot/two }\n",
				"/boot/vmlinuz": "kernel",
				"/boot/empty": "",
			}),
		);
		expect(boot.entries.map(({ title }) => title)).toEqual(["one", "two", "own"]);
		expect(boot.default).toBe(1);
	});

	it("are Photon's, whose kernel is named by a file of its own", async () => {
		const boot = await readBootLoader(
			memoryTree({
				"/boot/grub2/grub.cfg": await golden("photon-5"),
				"/boot/photon.cfg":
					"# GRUB Environment Block\nphoton_cmdline=init=/lib/systemd/systemd ro loglevel=3 quiet\nphoton_linux=vmlinuz-6.1.10-11.ph5\nphoton_initrd=initrd.img-6.1.10-11.ph5\n",
				"/boot/systemd.cfg": "# GRUB Environment Block\nsystemd_cmdline=net.ifnames=0\n",
				"/boot/vmlinuz-6.1.10-11.ph5": "kernel",
				"/boot/initrd.img-6.1.10-11.ph5": "initrd",
			}),
		);
		expect(boot).toMatchObject({
			default: 0,
			entries: [
				{
					title: "Photon",
					kernel: "/boot/vmlinuz-6.1.10-11.ph5",
					initrds: ["/boot/initrd.img-6.1.10-11.ph5"],
					cmdline:
						"root=PARTUUID=8d5fe8f3-7c5c-4c4b-9f0e-8a2f4f6a1d11 init=/lib/systemd/systemd ro loglevel=3 quiet net.ifnames=0",
				},
			],
		});
	});

	it.each([
		["source themselves", "source /boot/grub/grub.cfg\nsource /boot/grub/grub.cfg\nmenuentry a { linux /a }\n"],
		["replace themselves", "menuentry a { linux /a }\nconfigfile /boot/grub/grub.cfg\n"],
		["never end asking", `menuentry a { linux /a }\n${"x=${x}a; if [ -f /f$x ]; then y; fi\n".repeat(1000)}`],
	])("end where they %s", async (_, config) => {
		const tree = memoryTree({ "/boot/grub/grub.cfg": config });
		const start = process.cpuUsage();
		const boot = await readBootLoader(tree);
		expect(process.cpuUsage(start).user / 1e6).toBeLessThan(2);
		expect(boot.entries[0]?.title).toBe("a");
	});
});

describe("GRUB's language", () => {
	it.each([
		["menuentry a { linux /k 'one two' \"th'ree\" a\\ b }", { cmdline: '"one two" th\'ree "a b"' }],
		["set r=x; menuentry a { linux /k root=$r ${r}y '$r' \"$r\" \\$r }", { cmdline: "root=x xy $r x $r" }],
		['set o="ro  quiet"; menuentry a { linux /k $o "$o" $none "" }', { cmdline: 'ro quiet "ro  quiet" ' }],
		["menuentry a { linux /k \\\n  ro # not this\n initrd /i1 /i2 }", { cmdline: "ro", initrds: ["/i1", "/i2"] }],
		["menuentry a { linux ($root)/k\n}", { kernel: "(hd0,1)/k" }],
		["menuentry --class x --id=y 'The $title' { linux /k; }", { title: "The $title" }],
		['menuentry $"Translated" { linuxefi /k }', { title: "Translated" }],
		["menuentry 'It'\\''s' { linux /k }", { title: "It's" }],
		["menuentry\ta\t{\r\n linux /k ro\r\n}\r\n", { cmdline: "ro" }],
		[
			'if [ a = b ]; then x; elif [ -z "" -a ! x = y ]; then menuentry a { linux /k }; else menuentry b { linux /l }; fi',
			{ kernel: "/k" },
		],
		["if [ x -o '' ]; then if false; then y; else menuentry a { linux /k }; fi; fi", { kernel: "/k" }],
		["if test 2 -gt 1 -a 1 -le 1; then menuentry a { linux /k }; fi", { kernel: "/k" }],
		[
			"for i in 1 2; do menuentry no { linux /no }; done; while true; do x; done; menuentry a { linux /k }",
			{ kernel: "/k" },
		],
		["function f { menuentry no { linux /no } }; } } menuentry a { linux /k }", { kernel: "/k" }],
		["menuentry a { set r=1; linux /k $r }; set r=2", { cmdline: "1" }],
		["menuentry a { linux /k $r }; set r=2", { cmdline: "2" }],
	])("reads %s", (config, entry) => {
		expect(menu(config).entries).toMatchObject([entry]);
	});

	it("takes a > in a title as it is when doubled", () => {
		const config = "set default='a>>b'; menuentry x { linux /x }; menuentry 'a>b' { linux /k }";
		expect(chosen(config)).toBe("a>b");
	});

	it.skipIf(missing("grub-editenv"))(`reads what grub-editenv writes ${because("grub-editenv")}`, async () => {
		const file = path.join(await temporaryFolder(), "grubenv");
		await run("grub-editenv", file, "create");
		await run("grub-editenv", file, "set", "saved_entry=a b>c", "odd=back\\slash", "kernelopts=root=UUID=1 ro");
		expect(parseGrubEnvironment(await readFile(file, "utf8"))).toEqual(
			new Map([
				["saved_entry", "a b>c"],
				["odd", "back\\slash"],
				["kernelopts", "root=UUID=1 ro"],
			]),
		);
	});

	const fragments = [
		"menuentry ",
		"submenu 'x' ",
		"{",
		"}",
		"'",
		'"',
		"\\",
		"$",
		"${",
		"if ",
		"then ",
		"else ",
		"fi",
		"[ a = b ]",
		";",
		"\n",
		"linux /k ",
		"set a=",
		"$a$a",
		"#",
		"for ",
		"done",
		"function ",
		"1>2",
	];

	it("never fails, whatever the text", () =>
		fc.assert(
			fc.property(fc.array(fc.oneof(fc.constantFrom(...fragments), fc.string()), { maxLength: 60 }), (parts) => {
				const { entries, default: index } = menu(parts.join(""));
				expect(index).toBeLessThan(entries.length);
			}),
			{ numRuns: 2000 },
		));

	it.each([
		["braces", "{".repeat(500_000)],
		["conditions", "if ".repeat(200_000)],
		["nested entries", "menuentry a {".repeat(100_000)],
		["entries", "menuentry a { linux /k }\n".repeat(50_000)],
		["submenus", "submenu a { blscfg }\n".repeat(50_000)],
		["doubling variables", 'set a="x$a$a"\n'.repeat(50_000)],
		["operands", `[ ${"a -o ".repeat(200_000)} ]`],
		["words", `set a=${"b ".repeat(5_000)}\n${"menuentry $a { linux $a $a $a }\n".repeat(20_000)}`],
		["quotes", "'".repeat(1_000_001)],
		["dollars", '"$'.repeat(500_000)],
		["joined lines", "\\\n".repeat(500_000)],
	])("takes time in proportion to a text of %s", async (_, config) => {
		expect(await processorTime(() => menu(config))).toBeLessThan(2000);
	});
});
