import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { readBootLoader } from "../../src/guest/linux/boot.js";
import { compareSystemdVersions } from "../../src/guest/linux/systemd-boot/version.js";
import { attempt, tmpfs } from "../source/mounts.js";
import { because, missing } from "../support/tools.js";
import { type Contents, memoryTree } from "./support/memory.js";
import { systemdBoot, systemdBootReason, unifiedKernel } from "./support/uki.js";

const esp = attempt(() => tmpfs(64 * 2 ** 20));
const judged = esp.reason !== "" || missing("bootctl") || systemdBoot === undefined;
const reason = [esp.reason, because("bootctl"), systemdBootReason].join("");

interface Listed {
	readonly id: string;
	readonly title: string;
	readonly options?: string;
}

/** What bootctl makes of the files of an ESP: its entries in order, and the title of the default. */
function bootctl(files: Readonly<Record<string, string | Uint8Array>>, name: string) {
	const folder = path.join(esp.folder, name);
	mkdirSync(folder);
	execFileSync("mount", ["-t", "tmpfs", "none", folder]);
	try {
		for (const [file, contents] of Object.entries(files)) {
			mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
			writeFileSync(path.join(folder, file), contents);
		}
		const list = (...args: string[]) =>
			execFileSync("bootctl", ["list", `--esp-path=${folder}`, "--no-pager", ...args], {
				encoding: "utf8",
				env: { ...process.env, SYSTEMD_RELAX_ESP_CHECKS: "1" },
			});
		const entries = list("--json=short")
			.split("\n")
			.flatMap((line) => (line === "" ? [] : [JSON.parse(line) as Listed]));
		const chosen = /title: (.*?) \(default\)/.exec(list())?.[1];
		return { entries, chosen };
	} finally {
		execFileSync("umount", ["--lazy", folder]);
	}
}

const ours = (files: Readonly<Record<string, Contents>>) =>
	readBootLoader(memoryTree(Object.fromEntries(Object.entries(files).map(([name, file]) => [`/efi/${name}`, file]))));

const typeOne = (lines: Readonly<Record<string, string>>) =>
	Object.entries({ linux: "/vmlinuz", ...lines })
		.map(([key, value]) => `${key} ${value}\n`)
		.join("");

