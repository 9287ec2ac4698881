import path from "node:path";
import { describe, expect, it } from "vitest";
import { exitCodes } from "../../src/cli/exit-codes.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { openVm } from "../../src/open.js";
import { prepare } from "../../src/packaging.js";
import { inspect } from "../../src/pipeline.js";
import { openFile } from "../../src/source/index.js";
import { anyvisor } from "../cli/support.js";
import { guestOn, rootPartition, withoutRoot } from "../support/guests.js";
import { run, temporaryFolder } from "../support/tools.js";
import { mounted } from "./xfs-images.js";

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

	it("is not begun to be prepared where it is full", { timeout: 300_000 }, async () => {
		const folder = await temporaryFolder();
		const file = path.join(folder, "guest.raw");
		await run("cp", "--sparse=always", await guestOn("xfs"), file);
		const { start, size } = await rootPartition(file);
		const at = path.join(folder, "full");
		const fillUp = async () => {
			const free = Number(await run("stat", "-f", "-c", "%a", at)) * 4096;
			await run("fallocate", "-l", String(free - 2 ** 20), path.join(at, "var-log"));
		};
		await mounted(file, at, fillUp, `offset=${start}`, `sizelimit=${size}`);
		const before = await run("sha256sum", file);
		for (const command of ["pack", "expand"]) {
			const { code, stdout, stderr } = await anyvisor([command, file, "--for", "all", "--dry-run"]);
			expect(stderr).toMatch(
				/: \/ in the guest \(xfs\) has \d+ bytes free, but up to \d+ are needed; nothing was written$/m,
			);
			expect(stderr).toMatch(/Next: Remove old kernels/);
			expect([code, stdout]).toEqual([exitCodes["no-space"], ""]);
		}
		expect(await run("sha256sum", file)).toBe(before);
	});
});
