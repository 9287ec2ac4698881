import { execFileSync } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LinuxGuest } from "../../src/guest/guest.js";
import type { ReplaceLines, Rule } from "../../src/prepare/change.js";
import { plan } from "../../src/prepare/index.js";
import { planCommandLines } from "../../src/prepare/rules/command-lines.js";
import { memoryTree } from "../guest/support/memory.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { guestWith } from "./support.js";

const consoles: ReadonlySet<Rule> = new Set<Rule>(["console"]);
const both: ReadonlySet<Rule> = new Set<Rule>(["cmdline", "console"]);

const planning = (files: Readonly<Record<string, string>>, facts: Partial<LinuxGuest> = {}) => ({
	guest: guestWith(facts),
	tree: memoryTree(files),
	nics: [],
	targets: [],
	stableName: (device: string) => (device === "/dev/sda1" ? "UUID=1" : undefined),
});

function changed(contents: string, lines: ReplaceLines["lines"]): string {
	const all = contents.split("\n");
	for (const { line, from, to } of lines) {
		expect(all[line - 1]).toBe(from);
		all[line - 1] = to;
	}
	return all.join("\n");
}

/** The file after the rules; what is done once is not done again. */
async function after(file: string, contents: string, facts: Partial<LinuxGuest> = {}, wanted = both): Promise<string> {
	const [change] = await planCommandLines(planning({ [file]: contents }, facts), wanted);
	const now = change ? changed(contents, change.lines) : contents;
	expect(await planCommandLines(planning({ [file]: now }, facts), wanted)).toEqual([]);
	return now;
}

const golden = (name: string) => readFile(`test/guest/golden/${name}.grub.cfg`, "utf8");
const menu = "/boot/grub2/grub.cfg";
const added = "console=ttyS0,115200 console=tty0";

