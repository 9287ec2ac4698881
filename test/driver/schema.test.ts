import { expect, expectTypeOf, test } from "vitest";
import type { z } from "zod";
import { type deviceVerdictSchema, judgeAll, type Verdict, verdictSchema } from "../../src/driver/index.js";
import type { DeviceVerdict } from "../../src/driver/verdict.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import type { Mutable } from "../hypervisor/mutable.js";
import { guest } from "./guests.js";

test("the schemas are the types", () => {
	expectTypeOf<z.infer<typeof deviceVerdictSchema>>().toEqualTypeOf<Mutable<DeviceVerdict>>();
	expectTypeOf<z.infer<typeof verdictSchema>>().toEqualTypeOf<Mutable<Verdict>>();
});

test("every verdict is one", () => {
	for (const plan of [{ initramfs: ["ata_piix", "sd_mod"] }, {}, { builtin: "all" }] as const) {
		for (const verdict of judgeAll(guest(plan), hypervisors)) expect(verdictSchema.parse(verdict)).toEqual(verdict);
	}
});
