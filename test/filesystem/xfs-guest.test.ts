import { describe, expect, it } from "vitest";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { openVm } from "../../src/open.js";
import { inspect, prepare } from "../../src/pipeline.js";
import { openFile } from "../../src/source/index.js";
import { guestOn, withoutRoot } from "../support/guests.js";

const reason = withoutRoot("xfs");

describe.skipIf(reason !== "")(`a guest on XFS ${reason}`, () => {
	it("is judged, and not edited unless there is somebody who can", { timeout: 300_000 }, async () => {
		await using source = await openFile(await guestOn("xfs"));
		const vm = await openVm({ source, neighbour: () => Promise.reject(new Error("a raw disk has no neighbour")) });
		const document = await inspect(vm, hypervisors);
		expect(document.volumes[1]).toMatchObject({ filesystem: "xfs", mount: "/", problem: null });
		expect(document.guest.kernels[0]?.initramfs).not.toBeNull();
		const fixable = document.verdicts.filter(({ verdict }) => verdict === "fixable");
		expect(fixable.map(({ hypervisor }) => hypervisor)).toEqual(
			expect.arrayContaining(["vmware", "virtualbox", "xenserver"]),
		);
		for (const { changes } of fixable) expect(changes.length).toBeGreaterThan(0);
		await expect(prepare(vm, hypervisors, { now: 1_790_000_000 })).rejects.toMatchObject({
			kind: "unsupported",
			message: expect.stringContaining("xfs"),
			hint: expect.stringContaining("where it runs"),
		});
	});
});
