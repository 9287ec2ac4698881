import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { openVm } from "../../src/open.js";
import { inspect, prepare } from "../../src/pipeline.js";
import { openFile } from "../../src/source/index.js";
import { guestTools, testGuest } from "../support/guests.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { mkfsXfs, mounted, unmountable } from "./xfs-images.js";

const folder = await temporaryFolder();
const tools = [...guestTools, "mkfs.xfs", "debugfs"];
const reason = missing(...tools) ? because(...tools) : unmountable(folder);

describe.skipIf(reason !== "")(`a guest on XFS ${reason}`, () => {
	it("is judged, and is not said to be fixable by what cannot edit it", { timeout: 300_000 }, async () => {
		const disk = await testGuest("initramfs-tools");
		const { partitiontable } = JSON.parse(await run("sfdisk", "--json", disk)) as {
			partitiontable: { partitions: readonly { start: number; size: number }[] };
		};
		const { start = 0, size = 0 } = partitiontable.partitions[2] ?? {};
		const root = start * 512;
		const image = await mkfsXfs(path.join(folder, "root.img"), "", Math.floor((size * 512) / 2 ** 20));
		const at = path.join(folder, "mounted");
		await mounted(image, at, async () => {
			await run("debugfs", "-R", `rdump / ${at}`, `${disk}?offset=${root}`);
			// The test guest has no module for XFS, and would be blocked for that.
			const fstab = path.join(at, "etc/fstab");
			await writeFile(fstab, (await readFile(fstab, "utf8")).replace(/^\S+(\s+\/\s+)ext4/m, "/dev/sda3$1auto"));
		});
		const guest = path.join(folder, "guest.img");
		await run("cp", "--sparse=always", disk, guest);
		const onto = [`if=${image}`, `of=${guest}`, `seek=${root}`, "oflag=seek_bytes", "conv=notrunc"];
		await run("dd", "status=none", "bs=1M", ...onto);
		await using source = await openFile(guest);
		const vm = await openVm({ source, neighbour: () => Promise.reject(new Error("a raw disk has no neighbour")) });
		const document = await inspect(vm, hypervisors);
		expect(document.volumes[2]).toMatchObject({ filesystem: "xfs", mount: "/", problem: null });
		expect(document.guest.kernels[0]?.initramfs).not.toBeNull();
		expect(document.verdicts.some(({ verdict }) => verdict === "blocked")).toBe(true);
		for (const { verdict, reasons, changes } of document.verdicts) {
			expect(verdict).not.toBe("fixable");
			expect(changes).toEqual([]);
			expect(reasons.join(" ")).toContain("The file system at / (xfs) can be read but not yet edited");
		}
		await expect(prepare(vm, hypervisors, { now: 1_790_000_000 })).rejects.toMatchObject({
			kind: "unsupported",
			message: expect.stringContaining("xfs"),
			hint: expect.stringContaining("where it runs"),
		});
	});
});
