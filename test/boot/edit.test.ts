import { mkdir, open } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { readBytes } from "../../src/bytes/source.js";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { openVm } from "../../src/open.js";
import { prepare } from "../../src/packaging.js";
import { inspect } from "../../src/pipeline.js";
import { ExternalEditing } from "../../src/prepare/external-editing.js";
import { editByGuestfish } from "../../src/source/guestfish.js";
import { openFile } from "../../src/source/index.js";
import { inodeField, unmountable } from "../filesystem/xfs-images.js";
import { guestOn, rootTools } from "../support/guest-on.js";
import { guestTools } from "../support/guests.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const now = 1_790_000_000;

/** Leaves a folder in the log of the XFS at `offset` only. */
async function switchOff(disk: string, offset: number, at: string): Promise<void> {
	await mkdir(at);
	await run("mount", "-o", `loop,offset=${offset}`, disk, at);
	try {
		await mkdir(path.join(at, "etc/late"));
		await run("xfs_io", "-x", "-c", "shutdown -f", at);
	} finally {
		await run("umount", at);
	}
}

describe.each([
	["xfs", ["xfs_repair", "-n"]],
	["btrfs", ["btrfs", "check", "--readonly"]],
] as const)("a guest on %s, edited by libguestfs", async (kind, [judge, ...judging]) => {
	const folder = await temporaryFolder();
	const tools = [...guestTools, ...rootTools[kind], judge, "guestfish"];
	const reason = missing(...tools) ? because(...tools) : unmountable(folder);

	it.skipIf(reason !== "")(`is ready afterwards, its source as it was; ${judge} finds nothing ${reason}`, async () => {
		const { file, root, size } = await guestOn(kind, folder);
		if (kind === "xfs") await switchOff(file, root, path.join(folder, "running"));
		const before = await run("sha256sum", file);
		await using source = await openFile(file);
		const vm = await openVm({ source, neighbour: () => Promise.reject(new Error("a raw disk has no neighbour")) });
		const judged = await inspect(vm, hypervisors);
		expect(judged.verdicts.map(({ verdict }) => verdict)).not.toContain("blocked");
		const prepared = await prepare(vm, hypervisors, { now, editing: new ExternalEditing(editByGuestfish) });
		expect(prepared.changes.map(({ rule }) => rule)).toEqual(expect.arrayContaining(["initramfs", "drop-in", "fstab"]));
		const { verdicts, volumes } = await inspect(prepared.vm, hypervisors);
		expect(volumes[2]).toMatchObject({ filesystem: kind, mount: "/" });
		for (const { hypervisor, verdict } of verdicts) expect(`${hypervisor} ${verdict}`).not.toContain("fixable");
		expect(await run("sha256sum", file)).toBe(before);

		const after = path.join(folder, "after.img");
		const output = await open(after, "w");
		for (const disk of prepared.vm.disks) {
			for (let at = 0; at < size; at += 1 << 20) {
				await output.write(await readBytes(disk, root + at, Math.min(1 << 20, size - at)), 0, undefined, at);
			}
		}
		await output.close();
		await run(judge, ...judging, after);
		const folderMode = "040755";
		const late = kind === "xfs" ? await inodeField(after, "/etc/late", "core.mode") : folderMode;
		expect(late).toBe(folderMode);
		const again = await prepare(prepared.vm, hypervisors, { now, editing: new ExternalEditing(editByGuestfish) });
		expect(again.changes).toEqual([]);
	});
});
