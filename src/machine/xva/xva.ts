import { damaged } from "../../bytes/errors.js";
import type { DescriptorFile, Machine, MachineDisk, MachineFormat } from "../machine.js";
import { Controllers, checkedCpus, checkedMemory, enumerate, nameDisks, present } from "../shape.js";
import { macAddress, statedNumber, uuidOf, wholeNumber } from "../units.js";
import { rootTag } from "../xml-head.js";
import { child, parseXml, type XmlElement } from "../xml-read.js";

/**
 * `ova.xml` of an XVA, XenServer's and XCP-ng's own package: an XML-RPC value with the records of its XenAPI objects.
 * https://xapi-project.github.io/new-docs/xen-api/index.html
 */
export const xva: MachineFormat = {
	id: "xva",
	matches: ({ bytes }) =>
		rootTag(bytes)?.name === "value" &&
		new TextDecoder("latin1").decode(bytes.subarray(0, 64 << 10)).includes("export_vsn"),
	read: readRecords,
};

type Value = string | readonly Value[] | ReadonlyMap<string, Value>;

/** Deeper than any record, which are maps in a list in a map. */
const DEEPEST = 16;

/** What an XML-RPC value says; booleans are "0" and "1", and whatever is not understood its text. */
function valueOf(element: XmlElement, depth = 0): Value {
	const [typed] = element.children;
	if (typed === undefined || depth > DEEPEST) return element.text;
	if (typed.name === "array") return (child(typed, "data")?.children ?? []).map((each) => valueOf(each, depth + 1));
	if (typed.name !== "struct") return typed.text;
	return new Map(
		typed.children.flatMap((member): [string, Value][] => {
			const name = child(member, "name")?.text;
			const value = child(member, "value");
			return name === undefined || value === undefined ? [] : [[name, valueOf(value, depth + 1)]];
		}),
	);
}

/** One record: its fields by name. */
class Fields {
	readonly #value: Value | undefined;

	constructor(value: Value | undefined) {
		this.#value = value;
	}

	at(name: string): Value | undefined {
		return this.#value instanceof Map ? this.#value.get(name) : undefined;
	}

	text(name: string): string | undefined {
		const value = this.at(name);
		return typeof value === "string" && value !== "" ? value : undefined;
	}

	fields(name: string): Fields {
		return new Fields(this.at(name));
	}

	list(name: string): readonly Value[] {
		const value = this.at(name);
		return Array.isArray(value) ? value : [];
	}
}

async function readRecords(file: DescriptorFile): Promise<Machine> {
	const root = new Fields(valueOf(await parseXml(file)));
	const objects = root.list("objects").map((value) => new Fields(value));
	const of = (kind: string) => objects.filter((object) => object.text("class") === kind);
	const systems = of("VM").filter((object) => !isTrue(object.fields("snapshot").text("is_a_snapshot")));
	const vm = systems[0]?.fields("snapshot");
	if (vm === undefined) {
		throw damaged(`${file.name} describes no virtual machine`, {
			file: file.name,
			hint: "Export the VM again: xe vm-export.",
		});
	}
	const lost: string[] = [];
	const snapshots = of("VM").length - systems.length;
	if (snapshots > 0) lost.push(`The VM has ${snapshots} snapshots, which are not carried over.`);
	const id = systems[0]?.text("id");
	const mine = (kind: string) =>
		of(kind)
			.map((object) => object.fields("snapshot"))
			.filter((record) => record.text("VM") === id);
	const controllers = new Controllers();
	const disks = new Map(of("VDI").map((object) => [object.text("id") ?? "", object.fields("snapshot")]));
	const networks = new Map(of("network").map((object) => [object.text("id") ?? "", object.fields("snapshot")]));
	const boot = vm.fields("HVM_boot_params");
	const platform = vm.fields("platform");
	const hvm = vm.text("HVM_boot_policy") !== undefined;
	if (!hvm) {
		lost.push("The guest runs paravirtualized: it may have no boot loader, which every other hypervisor needs.");
	}
	const devices = ["VGPUs", "attached_PCIs"].filter((name) => vm.list(name).length > 0);
	if (devices.length > 0) lost.push(`These devices are not carried over: ${enumerate(devices)}.`);
	const drives = mine("VBD").map((record) => readDrive(record, disks, controllers));
	return {
		name: vm.text("name_label") ?? file.name.replace(/\.xml$/i, ""),
		...present({ description: vm.text("name_description"), uuid: uuidOf(vm.text("uuid")) }),
		arch: "x86_64",
		firmware: boot.text("firmware") === "uefi" ? "uefi" : "bios",
		secureBoot: boot.text("firmware") === "uefi" && isTrue(platform.text("secureboot")),
		...(vm.list("VTPMs").length > 0 ? { tpm: "2.0" as const } : {}),
		cpus: checkedCpus(statedNumber(vm.text("VCPUs_at_startup") ?? vm.text("VCPUs_max")), file.name, lost),
		memory: checkedMemory(statedNumber(vm.text("memory_static_max")), file.name, lost),
		controllers: controllers.list(),
		disks: nameDisks(drives.toSorted((a, b) => (a.unit ?? 0) - (b.unit ?? 0))),
		nics: mine("VIF")
			.toSorted((a, b) => (statedNumber(a.text("device")) ?? 0) - (statedNumber(b.text("device")) ?? 0))
			.map((record) =>
				present({
					model: "xen-vif",
					mac: macAddress(record.text("MAC")),
					network: networks.get(record.text("network") ?? "")?.text("name_label"),
				}),
			),
		origin: "xva",
		lost,
	};
}

const isTrue = (text: string | undefined) => text === "1" || text === "true";

function readDrive(
	record: Fields,
	disks: ReadonlyMap<string, Fields>,
	controllers: Controllers,
): Omit<MachineDisk, "id"> {
	const reference = record.text("VDI");
	const disk = reference === undefined ? undefined : disks.get(reference);
	const { id } = controllers.at("xen-vbd", 0);
	return present({
		kind: record.text("type") === "CD" ? ("cdrom" as const) : ("disk" as const),
		// The folder of its chunks in the archive.
		file: disk === undefined ? undefined : reference,
		capacity: wholeNumber(disk?.text("virtual_size")),
		controller: id,
		unit: wholeNumber(record.text("userdevice")),
	});
}
