import { execFile } from "node:child_process";
import { readFile, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { Ajv2020 } from "ajv/dist/2020.js";
import { beforeAll, describe, expect, it } from "vitest";
import { everyHypervisor } from "../../src/hypervisor/registry.js";
import type { Inspection } from "../../src/inspection-schema.js";
import type { Machine } from "../../src/machine/machine.js";
import { machineSchema } from "../../src/machine/schema.js";
import { targetsFor } from "../../src/target/registry.js";
import { guestTools, testGuest } from "../support/guests.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { anyvisor } from "./support.js";

const lines = (text: string) => text.trimEnd().split("\n");

/** Runs a command that has to succeed. */
async function ok(...args: string[]): Promise<string> {
	const { code, stdout, stderr } = await anyvisor(args);
	expect(code, stderr).toBe(0);
	return stdout;
}

describe("without a VM", () => {
	it.each([["inspect"], ["pack"], ["expand"], ["convert"], ["models"], ["models", "export"], ["completion"]])(
		"%s --help explains its arguments and options",
		async (...command) => {
			const help = await ok(...command, "--help");
			expect(help).toContain(`Usage: anyvisor ${command.join(" ")}`);
			expect(help).toContain("-h, --help");
		},
	);

	it("--help lists every command; --version is the package's", async () => {
		const help = await ok("--help");
		for (const name of ["inspect", "pack", "expand", "convert", "models", "completion"]) expect(help).toContain(name);
		const { version } = JSON.parse(await readFile("package.json", "utf8")) as { version: string };
		expect(await ok("--version")).toBe(`${version}\n`);
	});

	it("the models are listed, shown, and exported as JSON that can be given back", async () => {
		const ids = everyHypervisor.map(({ id }) => id);
		const listed = JSON.parse(await ok("models", "list", "--json")) as { id: string }[];
		expect(listed.map(({ id }) => id)).toEqual(ids);
		expect(await ok("models", "show", "hyperv")).toMatch(/hv_storvsc|VMBus/i);

		const schema = JSON.parse(await readFile("schemas/hypervisor.schema.json", "utf8")) as object;
		const validate = new Ajv2020({ strict: false }).compile(schema);
		const exported = await ok("models", "export");
		expect(validate(JSON.parse(exported)), JSON.stringify(validate.errors)).toBe(true);

		const file = path.join(await temporaryFolder(), "mine.json");
		await writeFile(file, (await ok("models", "export", "kvm")).replace(/"id": "kvm"/, '"id": "mine"'));
		expect(await ok("models", "list", "--models", file)).toContain("mine");
	});

	it("expand --for list has a line for every folder that expand can write", async () => {
		const folders = JSON.parse(await ok("expand", "--for", "list", "--json")) as { folder: string }[];
		expect(new Set(folders.map(({ folder }) => folder)).size).toBe(folders.length);
		const text = await ok("expand", "--for", "list");
		for (const { folder } of folders) expect(text).toContain(folder);
	});

	it.skipIf(missing("bash"))(`bash completes commands and options ${because("bash")}`, async () => {
		const script = path.join(await temporaryFolder(), "completion");
		await writeFile(script, await ok("completion", "bash"));
		const complete = async (...words: string[]) => {
			const line = words.map((word) => `'${word}'`).join(" ");
			const probe = `. ${script}; COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _anyvisor; printf '%s\\n' "\${COMPREPLY[@]}"`;
			return lines((await promisify(execFile)("bash", ["-c", probe])).stdout);
		};
		expect(await complete("anyvisor", "in")).toEqual(["inspect"]);
		expect(await complete("anyvisor", "models", "ex")).toEqual(["export"]);
		expect(await complete("anyvisor", "expand", "a.ova", "--dr")).toEqual(["--dry-run"]);
		expect(await complete("anyvisor", "models", "show", "--js")).toEqual(["--json"]);
	});
});

describe("expand --for list", () => {
	it("is the registry, as text and as JSON", async () => {
		const targets = targetsFor(everyHypervisor);
		const listed = JSON.parse(await ok("expand", "--for", "list", "--json")) as readonly unknown[];
		expect(listed).toEqual(targets);
		const text = (await ok("expand", "--for", "list")).replaceAll(/\s+/g, " ");
		for (const { id, title, folder, holds, imported, judged } of targets) {
			for (const words of [`${id}: ${title}`, `folder ${folder}`, holds, imported, judged])
				expect(text).toContain(words);
		}
	});
});

describe.skipIf(missing(...guestTools))(`on the test guest ${because(...guestTools)}`, () => {
	let guest = "";
	let folder = "";
	beforeAll(async () => {
		folder = await temporaryFolder();
		guest = await testGuest("initramfs-tools");
	}, 300_000);

	it("inspect --json is valid against its published schema, and says what is there", async () => {
		const document = JSON.parse(await ok("inspect", "--json", guest)) as Inspection;
		const schema = JSON.parse(await readFile("schemas/inspection.schema.json", "utf8")) as object;
		const validate = new Ajv2020({ strict: false }).compile(schema);
		expect(validate(document), JSON.stringify(validate.errors)).toBe(true);

		expect(document.guest).toMatchObject({ system: "linux", arch: "x86_64", firmware: ["bios", "uefi"] });
		expect(document.volumes.map(({ filesystem, mount }) => [filesystem, mount])).toEqual([
			[null, null],
			["fat16", "/boot/efi"],
			["ext4", "/"],
			["Linux swap", null],
		]);
		expect(new Set(document.verdicts.map(({ verdict }) => verdict))).toEqual(new Set(["fixable"]));
	});

	it("inspect prints a row for each hypervisor, plain when nobody looks", async () => {
		const text = await ok("inspect", guest);
		for (const id of ["vmware", "xenserver", "hyperv-gen2", "kvm"])
			expect(text).toMatch(new RegExp(`^${id} +\\+ fixable`, "m"));
		expect(text).not.toContain("\u001b");
		expect((await anyvisor(["inspect", guest], { env: { NO_COLOR: "", FORCE_COLOR: "1" } })).stdout).toContain(
			"\u001b[33m",
		);
	});

	it("a user's own model is judged like the built-in ones", async () => {
		const file = path.join(folder, "mine.json");
		const kvm = JSON.parse(await ok("models", "export", "kvm")) as { boot: object } | { boot: object }[];
		const [model] = Array.isArray(kvm) ? kvm : [kvm];
		await writeFile(
			file,
			JSON.stringify({ ...model, id: "mine", title: "Mine", boot: { disk: ["ide"], network: ["e1000"] } }),
		);
		const document = JSON.parse(await ok("inspect", "--json", "--models", file, "--for", "mine", guest)) as Inspection;
		expect(document.verdicts).toMatchObject([{ hypervisor: "mine", verdict: "ready" }]);
		const expand = ["expand", guest, "--models", file, "-n", "--for"];
		const alone = await anyvisor([...expand, "mine"]);
		expect(alone).toMatchObject({ code: 2, stdout: "" });
		expect(alone.stderr).toContain("there is no package for Mine");
	});

	it("--dry-run tells every change with its why, and writes nothing", async () => {
		const text = await ok("expand", guest, "--for", "all", "-o", path.join(folder, "dry"), "--dry-run");
		for (const place of [
			"/boot/initrd.img-",
			"/etc/initramfs-tools/hooks/anyvisor",
			"/etc/fstab",
			"grub.cfg",
			"BOOTX64.EFI",
		]) {
			expect(text).toContain(place);
		}
		const { changes } = JSON.parse(await ok("pack", guest, "--dry-run", "--json")) as {
			changes: { why: string; path: string; lines?: { to: string }[] }[];
		};
		expect(changes).toHaveLength(5);
		const fstab = changes.find(({ path: place }) => place === "/etc/fstab")?.lines?.map(({ to }) => to.split(" ")[0]);
		expect(fstab).toEqual([
			expect.stringMatching(/^UUID=[\da-f-]{36}$/),
			expect.stringMatching(/^UUID=[\dA-F]{4}-[\dA-F]{4}$/),
			expect.stringMatching(/^UUID=5a5a5a5a-[\da-f-]{27}$/),
		]);
		for (const { why } of changes) expect(why).toMatch(/^[A-Z].*\.$/);
		expect((await run("ls", "-A", folder)).includes("dry")).toBe(false);
	});
	it("a UUID that two volumes have names neither of them: their partitions are named", async () => {
		const { volumes } = JSON.parse(await ok("inspect", "--json", guest)) as Inspection;
		const [root, swap] = ["ext4", "Linux swap"].map((kind) => volumes.find(({ filesystem }) => filesystem === kind));
		if (!root || !swap) throw new Error("the test guest has no root and swap");
		const copy = path.join(await temporaryFolder(), "copied.raw");
		await run("cp", "--sparse=always", guest, copy);
		await run(
			"sh",
			"-c",
			`dd if=${copy} of=${copy} bs=1 count=16 skip=${root.at + 1024 + 104} seek=${swap.at + 1036} conv=notrunc`,
		);
		const { changes } = JSON.parse(
			await ok("pack", copy, "--dry-run", "--json", "-o", path.join(folder, "dry.ova")),
		) as {
			changes: { path: string; lines?: { to: string }[] }[];
		};
		const named = (file: string) =>
			changes
				.find((change) => change.path === file)
				?.lines?.map(({ to }) => to)
				.join(" ");
		expect(named("/etc/fstab")?.match(/PARTUUID=[\da-f-]{36} /g)).toHaveLength(2);
		expect(named("/boot/grub/grub.cfg")).toMatch(/root=PARTUUID=/);
	});

	it("--skip leaves a rule out", async () => {
		const { changes } = JSON.parse(await ok("pack", guest, "-n", "--json", "--skip", "fstab", "drop-in")) as {
			changes: { rule: string }[];
		};
		expect(changes.map(({ rule }) => rule)).toEqual(["initramfs", "cmdline", "esp-fallback"]);
	});

	it("a dry run has each target's machine as it would be written, with what is wanted otherwise", async () => {
		const conf = path.join(await temporaryFolder(), "100.conf");
		const disk = path.join(path.dirname(conf), "disk.raw");
		await symlink(guest, disk);
		await writeFile(
			conf,
			`name: web\nmemory: 1024\nide0: disk.raw\nnet0: virtio=02:00:00:00:00:22,bridge=vmbr0\nnet1: e1000=02:00:00:00:00:11,bridge=vmbr1\nusb0: spice\n`,
		);
		interface Told {
			readonly outputs: readonly { hypervisor: string; layout: string; path?: string; machine: Machine }[];
			readonly blocked: readonly { hypervisor: string; reasons: string[] }[];
		}
		const vm = ["expand", conf, "--allow-external", "disk.raw", "--json", "--network", "vmbr1=Lab net", "--cpus", "3"];
		const dry = JSON.parse(await ok(...vm, "--for", "all", "--generation", "2", "-n", "--firmware", "uefi")) as Told;
		expect(dry.blocked.map(({ hypervisor }) => hypervisor)).toEqual(["nxtop", "neocleus"]);
		expect(dry.outputs.map(({ hypervisor, layout }) => `${hypervisor} ${layout}`)).toEqual(
			expect.arrayContaining(["vmware ova", "vmware vmx", "xenserver xva", "hyperv-gen2 hyperv", "kvm libvirt"]),
		);
		for (const { machine, path: written } of dry.outputs) {
			expect(machineSchema.parse(machine)).toMatchObject({ cpus: 3, memory: 2 ** 30, firmware: "uefi" });
			expect(machine.nics.map(({ mac }) => mac)).toEqual(["02:00:00:00:00:22", "02:00:00:00:00:11"]);
			expect(machine.nics[1]?.network).toBe("Lab net");
			expect(machine.nics[0]?.network).not.toBe("vmbr0");
			expect(machine.lost).toContain("The USB device usb0 (spice) is not carried over.");
			expect(written).toBeUndefined();
		}

		const out = path.join(folder, "as-told");
		const args = [...vm, "--for", "kvm", "--firmware", "uefi"];
		const [told] = (JSON.parse(await ok(...args, "-n")) as Told).outputs;
		const [done] = (JSON.parse(await ok(...args, "-o", out)) as Told).outputs;
		expect(done).toEqual({ ...told, path: path.join(out, "kvm") });
		const other = await anyvisor([...args.filter((word) => word !== "--json"), "-n", "--new-identity"]);
		expect(other.stdout).toMatch(
			/^ {2}nic1 +virtio-net +52:54:00:\S+, default\n {2}nic2 +virtio-net +52:54:00:\S+, Lab net$/m,
		);
	});

	it("firmware by which the guest cannot boot, and a generation that nobody asked for, are refused", async () => {
		const uefi = await anyvisor(["expand", guest, "--for", "hyperv", "--generation", "2", "--firmware", "bios", "-n"]);
		expect(uefi).toMatchObject({ code: 5, stdout: "" });
		expect(uefi.stderr).toContain("boots UEFI, not BIOS");
		expect(await anyvisor(["expand", guest, "--for", "kvm", "--generation", "2", "-n"])).toMatchObject({ code: 2 });
	});

	it("of a family, the one that the machine fits is written, and the other told", async () => {
		const args = ["expand", guest, "--for", "kvm,hyperv", "--firmware", "bios", "-n", "--json"];
		const { outputs, blocked } = JSON.parse(await ok(...args)) as {
			outputs: { hypervisor: string }[];
			blocked: { hypervisor: string }[];
		};
		expect(new Set(outputs.map(({ hypervisor }) => hypervisor))).toEqual(new Set(["kvm", "hyperv-gen1"]));
		expect(blocked.map(({ hypervisor }) => hypervisor)).toEqual(["hyperv-gen2"]);
	});

	it("nothing replaces what it is made from, even where it may replace files", async () => {
		const copy = path.join(folder, "own", "kvm", "disk.raw");
		await run("mkdir", "-p", path.dirname(copy));
		await run("cp", "--sparse=always", guest, copy);
		const into = path.join(folder, "own");
		expect(await anyvisor(["pack", copy, "-o", copy, "--force"])).toMatchObject({ code: 5 });
		expect(await anyvisor(["expand", copy, "--for", "kvm", "-o", into, "--force"])).toMatchObject({ code: 5 });
		expect((await run("cmp", guest, copy)).trim()).toBe("");
	});

	it("without the rule that adds drivers, a package attaches what the guest can start from already", async () => {
		const packages = path.join(folder, "as-it-is");
		await ok("expand", guest, "--for", "vmware,kvm,vbox,universal", "--skip", "initramfs", "-o", packages);
		const vmx = await run("sh", "-c", `cat ${packages}/vmware-vmx/*.vmx`);
		expect(vmx).toMatch(/^ide0:0\.fileName/m);
		expect(vmx).not.toContain("pvscsi");
		expect(await run("sh", "-c", `cat ${packages}/kvm/*.xml`)).toMatch(/bus="ide"/);
		expect(await run("sh", "-c", `cat ${packages}/vbox/*.vbox`)).toContain('type="PIIX4"');
		expect((await run("ls", packages)).trim().split("\n")).toEqual([
			"kvm",
			"universal",
			"vbox",
			"vmware-ova",
			"vmware-vmx",
		]);
		expect(await run("sh", "-c", `cat ${packages}/universal/*.cfg`)).toContain("format=vhd,vdev=xvda");
	});

	it("--progress json reports bytes, rate and time left until all is done", async () => {
		const { code, stderr } = await anyvisor(["convert", guest, path.join(folder, "p.qcow2"), "--progress", "json"]);
		expect(code).toBe(0);
		const events = lines(stderr).map((line) => JSON.parse(line) as { done: number; total: number; finished: boolean });
		expect(events.at(-1)).toMatchObject({ finished: true, done: 2 ** 30, total: 2 ** 30 });
		expect(events.map(({ done }) => done)).toEqual(events.map(({ done }) => done).toSorted((a, b) => a - b));
	});

	it.skipIf(missing("qemu-img")).each([
		["qcow2", []],
		["qcow2", ["--variant", "compressed", "--compression", "zstd"]],
		["vmdk", []],
		["vmdk", ["--variant", "monolithicSparse"]],
		["vhd", []],
		["vhdx", []],
		["raw", []],
	])(`convert to %s %j, judged by qemu-img ${because("qemu-img")}`, async (format, extra) => {
		const output = path.join(folder, `converted-${extra.length}.${format}`);
		await ok("convert", guest, output, "--force", ...extra);
		await run("qemu-img", "compare", "-f", "raw", "-F", format === "vhd" ? "vpc" : format, guest, output);
	});
});
