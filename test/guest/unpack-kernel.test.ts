import { readdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { bytesSource } from "../../src/bytes/source.js";
import { readKernelRelease, unpackKernel } from "../../src/guest/linux/kernel-image.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const [installed] = (() => {
	try {
		return readdirSync("/boot").filter((name) => name.startsWith("vmlinuz-"));
	} catch {
		return [];
	}
})();
const reason = installed === undefined ? "(skipped: no kernel in /boot)" : because("readelf");

describe.skipIf(installed === undefined || missing("readelf"))(`a kernel image ${reason}`, () => {
	test("has an ELF file inside that readelf takes, of the release that it says", async () => {
		const image = bytesSource(await readFile(`/boot/${installed ?? ""}`), "vmlinuz");
		const kernel = await unpackKernel(image);
		const file = path.join(await temporaryFolder(), "vmlinux");
		await writeFile(file, kernel);
		const header = await run("readelf", "--file-header", "--section-headers", "--wide", file);
		expect(header).toMatch(/Type: +EXEC/);
		expect(header).toMatch(/Machine: +Advanced Micro Devices X86-64/);
		expect(header).toContain(" .init.text ");
		expect(Buffer.from(kernel).includes(`Linux version ${(await readKernelRelease(image)) ?? "?"} `)).toBe(true);
	});

	test("whose header is changed is unpacked or refused, at once", async () => {
		const bytes = await readFile(`/boot/${installed ?? ""}`);
		const place = fc.integer({ min: 0x1f1, max: 0x250 });
		await fc.assert(
			fc.asyncProperty(place, fc.nat(255), async (at, value) => {
				// Cut off, so that what still says where it is is not there.
				const changed = Uint8Array.from(bytes.subarray(0, 1 << 20));
				changed[at] = value;
				const outcome = await unpackKernel(bytesSource(changed, "vmlinuz")).catch((error: unknown) => error);
				expect(outcome instanceof Uint8Array || outcome instanceof AnyvisorError).toBe(true);
			}),
			{ numRuns: 100 },
		);
	});
});
