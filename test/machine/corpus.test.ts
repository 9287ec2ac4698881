import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import type { Machine } from "../../src/machine/machine.js";
import { machineFormatOf, machineFormats, readMachine } from "../../src/machine/registry.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { asLibvirtReads, vmwareStandIns } from "./judges.js";
import { encode, outcome } from "./samples.js";

const KINDS: Readonly<Record<string, string>> = {
	OVF: "ovf",
	VMX: "vmx",
	"libvirt XML <domain>": "libvirt",
	"Proxmox VM config": "proxmox",
	"VirtualBox .vbox": "vbox",
	"Hyper-V VMCX": "vmcx",
};

interface Row {
	readonly file: string;
	readonly kind: string;
	readonly judged: string;
}

function rows(): Row[] {
	if (corpus === undefined) return [];
	const lines = readFileSync(path.join(corpus, "MANIFEST.tsv"), "utf8").split("\n").slice(1);
	return lines.flatMap((line) => {
		const [file = "", , , , , , , what = "", , judged = ""] = line.split("\t");
		const kind = KINDS[what];
		return kind === undefined ? [] : [{ file, kind, judged }];
	});
}

const bytesOf = ({ file }: Row) => readFileSync(path.join(corpus ?? "", file));
const read = (row: Row) => readMachine({ name: path.basename(row.file), bytes: bytesOf(row) });

/** Read or the typed error's kind and message; what is neither fails the test. */
async function result(row: Row): Promise<Machine | string> {
	try {
		return await read(row);
	} catch (error) {
		if (error instanceof AnyvisorError) return `${error.kind}: ${error.message}`;
		throw error;
	}
}

const all = rows();
const counts = new Map<string, number>();
for (const row of all) {
	const found = await result(row);
	const what = typeof found === "string" ? found.replace(/:.*/s, "") : "read";
	counts.set(what, (counts.get(what) ?? 0) + 1);
}
const told = [...counts].map(([what, count]) => `${count} ${what}`).join(", ");