describe("systemd-boot's menu", () => {
	it.skipIf(judged)(`is in the order of bootctl, and boots what it would ${reason}`, () => {
		const version = fc.constantFrom("6.1.0-9", "6.1.0-18", "6.10", "6.1~rc1", "6.1^1", "6.1a", "");
		const entry = fc.record({
			id: fc.stringMatching(/^[a-c]{1,2}-[0-9.]{1,4}$/),
			key: fc.constantFrom("", "debian", "arch"),
			machine: fc.constantFrom("", "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"),
			version,
		});
		const pattern = fc.constantFrom("", "b*", "a-1.conf", "*-?.conf", "nothing");
		const entries = fc.uniqueArray(entry, { minLength: 1, maxLength: 7, selector: ({ id }) => id });
		let run = 0;
		return fc.assert(
			fc.asyncProperty(entries, pattern, async (all, wanted) => {
				const files: Record<string, string | Uint8Array> = { vmlinuz: "kernel" };
				files["loader/loader.conf"] = `timeout 3\n${wanted === "" ? "" : `default  ${wanted}\n`}`;
				for (const { id, key, machine, version } of all) {
					files[`loader/entries/${id}.conf`] = typeOne({
						title: `title of ${id}`,
						...(key !== "" && { "sort-key": key }),
						...(machine !== "" && { "machine-id": machine }),
						...(version !== "" && { version }),
					});
				}
				const judge = bootctl(files, `order-${++run}`);
				const menu = await ours(files);
				expect(menu.entries.map(({ title }) => title)).toEqual(judge.entries.map(({ title }) => title));
				expect(menu.entries[menu.default]?.title).toBe(judge.chosen);
			}),
			{ numRuns: 8 },
		);
	});

	it.skipIf(judged || missing("objcopy"))(
		`has unified kernels among its entries ${reason}${because("objcopy")}`,
		async () => {
			const osRelease = (id: string, version: string) =>
				`ID=${id}\nPRETTY_NAME="${id} ${version}"\nVERSION_ID=${version}\n`;
			const uki = (release: string, id: string, version: string) =>
				unifiedKernel({
					uname: release,
					cmdline: `root=LABEL=${id}  quiet\n`,
					initrd: "initramfs",
					osrel: osRelease(id, version),
				});
			const files = {
				vmlinuz: "kernel",
				"loader/entries/old.conf": typeOne({ title: "old", "sort-key": "debian", version: "11" }),
				"EFI/Linux/debian-6.1.efi": uki("6.1.0-18-amd64", "debian", "12"),
				"EFI/Linux/arch.efi": uki("6.9.1-arch1-1", "arch", "1"),
				"EFI/Linux/broken.efi": "no program",
				"EFI/systemd/systemd-bootx64.efi": systemdBoot ?? "",
			};
			const judge = bootctl(files, "unified");
			const menu = await ours(files);
			expect(menu.kind).toBe("systemd-boot");
			expect(menu.entries.map(({ title }) => title)).toEqual(judge.entries.map(({ title }) => title));
			expect(menu.entries[menu.default]?.title).toBe(judge.chosen);
			const cmdlineOf = (title: string) => judge.entries.find((entry) => entry.title === title)?.options;
			expect(menu.entries.find(({ title }) => title === "debian 12")).toEqual({
				title: "debian 12",
				kernel: "/efi/EFI/Linux/debian-6.1.efi",
				initrds: ["/efi/EFI/Linux/debian-6.1.efi"],
				cmdline: cmdlineOf("debian 12")?.replace("  ", " "),
				uki: { release: "6.1.0-18-amd64", stub: expect.stringMatching(/^\d+/) as string, signed: false },
			});
		},
	);

	it("puts what has failed to boot too often last, and counts down what is on trial", async () => {
		const entry = (version: string) => typeOne({ title: version, version, "sort-key": "x" });
		const menu = await ours({
			vmlinuz: "kernel",
			"loader/loader.conf": "default new*\n",
			"loader/entries/newest+0-3.conf": entry("9"),
			"loader/entries/new+3-0.conf": entry("8"),
			"loader/entries/old.conf": entry("7"),
			"EFI/BOOT/BOOTX64.EFI": systemdBoot ?? "",
		});
		expect(menu.entries.map(({ title }) => title)).toEqual(["8", "7", "9"]);
		expect(menu.default).toBe(0);
	});

	it.skipIf(systemdBoot === undefined)(
		`counts where GRUB is installed too, if it is what starts ${systemdBootReason}`,
		async () => {
			const program = systemdBoot ?? "";
			const files = (own: string) => ({
				"/efi/vmlinuz": "kernel",
				"/efi/loader/entries/a.conf": typeOne({ title: "by systemd-boot" }),
				[`/efi/EFI/${own}`]: program,
				"/boot/grub/grub.cfg": "menuentry 'by GRUB' { linux /vmlinuz }",
			});
			const title = async (own: string) => (await readBootLoader(memoryTree(files(own)))).entries[0]?.title;
			expect(await title("BOOT/BOOTX64.EFI")).toBe("by systemd-boot");
			expect(await title("systemd/systemd-bootx64.efi")).toBe("by GRUB");
		},
	);

	it.skipIf(systemdBoot === undefined)(
		`leaves out what is not there and what is no Linux ${systemdBootReason}`,
		async () => {
			const menu = await ours({
				vmlinuz: "kernel",
				"EFI/systemd/systemd-bootx64.efi": systemdBoot ?? "",
				"loader/entries/z-gone.conf": "title gone\nlinux /gone\n",
				"loader/entries/y-shell.conf": "title shell\nefi /shell.efi\n",
				"loader/entries/a.conf": "title a\nlinux \\vmlinuz\noptions one\noptions two\n",
				"loader/entries/auto-x.conf": "title no\nlinux /vmlinuz\n",
				"loader/entries/both.conf": "title no\nlinux /vmlinuz\nefi /vmlinuz\n",
			});
			expect(menu.entries).toMatchObject([{ title: "a", kernel: "/efi/vmlinuz", cmdline: "one two" }]);
			expect(menu.default).toBe(-1);
		},
	);
});

describe("versions", () => {
	it.skipIf(missing("systemd-analyze"))(`compare as systemd has them ${because("systemd-analyze")}`, () => {
		const version = fc.oneof(
			fc.stringMatching(/^[0-9a-b.~^-]{1,8}$/),
			fc.constantFrom(
				"6.1.0-9-amd64",
				"6.1.0-18-amd64",
				"6.01",
				"6.1",
				"6.1+x",
				"6.1_2",
				"12",
				"12.1",
				"1-2.3",
				"a",
				"0",
			),
		);
		const pairs = fc
			.sample(fc.tuple(version, version), { numRuns: 40, seed: 7 })
			.filter((pair) => pair.every((one) => !one.startsWith("-")));
		const script = 'while read -r a b; do systemd-analyze compare-versions "$a" "$b" >&2; echo $?; done';
		const input = `${pairs.map((pair) => pair.join(" ")).join("\n")}\n`;
		const answers = execFileSync("sh", ["-c", script], { input, encoding: "utf8", stdio: ["pipe", "pipe", "ignore"] });
		const signs = new Map([
			["0", 0],
			["11", 1],
			["12", -1],
		]);
		const theirs = answers
			.trim()
			.split("\n")
			.map((code) => signs.get(code));
		expect(pairs.map(([a, b]) => [a, b, Math.sign(compareSystemdVersions(a, b))])).toEqual(
			pairs.map(([a, b], i) => [a, b, theirs[i]]),
		);
	});
});
