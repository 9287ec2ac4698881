import { chmod, readdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import type { Machine } from "../../src/machine/machine.js";
import { readMachine } from "../../src/machine/registry.js";
import { asLibvirtReads, vmwareStandIns } from "../machine/judges.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { applianceFor, machine, rawDisk, written } from "./appliance.js";

const root = await temporaryFolder();
const disks = [
	await rawDisk(path.join(root, "a.img"), (5 << 20) + 1536),
	await rawDisk(path.join(root, "b.img"), 3 << 20, 2),
];
const BASE = "Web-server-No1";
const BIOS = { ...machine, uuid: "11111111-2222-3333-4444-555555555555" };
const OTHERS = ["virtualbox", "hyperv-gen1", "kvm", "xenserver"];

async function unpacked(given: Machine = BIOS) {
	const changes = { disks, machine: given };
	const together = OTHERS.map((id) => applianceFor(id, changes));
	const { folder } = await written(root, "vmware", "universal", { ...changes, together });
	const at = (name: string) => path.join(folder, name);
	const read = async (name: string) => readMachine({ name, bytes: await readFile(at(name)) });
	return { folder, at, read, text: (name: string) => readFile(at(name), "utf8") };
}

/** The unique id in a VHD's footer, as VirtualBox reads one: its first three parts are little-endian to it. */
async function uuidInFooter(file: string): Promise<string> {
	const bytes = await readFile(file);
	const at = bytes.length - 512 + 68;
	const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];
	const hex = order.map((i) => (bytes[at + i] ?? 0).toString(16).padStart(2, "0")).join("");
	return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

describe.skipIf(missing("qemu-img"))(`a universal folder ${because("qemu-img")}`, () => {
	test("has one file for each disk, which is the same by each of its faces", async () => {
		const { folder, at } = await unpacked();
		const names = [
			"IMPORT.md",
			"import.ps1",
			"run.sh",
			...["cfg", "vbox", "vhd", "vmdk", "vmx", "xml"].map((end) => `${BASE}.${end}`),
		];
		expect((await readdir(folder)).sort()).toEqual([...names, `${BASE}-disk2.vhd`, `${BASE}-disk2.vmdk`].sort());
		for (const [source, disk] of [
			["a.img", BASE],
			["b.img", `${BASE}-disk2`],
		] as const) {
			const faces = [at(`${disk}.vmdk`), at(`${disk}.vhd`)] as const;
			expect(await run("qemu-img", "compare", "-s", "-f", "vmdk", "-F", "vpc", ...faces)).toContain("identical");
			const original = path.join(root, source);
			for (const [format, face] of [
				["vmdk", faces[0]],
				["vpc", faces[1]],
			] as const) {
				expect(await run("qemu-img", "compare", "-f", "raw", "-F", format, original, face)).toContain("identical");
			}
			expect((await stat(faces[0])).size).toBeLessThan(1024);
		}
	});

	test("is described to each hypervisor, with the devices that each has", async () => {
		const { at, read, text } = await unpacked();
		const told = { cpus: 2, memory: 2 ** 31, firmware: "bios", uuid: BIOS.uuid };
		const files = (found: Machine) => found.disks.map(({ file }) => path.basename(file ?? ""));
		const vhds = [`${BASE}.vhd`, `${BASE}-disk2.vhd`];
		for (const [name, model, expected] of [
			[`${BASE}.vmx`, "pvscsi", [`${BASE}.vmdk`, `${BASE}-disk2.vmdk`]],
			[`${BASE}.vbox`, "ahci", vhds],
			[`${BASE}.xml`, "virtio-blk", vhds],
			[`${BASE}.cfg`, "xen-vbd", vhds],
		] as const) {
			const found = await read(name);
			expect(found, name).toMatchObject({ ...told, controllers: [{ model }] });
			expect(files(found), name).toEqual(expected);
			expect(found.nics, name).toMatchObject([{ mac: "00:15:5d:01:02:03" }, {}]);
		}
		const settings = await text(`${BASE}.vbox`);
		for (const file of vhds) {
			expect(settings).toContain(`uuid="{${await uuidInFooter(at(file))}}" location="${file}" format="VHD"`);
		}
		expect(await text("import.ps1")).toContain(
			`File = '${BASE}.vhd'; ControllerType = 'IDE'; ControllerNumber = 0; ControllerLocation = 0`,
		);
		await expect(await text(`${BASE}.cfg`)).toMatchFileSnapshot("../golden/universal.cfg");
		await expect(await text("run.sh")).toMatchFileSnapshot("../golden/universal.sh");
		await expect(await text("IMPORT.md")).toMatchFileSnapshot("../golden/universal.md");
	});

	test.skipIf(missing("virsh", "virt-xml-validate"))(
		`is taken by libvirt, as VMware's and as its own ${because("virsh", "virt-xml-validate")}`,
		async () => {
			const { folder, at } = await unpacked();
			const theirs = await asLibvirtReads(at(`${BASE}.vmx`), await vmwareStandIns(folder));
			expect(theirs.disks.map(({ file }) => file)).toEqual([`${BASE}.vmdk`, `${BASE}-disk2.vmdk`]);
			await run("virt-xml-validate", at(`${BASE}.xml`), "domain");
		},
	);

	test.skipIf(missing("qemu-system-x86_64"))(
		`has a script that QEMU takes every option of ${because("qemu-system-x86_64")}`,
		async () => {
			for (const disk of ["virtio-blk", "virtio-scsi", "ahci", "ide"]) {
				const changes = { disks, machine: BIOS, attach: { disk, network: "virtio-net" } };
				const { folder } = await written(root, "kvm", "universal", changes);
				const script = path.join(folder, "run.sh");
				await writeFile(script, (await readFile(script, "utf8")).replace("-accel kvm", "").replace("-m 2048", "-m 64"));
				await chmod(script, 0o755);
				// It is not started: QEMU is asked what it has attached, and told to go.
				const ask = 'cd / && printf "info block\\nquit\\n" | "$1" -S -display none -monitor stdio -serial none';
				const said = await run("sh", "-c", ask, "sh", script);
				expect(said, disk).toMatch(new RegExp(`disk0[^\\n]*${BASE}\\.vhd \\(vpc\\)`));
				expect(said, disk).toMatch(new RegExp(`disk1[^\\n]*${BASE}-disk2\\.vhd \\(vpc\\)`));
			}
		},
	);

	test("says which of them has no place for what", async () => {
		const { text } = await unpacked({ ...BIOS, firmware: "uefi", secureBoot: true });
		const note = await text("IMPORT.md");
		expect(note).toMatch(/^- (?!.*VMware).*VirtualBox.*: Secure Boot: it is off/m);
		expect(note).toContain("`sh run.sh`, without Secure Boot");
		expect(await text("IMPORT.md")).toContain("- The device <sound> is not carried over.\n");
		expect(await (await unpacked(BIOS)).text("IMPORT.md")).toMatch(/^- [^:\n]*Hyper-V[^:\n]*: The firmware's UUID, /m);
	});

	test("of a machine with UEFI leaves out generation 1 of Hyper-V, and says so", async () => {
		const { folder, text, read } = await unpacked({ ...BIOS, firmware: "uefi" });
		expect(await readdir(folder)).not.toContain("import.ps1");
		expect(await text("IMPORT.md")).toMatch(/- It does not run on .*Hyper-V.*UEFI/);
		expect(await read(`${BASE}.vbox`)).toMatchObject({ firmware: "uefi" });
		expect(await read(`${BASE}.cfg`)).toMatchObject({ firmware: "uefi" });
		expect(await text("run.sh")).toContain("if=pflash");
		await run("sh", "-n", path.join(folder, "run.sh"));
	});
});
