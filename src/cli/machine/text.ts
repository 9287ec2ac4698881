import type { Machine, Product } from "../../machine/machine.js";
import { enumerate } from "../../machine/shape.js";
import { humanBytes, painter, printable, table, wantsColour } from "../terminal.js";

/** A machine for a person: what it is, what hangs where, and what the descriptor says besides. */
export function machineText(machine: Machine): string {
	const paint = painter(wantsColour(process.stdout));
	const { name, description, uuid, arch, firmware, secureBoot, tpm, cpus, memory, products = [], eulas = [] } = machine;
	const firmwareText = `${firmware === "uefi" ? "UEFI" : "BIOS"}${secureBoot ? " with Secure Boot" : ""}`;
	const facts = [
		`${cpus} ${cpus === 1 ? "CPU" : "CPUs"} (${arch}), ${humanBytes(memory)} of memory, ${firmwareText}${tpm === undefined ? "" : `, TPM ${tpm}`}`,
		...(uuid === undefined ? [] : [`UUID ${uuid}`]),
		...(description === undefined ? [] : [description]),
		...products.map(productLine),
		...(eulas.length === 0 ? [] : ["Whoever deploys it agrees to its licence; --json has the text."]),
	];
	const rows = [...diskRows(machine), ...nicRows(machine)].map((cells) =>
		cells.map((text) => ({ text: printable(text) })),
	);
	return [
		`${paint("bold", printable(name))} (${machine.origin})\n`,
		...facts.map((fact) => `${printable(fact)}\n`),
		table(rows, paint, 160),
		...machine.lost.map((sentence) => `${paint("yellow", "!")} ${printable(sentence)}\n`),
	].join("");
}

/** The keys of properties, of which the values may be passwords. */
function productLine({ product, vendor, version, fullVersion, properties }: Product): string {
	const name = [product ?? "Product", fullVersion ?? version, vendor && `by ${vendor}`].filter(Boolean).join(" ");
	return properties.length === 0 ? name : `${name}, with the properties ${enumerate(properties.map(({ key }) => key))}`;
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
