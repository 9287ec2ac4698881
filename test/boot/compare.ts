import path from "node:path";
import { expect } from "vitest";
import { type BootImage, type BootModel, type BootOptions, boot, bootModel } from "../../src/certify/index.js";
import type { Inspection } from "../../src/inspection-schema.js";
import { guestFacts, guestMarker } from "../support/guests.js";

/** One line of the table that is printed at the end. */
interface Row {
	readonly guest: string;
	readonly image: string;
	readonly model: string;
	readonly verdict: string;
	readonly boot: string;
}
const rows: Row[] = [];

export function modelNamed(id: string): BootModel {
	const model = bootModel(id);
	if (!model) throw new Error(`no boot model ${id}`);
	return model;
}

/** Boots an image under a model and holds the verdict of `inspect` on that very disk device against what is seen. */
export async function bootAndCompare(
	guest: string,
	image: BootImage,
	model: BootModel,
	verdicts: Inspection["verdicts"],
	firmware?: BootOptions["firmware"],
) {
	const device = deviceOf(verdicts, model.hypervisor, model.disk);
	// Where the hypervisor itself is not emulated, what counts is whether the drivers are there.
	const carried = device.state === "builtin" || device.state === "initramfs";
	const judged = { ...device, works: model.bare ? carried : device.works };
	const outcome = await boot(image, model, { marker: guestMarker, timeout: 480_000, ...(firmware && { firmware }) });
	const facts = guestFacts(outcome.evidence);
	rows.push({
		guest,
		image: image.range ? `${image.format} in ${path.extname(image.file)}` : image.format,
		model: model.title,
		verdict: `${judged.device}, ${judged.driver ?? "no driver"} ${judged.state}: ${judged.works ? "boots" : "fails"}`,
		boot: `${outcome.result === "up" ? `up: ${facts["disks"]}, ${facts["nics"]}` : outcome.result} (${Math.round(outcome.seconds)} s)`,
	});
	const tail = outcome.console.slice(-1500);
	// The claim of the whole product: what was judged without booting is what booting shows.
	expect(judged.works, `${model.id}: inspect and the boot disagree\n${tail}`).toBe(outcome.result === "up");
	return { outcome, facts, judged, model, tail };
}

function deviceOf(verdicts: Inspection["verdicts"], hypervisor: string, device: string) {
	const verdict = verdicts.find((candidate) => candidate.hypervisor === hypervisor);
	const found = verdict?.devices.find((candidate) => candidate.device === device && candidate.role === "disk");
	if (!verdict || !found) throw new Error(`${hypervisor} has no disk device ${device}`);
	return found;
}

/** The kernel found root disk and NIC on the drivers that the model expects, and got a lease. */
export function expectUp({ outcome, facts, model, tail }: Awaited<ReturnType<typeof bootAndCompare>>) {
	expect(outcome.result, tail).toBe("up");
	const under = facts["under"] ?? facts["root"];
	const root = under?.replace(/^\/dev\//, "").replace(/p?\d+$/, "") ?? "";
	const disk = facts["disks"]?.split(",").find((entry) => entry.startsWith(`${root}:`));
	expect(disk?.split(/[:<]/)).toContain(model.drivers.disk);
	expect(facts["nics"]).toContain(`:${model.drivers.network}`);
	expect(facts["leases"]).toMatch(/=10\.0\.2\.\d+/);
	expect(facts["firmware"]).toBe(model.firmware);
}

/** What was seen in this file, as a table. */
export function printSeen(): void {
	const width = (key: keyof Row) => Math.max(...rows.map((row) => row[key].length));
	const keys = ["guest", "image", "model", "verdict", "boot"] as const;
	const lines = rows.map((row) => keys.map((key) => row[key].padEnd(width(key))).join("  "));
	process.stdout.write(`\nWhat inspect said of the disk device, and what the boot showed:\n${lines.join("\n")}\n\n`);
}