describe.skipIf(corpus === undefined)(`${all.length} descriptors of other projects ${told}${corpusReason}`, () => {
	test("are all there", () => {
		expect(Object.values(KINDS).map((kind) => all.filter((row) => row.kind === kind).length)).toEqual([
			205, 5, 33, 50, 1, 2,
		]);
	});

	test("read, or say what is wrong with them, at once", async () => {
		const failures: string[] = [];
		const machines: { readonly kind: string; readonly machine: Machine }[] = [];
		let slowest = 0;
		for (const row of all) {
			const started = performance.now();
			const found = await result(row);
			slowest = Math.max(slowest, performance.now() - started);
			if (typeof found === "string") failures.push(`${path.basename(row.file)}: ${found}`);
			else machines.push({ kind: row.kind, machine: found });
		}
		expect(slowest).toBeLessThan(5000);
		expect(machines).toHaveLength(255);
		expect(machines.map(({ machine }) => machine.origin)).toEqual(machines.map(({ kind }) => kind));
		expect(JSON.parse(JSON.stringify(machines))).toEqual(machines);
		// Several machines, none, another version of OVF, an encrypted one, or not XML.
		const expected =
			/usage: .* describes \d+ machines|refused: .* is encrypted|unsupported: .* (?:unknown version|no machine description)|damaged: .* (?:describes no virtual machine|is not well-formed XML)/;
		expect(failures.filter((failure) => !expected.test(failure))).toEqual([]);
	});

	test("of several machines name all of them, and each is read by its id", async () => {
		let several = 0;
		for (const row of all.filter(({ kind }) => kind === "ovf")) {
			const found = await result(row);
			const [, count] = typeof found === "string" ? (/^usage: .* describes (\d+) machines: /.exec(found) ?? []) : [];
			if (count === undefined) continue;
			several++;
			const bytes = bytesOf(row);
			const stated = [...String(Buffer.from(bytes)).matchAll(/<(?:ovf:)?VirtualSystem\s[^>]*?ovf:id="([^"]*)"/g)];
			const contents = [
				...String(Buffer.from(bytes)).matchAll(/<Content\s[^>]*?ovf:id="([^"]*)"[^>]*VirtualSystem_Type"/g),
			];
			const ids = [...stated, ...contents].map(([, id]) => id ?? "");
			expect([row.file, ids.length]).toEqual([row.file, Number(count)]);
			for (const system of ids) {
				const outcomeOf = outcome(readMachine({ name: row.file, bytes }, { system }));
				expect([row.file, system, await outcomeOf]).toEqual([row.file, system, "read"]);
			}
		}
		expect(several).toBe(19);
	});

	test("of OVF 2.x tell their disks and network cards: example 3 of DSP0243 2.1.1", async () => {
		const row = all.find(({ file }) => file.endsWith("fixtures/virtualsystemcollection.ovf"));
		// One of its namespaces was broken over two lines, and is no URI now.
		const text = row && String(Buffer.from(bytesOf(row))).replace("cim2608 schema", "cim-schema");
		const bytes = encode(text ?? "");
		const machine = await readMachine({ name: "example.ovf", bytes }, { system: "web-server" });
		expect(machine).toMatchObject({
			name: "Virtual Appliance Two",
			cpus: 1,
			memory: 2 ** 30,
			disks: [{ kind: "disk" }],
			nics: [{ mac: "00:16:8b:db:00:5f", network: "VS Network" }],
		});
	});

	test.each([
		["vmware/esxvmovf-25262174.ovf", { cpus: 2, firmware: "uefi" }],
		[
			"COT/tests/v0.9.ovf",
			{ name: "foo", cpus: 1, memory: 2 ** 33, description: expect.stringContaining("version 0.9") },
		],
		["COT/tests/ubuntu.2.0.ovf", { name: "ubuntu", cpus: 1, memory: 2 ** 29 }],
		[
			"COT/tests/csr1000v.ovf",
			{ cpus: 1, memory: 2 ** 32, nics: [{ model: "vmxnet3" }, { model: "vmxnet3" }, { model: "vmxnet3" }] },
		],
		["vbs/vbs-and-dependent-config-enabled-nested-hv-vvtd-unset.ovf", { firmware: "uefi", secureBoot: true }],
	])("%s says what a person reads in it", async (name, facts) => {
		const row = all.find(({ file }) => file.endsWith(name));
		expect(row && (await result(row))).toMatchObject(facts);
	});

	describe("of OVF", () => {
		const format = machineFormats.find(({ id }) => id === "ovf");
		// What OVF cannot say: a controller or a disk size that the original left open.
		const sayable = ({ controllers, disks }: Machine) =>
			controllers.every(({ model }) => model !== "unknown") &&
			disks.every(({ kind, capacity }) => kind !== "disk" || capacity !== undefined);
		const machinesWhere = async (wanted: boolean) => {
			const found = await Promise.all(all.filter(({ kind }) => kind === "ovf").map(result));
			return found.flatMap((machine) => (typeof machine === "string" || sayable(machine) !== wanted ? [] : machine));
		};

		test("are the same machine when written and read again", async () => {
			const kept = ({ name, cpus, memory, firmware, secureBoot, controllers, disks, nics }: Machine) => {
				const drives = disks.map(({ kind, file, capacity, controller, unit }) => ({
					kind,
					file,
					capacity,
					controller,
					unit,
				}));
				return { name, cpus, memory, firmware, secureBoot, controllers, nics, drives };
			};
			const machines = await machinesWhere(true);
			expect(machines.length).toBeGreaterThan(140);
			for (const machine of machines) {
				const again = await format?.read({ name: "again.ovf", bytes: encode(format.write?.(machine) ?? "") });
				expect(again && kept(again)).toEqual(kept(machine));
			}
		});

		const schema = "vatesfr+xen-orchestra/packages/xo-vmdk-to-vhd/src/ova-schema/dsp8023_1.1.1.xsd";
		test.skipIf(missing("xmllint"))(
			`keep products and licences, as the DMTF's schema has them ${because("xmllint")}`,
			async () => {
				const folder = await temporaryFolder();
				const machines = (await machinesWhere(true)).filter(({ products, eulas }) => products ?? eulas);
				expect(machines).toHaveLength(34);
				const files = machines.map((_, index) => path.join(folder, `${index}.ovf`));
				for (const [index, machine] of machines.entries()) {
					const text = format?.write?.(machine) ?? "";
					writeFileSync(files[index] ?? "", text);
					const again = await format?.read({ name: "again.ovf", bytes: encode(text) });
					const kept = ({ products, eulas, propertyTransport }: Machine) => ({ products, eulas, propertyTransport });
					expect(again && kept(again)).toEqual(kept(machine));
				}
				await run("xmllint", "--nonet", "--noout", "--schema", path.join(corpus ?? "", schema), ...files);
			},
		);

		test("are refused, not guessed at, where OVF has no words for them", async () => {
			for (const machine of await machinesWhere(false)) {
				expect(() => format?.write?.(machine)).toThrow(/OVF (?:has no word|needs the size)/);
			}
		});
	});

	test("survive damage: cut short, or with bytes changed, they are read or refused in time", async () => {
		for (const row of all.filter((_, index) => index % 12 === 0)) {
			const bytes = bytesOf(row);
			const format = machineFormatOf({ name: row.file, bytes });
			if (format === undefined) continue;
			for (let round = 1; round < 6; round++) {
				const changed = Uint8Array.from(bytes.subarray(0, Math.ceil((bytes.length * round) / 6)));
				for (let at = round * 131; at < changed.length; at += 4099) changed[at] = (changed[at] ?? 0) ^ (1 << round);
				const started = performance.now();
				await outcome(format.read({ name: row.file, bytes: changed }));
				expect(performance.now() - started).toBeLessThan(5000);
			}
		}
	});

	describe.skipIf(missing("virsh"))(`of VMware ${because("virsh")}`, () => {
		test("read as libvirt reads them", async () => {
			const standIns = await vmwareStandIns(await temporaryFolder());
			for (const row of all.filter(({ kind, judged }) => kind === "vmx" && judged.startsWith("rc=0"))) {
				const ours = await read(row);
				const theirs = await asLibvirtReads(path.join(corpus ?? "", row.file), standIns);
				const facts = ({ name, cpus, memory, firmware }: Machine) => ({ name, cpus, memory, firmware });
				expect(facts(ours)).toEqual(facts(theirs));
				expect(ours.nics.map(({ model }) => model)).toEqual(theirs.nics.map(({ model }) => model));
				// libvirt 9 does not know NVMe controllers in .vmx files, and takes every SCSI bus for one of seven disks.
				const files = (machine: Machine) =>
					machine.disks
						.filter(({ kind, controller, unit = 0 }) => kind === "disk" && controller === "scsi0" && unit < 7)
						.map(({ file, unit }) => [file, unit]);
				expect(files(ours)).toEqual(files(theirs));
			}
		});
	});
});
