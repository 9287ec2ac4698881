import { execFileSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { aliasIndex } from "../../src/device/alias-index.js";
import { modaliasOf } from "../../src/device/modalias.js";
import type { DeviceModel } from "../../src/hypervisor/hypervisor.js";
import {
	everyHypervisor,
	hypervisor,
	hypervisors,
	hypervisorsNamed,
	withModels,
} from "../../src/hypervisor/registry.js";
import { hypervisorSchema } from "../../src/hypervisor/schema.js";
import { hostModules, reason, version } from "../driver/host-kernel.js";
import { because, missing } from "../support/tools.js";

const folder = new URL("../../src/hypervisor/", import.meta.url);

test("every hypervisor in the folder is in the registry", async () => {
	const found: unknown[] = [];
	for (const file of readdirSync(folder).filter((name) => name.endsWith(".ts"))) {
		const exported = Object.values((await import(new URL(file, folder).href)) as Record<string, unknown>);
		found.push(...exported.filter((one) => hypervisorSchema.safeParse(one).success));
	}
	expect(new Set(found)).toEqual(new Set(everyHypervisor));
	expect(hypervisors.length).toBe(8);
});

test("is asked by id or by family", () => {
	expect(hypervisor("vmware")?.title).toContain("VMware");
	expect(hypervisor("hyperv")).toBeUndefined();
	expect(hypervisorsNamed("hyperv").map(({ id }) => id)).toEqual(["hyperv-gen1", "hyperv-gen2"]);
	expect(hypervisorsNamed("hyperv-gen2").map(({ id }) => id)).toEqual(["hyperv-gen2"]);
	expect(hypervisorsNamed("nobody")).toEqual([]);
});

test("a user's model takes the place of the one with its id, others follow", () => {
	const [vmware, ...rest] = hypervisors;
	if (vmware === undefined) throw new Error("there are hypervisors");
	const own = [
		{ ...vmware, title: "mine" },
		{ ...vmware, id: "other" },
	];
	expect(withModels(hypervisors, own)).toEqual([own[0], ...rest, own[1]]);
});

describe.skipIf(version === undefined)(`Debian's kernel 6.1 ${reason}`, () => {
	const everywhere = everyHypervisor.flatMap(({ id, devices }) =>
		devices.map((device) => [`${id} ${device.id}`, device] as const),
	);

	test.each(everywhere)("has the named driver for every address of %s", async (_, { addresses, needs = [] }) => {
		const { aliases, builtin, paths } = await hostModules();
		for (const module of needs) expect(builtin.has(module) || paths.has(module)).toBe(true);
		for (const address of addresses) {
			const { drivers = [] } = address;
			const found = aliasIndex(aliases).modules(modaliasOf(address));
			expect(drivers.some((driver) => found.includes(driver) || builtin.has(driver))).toBe(true);
		}
	});
});

/** QEMU's word for the model, for those that QEMU itself implements. */
const inQemu: Record<string, readonly string[]> = {
	"kvm virtio-blk": ["virtio-blk-pci,drive=null,disable-legacy=on"],
	"kvm virtio-scsi": ["virtio-scsi-pci,disable-legacy=on"],
	"kvm ahci": ["ich9-ahci"],
	"kvm ide": ["piix3-ide"],
	"kvm nvme": ["nvme,serial=1"],
	"kvm virtio-net": ["virtio-net-pci,disable-legacy=on"],
	"kvm e1000e": ["e1000e"],
	"kvm e1000": ["e1000"],
	"kvm rtl8139": ["rtl8139"],
	"kvm virtio-gpu": ["virtio-vga"],
	"kvm std-vga": ["VGA"],
	"kvm virtio-console": ["virtio-serial-pci,disable-legacy=on"],
	"kvm virtio-rng": ["virtio-rng-pci,disable-legacy=on"],
	"kvm virtio-balloon": ["virtio-balloon-pci,disable-legacy=on"],
	"kvm pvpanic": ["pvpanic-pci"],
	"vmware pvscsi": ["pvscsi"],
	"vmware lsisas1068": ["mptsas1068"],
	"vmware vmxnet3": ["vmxnet3"],
	"vmware e1000e": ["e1000e"],
	"vmware e1000": ["e1000-82545em"],
	"vmware vlance": ["pcnet"],
	"vmware svga2": ["vmware-svga"],
	"xenserver cirrus": ["cirrus-vga"],
	"xenserver rtl8139": ["rtl8139"],
};

interface QemuPci {
	readonly id: { readonly vendor: number; readonly device: number };
	readonly class_info: { readonly class: number };
}

const qemu = "qemu-system-x86_64";

describe.skipIf(missing(qemu))(`QEMU shows the id that the model has ${because(qemu)}`, () => {
	const shown = new Set(missing(qemu) ? [] : ask(Object.values(inQemu).flat()));

	test.each(Object.keys(inQemu))("%s", (name) => {
		const [owner = "", id] = name.split(" ");
		const model = hypervisor(owner)?.devices.find((device) => device.id === id);
		expect(shown).toContain(pciId(model));
	});
});

/** Vendor, device and class without its programming interface. QEMU gives SCSI controllers of every make class 0100. */
function pciId(model: DeviceModel | undefined): string {
	const [address] = model?.addresses ?? [];
	if (address?.bus !== "pci") throw new Error(`${model?.id} is no PCI device`);
	const type = model?.role === "disk" && /^010[07]/.test(address.class) ? "0100" : address.class.slice(0, 4);
	return `${address.vendor}:${address.device} ${type}`;
}

/** Starts no guest: the machine is built, asked for its PCI functions, and quit. */
function ask(devices: readonly string[]): string[] {
	const input = ["qmp_capabilities", "query-pci", "quit"].map((execute) => JSON.stringify({ execute })).join("");
	const machine = [
		"-S",
		"-M",
		"q35",
		"-nodefaults",
		"-display",
		"none",
		"-qmp",
		"stdio",
		"-blockdev",
		"null-co,node-name=null",
	];
	const options = devices.flatMap((device) => ["-device", device]);
	const printed = execFileSync(qemu, [...machine, ...options], {
		input,
		encoding: "utf8",
		stdio: "pipe",
		timeout: 60_000,
	});
	const hex = (id: number) => id.toString(16).padStart(4, "0");
	return printed
		.split("\n")
		.filter((line) => line.includes('"bus"'))
		.flatMap((line) => (JSON.parse(line) as { return: { devices: QemuPci[] }[] }).return)
		.flatMap((bus) => bus.devices)
		.map(({ id, class_info }) => `${hex(id.vendor)}:${hex(id.device)} ${hex(class_info.class)}`);
}
