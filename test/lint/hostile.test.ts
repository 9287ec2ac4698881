import { readFile } from "node:fs/promises";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { bytesSource } from "../../src/bytes/source.js";
import { importers, lint, openSubject } from "../../src/lint/index.js";
import { tarHeader } from "../../src/source/tar.js";
import { trials } from "../support/tools.js";

const encode = (text: string) => new TextEncoder().encode(text);
const nothing = () => Promise.reject(new AnyvisorError("not-found", "nothing is here"));
const golden = encode(await readFile("test/golden/vmware-lsilogic.ovf", "utf8"));

/** A tar of these members; `type` replaces the flag of the header, and with it its checksum. */
function tar(...members: readonly { name: string; bytes: Uint8Array; type?: string }[]): Uint8Array {
	const blocks = members.flatMap(({ name, bytes, type }) => {
		const header = tarHeader(name, bytes.length);
		if (type !== undefined) {
			header[156] = type.charCodeAt(0);
			header.fill(0x20, 148, 156);
			const sum = header.reduce((total, byte) => total + byte, 0);
			header.set(encode(`${sum.toString(8).padStart(6, "0")}\0 `), 148);
		}
		const content = new Uint8Array(Math.ceil(bytes.length / 512) * 512);
		content.set(bytes);
		return [header, content];
	});
	const whole = new Uint8Array(blocks.reduce((sum, { length }) => sum + length, 1024));
	let at = 0;
	for (const block of blocks) {
		whole.set(block, at);
		at += block.length;
	}
	return whole;
}

async function look(bytes: Uint8Array, name = "vm.ova") {
	const opened = await openSubject({ source: bytesSource(bytes, name), neighbour: nothing }, { verify: true });
	return opened && lint(opened.subject, importers);
}

describe("a hostile package", () => {
	test.each([
		["../evil.vmdk", "0"],
		["/etc/passwd", "0"],
		["C:\\evil.vmdk", "0"],
		["link.vmdk", "2"],
		["hard.vmdk", "1"],
		["device", "3"],
	])("with a member %s of type %s is refused by its name", async (name, type) => {
		const bytes = tar({ name: "vm.ovf", bytes: golden }, { name, bytes: new Uint8Array(0), type });
		await expect(look(bytes)).rejects.toMatchObject({ kind: "refused", file: name });
	});

	test("with two members of one name is damaged", async () => {
		const member = { name: "vm.ovf", bytes: golden };
		await expect(look(tar(member, { ...member, name: "./vm.ovf" }))).rejects.toMatchObject({ kind: "damaged" });
	});

	test("that is none says so", async () => {
		await expect(look(tar({ name: "a.txt", bytes: golden }))).rejects.toMatchObject({ kind: "not-found" });
		expect(await look(encode("<html/>"), "vm.ovf")).toBeUndefined();
	});

	test("with entities, or without an end, is refused", async () => {
		const bomb = `<!DOCTYPE Envelope [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><Envelope>&b;</Envelope>`;
		await expect(look(encode(bomb), "vm.ovf")).rejects.toMatchObject({ kind: "refused" });
		await expect(look(golden.subarray(0, 3000), "vm.ovf")).rejects.toMatchObject({ kind: "damaged" });
	});

	test("that refers to files elsewhere does not get them opened", async () => {
		const asked: string[] = [];
		const text = new TextDecoder().decode(golden).replace(/ovf:href="[^"]*"/, 'ovf:href="..%2f..%2fetc/passwd"');
		const opened = await openSubject({
			source: bytesSource(encode(text), "vm.ovf"),
			neighbour(name) {
				asked.push(name);
				return nothing();
			},
		});
		expect(asked.filter((name) => name.includes("..") || name.startsWith("/"))).toEqual([]);
		expect(opened?.subject.disks[0]).toMatchObject({ problem: expect.stringContaining("leave its folder") });
	});

	test("with thousands of devices is told in a few lines", async () => {
		const started = performance.now();
		const item = "<Item><rasd:InstanceID>9</rasd:InstanceID><rasd:ResourceType>99</rasd:ResourceType></Item>";
		const text = new TextDecoder().decode(golden).replace("</VirtualHardwareSection>", `${item.repeat(4000)}$&`);
		const verdicts = (await look(encode(text), "vm.ovf")) ?? [];
		const told = verdicts.find(({ importer }) => importer === "virtualbox")?.findings ?? [];
		expect(told.filter(({ rule }) => rule === "virtualbox/required-type")).toHaveLength(21);
		expect(told.find(({ what }) => what === "there are 3980 more of these")).toBeDefined();
		// The same of disks, which are looked for among controllers and files.
		const disk = "<Item><rasd:HostResource>/disk/x</rasd:HostResource><rasd:ResourceType>17</rasd:ResourceType></Item>";
		await look(
			encode(new TextDecoder().decode(golden).replace("</VirtualHardwareSection>", `${disk.repeat(4000)}$&`)),
			"vm.ovf",
		);
		expect(performance.now() - started).toBeLessThan(20_000);
	});

	test("that was an honest one before some bytes were changed is judged, or refused by a typed error", async () => {
		const manifest = encode(`SHA256(vm.ovf)= ${"0".repeat(64)}\n`);
		const honest = tar({ name: "vm.ovf", bytes: golden }, { name: "vm.mf", bytes: manifest });
		expect((await look(honest))?.find(({ importer }) => importer === "virt-v2v")?.findings).toContainEqual(
			expect.objectContaining({ rule: "virt-v2v/manifest-digest" }),
		);
		await fc.assert(
			fc.asyncProperty(
				fc.array(fc.tuple(fc.nat(honest.length - 1), fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 8 }),
				fc.nat(honest.length),
				async (changes, length) => {
					const bytes = Uint8Array.from(length % 4 === 0 ? honest.subarray(0, length) : honest);
					for (const [at, bits] of changes) if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ bits;
					const error: unknown = await look(bytes).then(
						() => undefined,
						(thrown: unknown) => thrown,
					);
					return error === undefined || error instanceof AnyvisorError;
				},
			),
			{ numRuns: trials(150) },
		);
	});
});
