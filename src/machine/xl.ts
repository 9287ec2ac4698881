import { damaged } from "../bytes/errors.js";
import { wordsOf } from "../bytes/words.js";
import type { ControllerModel, DescriptorFile, Machine, MachineDisk, MachineFormat, MachineNic } from "./machine.js";
import { Controllers, checkedCpus, checkedMemory, enumerate, nameDisks, present } from "./shape.js";
import { macAddress, statedNumber, uuidOf } from "./units.js";
import { writeXl, XL_TAKES } from "./xl-write.js";

/**
 * A domain's configuration for Xen's xl, and for xm before it: `key = value` with strings, numbers and lists of them.
 * https://xenbits.xen.org/docs/unstable/man/xl.cfg.5.html
 */
export const xl: MachineFormat = {
	id: "xl",
	matches: isConfiguration,
	read: (file) => Promise.resolve().then(() => readDomain(file)),
	takes: XL_TAKES,
	write: (machine) => writeXl(machine),
};

/** What only such a file says in such a form. */
const TELLING = /^[ \t]*(?:disk|vif)[ \t]*=[ \t]*\[/m;
const NAMING = /^[ \t]*(?:name|memory|kernel|builder|type|bootloader|vcpus)[ \t]*=[ \t]*["'\d]/m;

function isConfiguration({ bytes }: DescriptorFile): boolean {
	const text = new TextDecoder("latin1").decode(bytes.subarray(0, 64 << 10));
	return TELLING.test(text) && NAMING.test(text) && !text.includes("\0");
}

type Value = string | readonly string[];

/** The settings; numbers as their digits, lists of lists flattened. What is none ends in `damaged`. */
function parse({ name, bytes }: DescriptorFile): ReadonlyMap<string, Value> {
	const text = new TextDecoder().decode(bytes);
	const settings = new Map<string, Value>();
	const token = /\s*(?:#[^\n]*|("[^"\n]*"|'[^'\n]*')|([[\],=;])|([^\s#"'[\],=;]+))/y;
	const tokens: { readonly at: number; readonly mark?: string | undefined; readonly text: string }[] = [];
	while (token.lastIndex < text.length) {
		const at = token.lastIndex;
		const found = token.exec(text);
		if (found === null) {
			if (text.slice(at).trim() === "") break;
			throw unreadable(name, text, at);
		}
		const [, quoted, mark, word] = found;
		if (quoted !== undefined) tokens.push({ at, text: quoted.slice(1, -1) });
		else if (mark !== undefined) tokens.push({ at, mark, text: mark });
		else if (word !== undefined) tokens.push({ at, text: word });
	}
	for (let i = 0; i < tokens.length; ) {
		const [key, equals, first] = tokens.slice(i, i + 3);
		if (key?.mark === ";") {
			i++;
			continue;
		}
		if (key === undefined || key.mark !== undefined || equals?.mark !== "=" || first === undefined) {
			throw unreadable(name, text, key?.at ?? 0);
		}
		i += 3;
		if (first.mark === undefined) {
			settings.set(key.text, first.text);
			continue;
		}
		if (first.mark !== "[") throw unreadable(name, text, first.at);
		const list: string[] = [];
		for (let depth = 1; depth > 0; i++) {
			const next = tokens[i];
			if (next === undefined) throw unreadable(name, text, first.at);
			if (next.mark === "[") depth++;
			else if (next.mark === "]") depth--;
			else if (next.mark === undefined) list.push(next.text);
			else if (next.mark !== ",") throw unreadable(name, text, next.at);
		}
		settings.set(key.text, list);
	}
	return settings;
}

function unreadable(file: string, text: string, at: number) {
	const line = text.slice(0, at).split("\n").length;
	return damaged(`${file} cannot be read as a domain's configuration from line ${line} on`, {
		file,
		offset: at,
		hint: "Expected are lines such as: name = \"web\", memory = 2048, disk = [ '/path,raw,xvda,rw' ].",
	});
}

/** What has no place in a machine. */
const DEVICES: Readonly<Record<string, string>> = wordsOf({
	pci: "passed-through PCI devices",
	usbdev: "USB devices",
	usbctrl: "USB controllers",
	vfb: "framebuffers",
	vtpm: "virtual TPMs",
	p9: "shared folders",
	serial: "serial ports",
	channel: "channels",
	device_model_args: "arguments for QEMU",
});

function readDomain(file: DescriptorFile): Machine {
	const settings = parse(file);
	const lost: string[] = [];
	const word = (key: string) => {
		const value = settings.get(key);
		return typeof value === "string" && value !== "" ? value : undefined;
	};
	const list = (key: string) => {
		const value = settings.get(key) ?? [];
		return typeof value === "string" ? [value] : value;
	};
	const number = (key: string) => statedNumber(word(key));
	const hvm = word("type") === "hvm" || word("builder") === "hvm";
	const mebibytes = number("memory");
	const firmware = word("bios") ?? word("firmware");
	const controllers = new Controllers();
	const disks = nameDisks(list("disk").map((spec) => readDrive(spec, controllers, file.name, lost)));
	noteLost(settings, hvm, lost);
	return {
		name: word("name") ?? file.name.replace(/\.(?:cfg|conf|hvm|pv)$/i, ""),
		...present({ uuid: uuidOf(word("uuid")) }),
		arch: "x86_64",
		firmware: firmware === "ovmf" || firmware === "uefi" ? "uefi" : "bios",
		secureBoot: false,
		cpus: checkedCpus(number("vcpus") ?? 1, file.name, lost),
		memory: checkedMemory(mebibytes === undefined ? undefined : mebibytes * 2 ** 20, file.name, lost),
		controllers: controllers.list(),
		disks,
		nics: list("vif").map((spec) => readNic(spec, hvm)),
		origin: "xl",
		lost,
	};
}

const POSITIONS = ["target", "format", "vdev", "access"];
/** Prefixes of the target that xm had, and xl still takes: formats, kinds of back-end, scripts. */
const PREFIX = /^(?:raw|qcow2?|vhd|qed|phy|file|tap2?|aio|tapdisk|drbd|iscsi|nbd):/;

/**
 * A disk's parameters, by position or by name; `target=` takes all that is left.
 * https://xenbits.xen.org/docs/unstable/man/xl-disk-configuration.5.html
 */
function driveParameters(spec: string): ReadonlyMap<string, string> {
	const given = new Map<string, string>();
	const named = /(?:^|,)\s*target=(.*)$/s.exec(spec);
	if (named?.[1] !== undefined) given.set("target", named[1]);
	const rest = named === null ? spec : spec.slice(0, named.index);
	const old = PREFIX.test(rest);
	// In the old form the device comes second, and no format.
	const positions = old ? POSITIONS.filter((position) => position !== "format") : POSITIONS;
	let at = 0;
	for (const parameter of rest.split(",").map((part) => part.trim())) {
		const [, key, value = ""] = /^([a-z-]+)=(.*)$/s.exec(parameter) ?? [];
		if (key !== undefined) given.set(key, value);
		else if (parameter === "cdrom") given.set("devtype", "cdrom");
		else {
			while (at < positions.length && given.has(positions[at] ?? "")) at++;
			const position = positions[at++];
			if (position !== undefined) given.set(position, parameter);
		}
	}
	return given;
}

function readDrive(spec: string, controllers: Controllers, file: string, lost: string[]): Omit<MachineDisk, "id"> {
	const given = driveParameters(spec);
	let target = given.get("target") ?? "";
	while (PREFIX.test(target)) target = target.replace(PREFIX, "");
	const [vdev = "", type] = (given.get("vdev") ?? "").replace(/^\/dev\//, "").split(":");
	const cdrom = type === "cdrom" || given.get("devtype") === "cdrom";
	if (vdev === "") {
		throw damaged(`${file} does not say as which device the guest sees "${spec.slice(0, 80)}"`, {
			file,
			hint: "Name it, as in: disk = [ '/path,raw,xvda,rw' ].",
		});
	}
	const place = placeOf(vdev, controllers);
	if (place === undefined) lost.push(`The drive ${vdev} has a name that says no place on a controller.`);
	if (target.startsWith("/dev/")) lost.push(`The drive ${vdev} is a device of its host, ${target}.`);
	return present({
		kind: cdrom ? ("cdrom" as const) : ("disk" as const),
		file: target === "" || /^\/dev\/s?cd/.test(target) ? undefined : target,
		...place,
	});
}

/** `xvda` is a paravirtual disk, `hda` an emulated IDE one, `sda` one on an emulated LSI 53C895A. */
function placeOf(vdev: string, controllers: Controllers) {
	const [, bus, letters = ""] = /^(xvd|hd|sd|d)([a-z]{1,3}|\d+p\d+|\d+)$/.exec(vdev) ?? [];
	if (bus === undefined) return undefined;
	const at = /^\d/.test(letters)
		? Number.parseInt(letters, 10)
		: Array.from(letters).reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 96, 0) - 1;
	const models: Readonly<Record<string, ControllerModel>> = { xvd: "xen-vbd", d: "xen-vbd", hd: "ide", sd: "unknown" };
	const each = bus === "hd" ? 2 : Number.MAX_SAFE_INTEGER;
	const { id } = controllers.at(models[bus] ?? "unknown", Math.floor(at / each));
	return { controller: id, unit: at % each };
}

function readNic(spec: string, hvm: boolean): MachineNic {
	const given = new Map(
		spec.split(",").map((part) => {
			const [key = "", ...value] = part.split("=");
			return [key.trim(), value.join("=").trim()];
		}),
	);
	// What a HVM guest has besides its paravirtual card, until it has a driver for that.
	const emulated = hvm && given.get("type") !== "vif" && given.get("type") !== "netfront";
	return present({
		model: emulated ? given.get("model") || "rtl8139" : "xen-vif",
		mac: macAddress(given.get("mac")),
		network: given.get("bridge") || undefined,
	});
}

function noteLost(settings: ReadonlyMap<string, Value>, hvm: boolean, lost: string[]): void {
	for (const [key, value] of settings) {
		const device = DEVICES[key];
		if (device !== undefined && value.length > 0 && value !== "none") {
			lost.push(`The ${device} (${enumerate(typeof value === "string" ? [value] : value, 3)}) are not carried over.`);
		}
	}
	const kernel = settings.get("kernel");
	if (typeof kernel === "string" && !hvm && !/hvmloader|pygrub|pvgrub/.test(kernel)) {
		lost.push("The domain boots a kernel from a file of its host, not the one on its disk.");
	}
	if (!hvm)
		lost.push("The guest runs paravirtualized: it may have no boot loader, which every other hypervisor needs.");
}