describe("consoles on the screen and a serial port", () => {
	it.each([
		["linux /v root=UUID=1 ro  quiet", `linux /v root=UUID=1 ro  quiet ${added}`],
		["\tlinuxefi\t/v root=UUID=1 ro single ", `\tlinuxefi\t/v root=UUID=1 ro single ${added}`],
		["linux16 /v ro console=tty0 quiet", "linux16 /v ro console=ttyS0,115200 console=tty0 quiet"],
		["linux /v ro console=ttyS1,9600n8", "linux /v ro console=tty0 console=ttyS1,9600n8"],
		["linux /v ro console=hvc0", `linux /v ro ${added} console=hvc0`],
		["linux /v console=tty1 console=ttyS0", undefined],
		["linux /v console=null", undefined],
		["linux /v ro --- splash", `linux /v ro ${added} --- splash`],
		["linux /v root=$rootpartition $photon_cmdline", `linux /v root=$rootpartition ${added} $photon_cmdline`],
		["linux ($root)/v $kernelopts", undefined],
		["linux16 /memtest86+.bin quiet", undefined],
		["linux /v \\", undefined],
		["# linux /v ro", undefined],
		["initrd /i", undefined],
		['  set kernelopts="root=UUID=1 ro fallback "', `  set kernelopts="root=UUID=1 ro fallback ${added}"`],
	])("in GRUB's menu: %s", async (line, expected) => {
		expect(await after(menu, `${line}\n`)).toBe(`${expected ?? line}\n`);
	});

	it.each([
		['GRUB_CMDLINE_LINUX=""', `GRUB_CMDLINE_LINUX="${added}"`],
		["GRUB_CMDLINE_LINUX=", `GRUB_CMDLINE_LINUX="${added}"`],
		["GRUB_CMDLINE_LINUX=quiet", `GRUB_CMDLINE_LINUX="quiet ${added}"`],
		[
			"GRUB_CMDLINE_LINUX_DEFAULT='quiet splash'\nGRUB_CMDLINE_LINUX='ro'",
			`GRUB_CMDLINE_LINUX_DEFAULT='quiet splash'\nGRUB_CMDLINE_LINUX='ro ${added}'`,
		],
		["GRUB_CMDLINE_LINUX_DEFAULT='quiet'", `GRUB_CMDLINE_LINUX_DEFAULT='quiet ${added}'`],
		[
			'GRUB_CMDLINE_LINUX_DEFAULT="console=tty1 console=ttyS0"\nGRUB_CMDLINE_LINUX=""',
			'GRUB_CMDLINE_LINUX_DEFAULT="console=tty1 console=ttyS0"\nGRUB_CMDLINE_LINUX=""',
		],
		['GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX a"', 'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX a"'],
	])("in GRUB's defaults, as a shell reads them: %s", async (before, expected) => {
		const now = await after("/etc/default/grub", before);
		expect(now).toBe(expected);
		const shell = (text: string) =>
			execFileSync("sh", ["-c", `${text}\necho "$GRUB_CMDLINE_LINUX $GRUB_CMDLINE_LINUX_DEFAULT"`], {
				encoding: "utf8",
			});
		const words = (text: string) =>
			shell(text)
				.split(/\s+/)
				.filter((word) => !added.includes(word))
				.sort();
		expect(words(now)).toEqual(words(before));
		expect(/console=tt.*console=tt/.test(shell(now))).toBe(!before.includes("$"));
	});

	it.each([
		[
			"/boot/loader/entries/a.conf",
			"title A\nlinux /v\noptions root=UUID=1 ro",
			`title A\nlinux /v\noptions root=UUID=1 ro ${added}`,
		],
		["/boot/loader/entries/a.conf", "linux /v\noptions $kernelopts $tuned_params", undefined],
		[
			"/boot/loader/entries/a.conf",
			"linux /v\noptions ro $tuned_params",
			`linux /v\noptions ro ${added} $tuned_params`,
		],
		[
			"/boot/loader/entries/a.conf",
			"linux /v\noptions console=tty0\noptions ro",
			"linux /v\noptions console=tty0\noptions ro console=ttyS0,115200",
		],
		[
			"/boot/extlinux/extlinux.conf",
			"LABEL a\n  APPEND root=UUID=1 modules=ext4 quiet",
			`LABEL a\n  APPEND root=UUID=1 modules=ext4 quiet ${added}`,
		],
		["/etc/update-extlinux.conf", 'default_kernel_opts="quiet"', `default_kernel_opts="quiet ${added}"`],
		["/etc/kernel/cmdline", "root=UUID=1 ro", `root=UUID=1 ro ${added}`],
		["/etc/kernel/uki.conf", "[UKI]\nCmdline=@/etc/kernel/cmdline", undefined],
	])("in %s: %j", async (file, before, expected) => {
		expect(await after(file, `${before}\n`)).toBe(`${expected ?? before}\n`);
	});

	it("are not asked for twice where a variable of the loader has them", async () => {
		const entry = { title: "a", kernel: "/v", initrds: [], cmdline: "root=/dev/sda2 console=ttyS0" };
		const boot = { kind: "grub2", config: menu, entries: [entry], default: 0 } as const;
		expect(await after(menu, "linux /v $opts\n", { boot })).toBe("linux /v console=tty0 $opts\n");
	});

	it("share a line with names that stay, and what each wanted is told", async () => {
		const text = "linux /v root=/dev/sda1 ro\nlinux /v root=UUID=2 ro\n";
		const [change] = await planCommandLines(planning({ [menu]: text }), both);
		expect(change && changed(text, change.lines)).toBe(
			`linux /v root=UUID=1 ro ${added}\nlinux /v root=UUID=2 ro ${added}\n`,
		);
		expect(change).toMatchObject({ rule: "cmdline", why: expect.stringMatching(/UUID stays.*serial port/) as string });
		const [alone] = await planCommandLines(planning({ [menu]: text }), new Set<Rule>(["console"]));
		expect(alone).toMatchObject({ rule: "console", lines: [{ to: `linux /v root=/dev/sda1 ro ${added}` }, {}] });
	});

	it("are only for those who ask, and only where their names are known", async () => {
		const files = { [menu]: "linux /v root=UUID=1 ro\n" };
		expect(await plan(planning(files))).toEqual([]);
		expect((await plan(planning(files), new Set(), consoles)).map(({ rule }) => rule)).toEqual(["console"]);
		expect(await plan(planning(files, { arch: "aarch64" }), new Set(), consoles)).toEqual([]);
	});

	it("leave all else as it is", async () => {
		const word = fc.constantFrom(
			"linux",
			"options",
			"append",
			"kernelopts=",
			'"',
			"'",
			"$x",
			"root=UUID=1",
			"console=tty0",
			"--",
			"ä",
		);
		const text = fc.array(fc.tuple(word, fc.constantFrom(" ", "\n", "", "\t")).map((parts) => parts.join("")));
		await fc.assert(
			fc.asyncProperty(
				text,
				fc.constantFrom(menu, "/etc/default/grub", "/boot/loader/entries/a.conf"),
				async (parts, file) => {
					const before = parts.join("");
					const now = await after(file, before);
					expect(now.replaceAll(/console=(ttyS0,115200|tty0) ?/g, "").replaceAll(/[\s"]/g, "")).toBe(
						before.replaceAll(/console=tty0 ?/g, "").replaceAll(/[\s"]/g, ""),
					);
				},
			),
		);
	});
});

const tools = ["grub-script-check", "grub-editenv"];
describe.skipIf(missing(...tools))(`consoles in files that GRUB itself reads ${because(...tools)}`, async () => {
	const folder = await temporaryFolder();
	const entry = { title: "a", kernel: "/v", initrds: [], cmdline: "root=UUID=1 net.ifnames=0" };
	const boot = { kind: "grub2", config: menu, entries: [entry], default: 0 } as const;

	it.each([
		["debian-12", 4],
		["centos-7", 2],
		["fedora-39", 1],
		["photon-5", 1],
		["ubuntu-22.04-cloud", 0],
	])("%s has %i lines for them", async (name, count) => {
		const before = await golden(name);
		const now = await after(menu, before, { boot }, new Set<Rule>(["console"]));
		const file = path.join(folder, "grub.cfg");
		await writeFile(file, now);
		await run("grub-script-check", file);
		const lines = now.split("\n").filter((line, i) => line !== before.split("\n")[i]);
		expect(lines.length).toBe(count);
		for (const line of lines)
			expect(line).toMatch(/^\s*(linux|set kernelopts=).*console=ttyS0,115200 console=tty0( |"|$)/);
	});

	it("an environment block keeps its length", async () => {
		const file = path.join(folder, "grubenv");
		await run("grub-editenv", file, "create");
		await run("grub-editenv", file, "set", "saved_entry=a", "kernelopts=root=/dev/sda1 ro quiet");
		const now = await after("/boot/grub2/grubenv", await readFile(file, "utf8"));
		expect(now.length).toBe(1024);
		await writeFile(file, now);
		expect(await run("grub-editenv", file, "list")).toBe(`saved_entry=a\nkernelopts=root=UUID=1 ro quiet ${added}\n`);
	});
});
