import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { libvirt } from "../../src/machine/libvirt.js";
import type { Machine } from "../../src/machine/machine.js";
import { ovf } from "../../src/machine/ovf/ovf.js";
import { refitted } from "../../src/machine/refit.js";
import { machineFormatOf, machineFormats, readMachine } from "../../src/machine/registry.js";
import { machineSchema } from "../../src/machine/schema.js";
import { vmx } from "../../src/machine/vmx.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { encode, sample } from "./samples.js";

const FOLDER = "test/golden/machine";
const names = readdirSync(FOLDER).flatMap((file) => (file.endsWith(".in") ? [file.slice(0, -3)] : []));

/** As `machine convert --to` has it, with what it tells on standard error, for every format that is written. */
function converted(machine: Machine): string {
	return machineFormats
		.filter((format) => format.write !== undefined)
		.map((format) => {
			const fitting = refitted(machine, format);
			const told = fitting.lost.map((sentence) => `! ${sentence}\n`).join("");
			return `=== ${format.id}\n${told}${written(() => format.write?.(fitting) ?? "")}`;
		})
		.join("\n");
}

function written(write: () => string): string {
	try {
		return write();
	} catch (error) {
		if (error instanceof AnyvisorError) return `${error.kind}: ${error.message}\n`;
		throw error;
	}
}

/** Written by hand; what becomes of them is compared by eye when it changes: npm run golden writes it anew. */
describe.each(names)("the descriptor %s", (name) => {
	const file = { name, bytes: Uint8Array.from(readFileSync(`${FOLDER}/${name}.in`)) };

	test("is recognised as what it is, and is the machine that it was", async () => {
		expect(name).toContain(machineFormatOf(file)?.id);
		const machine = await readMachine(file);
		expect(machineSchema.parse(machine)).toEqual(machine);
		const text = `${JSON.stringify(machine, undefined, "\t")}\n`;
		await expect(text).toMatchFileSnapshot(`../golden/machine/${name}.machine.json`);
	});

	test("becomes the other descriptors that it became", async () => {
		const text = converted(await readMachine(file));
		await expect(text).toMatchFileSnapshot(`../golden/machine/${name}.out`);
	});
});

test.skipIf(missing("virt-xml-validate"))(
	`a TPM is one by libvirt's schema, and by .vmx what VMware adds by itself ${because("virt-xml-validate")}`,
	async () => {
		const file = path.join(await temporaryFolder(), "web.xml");
		const read = async (name: string, bytes: Uint8Array) => (await readMachine({ name, bytes })).tpm;
		for (const tpm of ["1.2", "2.0"] as const) {
			const machine = { ...sample, tpm };
			const domain = libvirt.write?.(machine) ?? "";
			await writeFile(file, domain);
			await run("virt-xml-validate", file, "domain");
			expect(await read("web.xml", encode(domain))).toBe(tpm);
			expect(await read("web.vmx", encode(vmx.write?.(machine) ?? ""))).toBe("2.0");
			expect(refitted(machine, ovf).lost).toEqual([`The virtual TPM ${tpm} is not carried over.`]);
		}
		const vtpm = 'config.version = "8"\nmemsize = "512"\nvtpm.present = "TRUE"\n';
		expect(await read("web.vmx", encode(vtpm))).toBe("2.0");
		expect(await read("1.conf", encode("name: a\nmemory: 512\nnet0: virtio\ntpmstate0: local:x,size=4M\n"))).toBe(
			"1.2",
		);
	},
);

test("there is one of every format that is text", () => {
	const ids = machineFormats.map(({ id }) => id).filter((id) => id !== "vmcx");
	expect(ids.filter((id) => !names.some((name) => name.startsWith(id)))).toEqual([]);
});
