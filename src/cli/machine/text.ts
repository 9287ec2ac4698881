import type { Machine, Product } from "../../machine/machine.js";
import { enumerate } from "../../machine/shape.js";
import { stdout } from "../standard-streams.js";
import { humanBytes, type Paint, painter, printable, table, wantsColour } from "../terminal.js";

/** A machine for a person: what it is, what hangs where, and what the descriptor says besides. */
export function machineText(machine: Machine): string {
	const paint = painter(wantsColour(stdout));
	const { name, description, origin, products = [], eulas = [] } = machine;
	return [
		`${paint("bold", printable(name))} (${origin})\n`,
		...factLines(machine),
		...(description === undefined ? [] : [`${printable(description)}\n`]),
		...products.map((product) => `${printable(productLine(product))}\n`),
		...(eulas.length === 0 ? [] : ["Whoever deploys it agrees to its licence; --json has the text.\n"]),
		deviceTable(machine, paint),
		...machine.lost.map((sentence) => remark(sentence, paint)),
	].join("");
}

/** The keys of properties, of which the values may be passwords. */
function productLine({ product, vendor, version, fullVersion, properties }: Product): string {
	const name = [product ?? "Product", fullVersion ?? version, vendor && `by ${vendor}`].filter(Boolean).join(" ");
	return properties.length === 0 ? name : `${name}, with the properties ${enumerate(properties.map(({ key }) => key))}`;
}

/** A sentence that should be seen. */
export const remark = (sentence: string, paint: Paint) => `${paint("yellow", "!")} ${printable(sentence)}\n`;

/** What it is made of, a line each. */
export function factLines({ uuid, arch, firmware, secureBoot, tpm, cpus, memory }: Machine): readonly string[] {
	const firmwareText = `${firmware === "uefi" ? "UEFI" : "BIOS"}${secureBoot ? " with Secure Boot" : ""}`;
	const cpuText = `${cpus} ${cpus === 1 ? "CPU" : "CPUs"} (${printable(arch)})`;
	return [
		`${cpuText}, ${humanBytes(memory)} of memory, ${firmwareText}${tpm === undefined ? "" : `, TPM ${tpm}`}\n`,
		...(uuid === undefined ? [] : [`UUID ${uuid}\n`]),
	];
}

/** Its disks and network cards, a line each. */
export function deviceTable(machine: Machine, paint: Paint): string {
	const rows = [...diskRows(machine), ...nicRows(machine)];
	return table(
		rows.map((cells) => cells.map((text) => ({ text }))),
		paint,
		160,
	);
}

const diskRows = ({ disks, controllers }: Machine) =>
	disks.map(({ id, file, capacity, controller, unit }) => {
		const model = controllers.find((candidate) => candidate.id === controller)?.model ?? "unknown";
		return [
			id,
			controller === undefined ? "" : `${controller}:${unit ?? 0} (${model})`,
			[file ?? "empty", ...(capacity === undefined ? [] : [humanBytes(capacity)])].join(", "),
		];
	});

const nicRows = ({ nics }: Machine) =>
	nics.map(({ model, mac, network }, index) => [
		`nic${index + 1}`,
		model,
		[mac ?? "address to be given", ...(network === undefined ? [] : [network])].join(", "),
	]);
