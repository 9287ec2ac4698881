import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { openDisk } from "../../src/disk/registry.js";
import { look } from "../../src/pipeline.js";
import { kernelMade, mounted, noKernel } from "../filesystem/btrfs-images.js";
import { openFile } from "../filesystem/ext-images.js";
import { run, temporaryFolder } from "../support/tools.js";

const folder = await temporaryFolder();

/** What a guest's root at `at` needs in order to be recognised. */
async function makeRoot(at: string, uuid: string, options: string, name: string) {
	for (const sub of ["etc", "usr/lib/modules", "boot/grub2", "var"])
		await mkdir(path.join(at, sub), { recursive: true });
	await writeFile(path.join(at, "etc/os-release"), `ID=${name}\n`);
	await writeFile(
		path.join(at, "etc/fstab"),
		`UUID=${uuid} / btrfs ${options} 0 0\nUUID=${uuid} /var btrfs subvol=@var 0 0\n`,
	);
}

describe.skipIf(noKernel !== "")(`guests on Btrfs ${noKernel}`, () => {
	const uuid = "12345678-9abc-4def-8123-456789abcdef";

	it.each(["@", "root", "@rootfs", "@/.snapshots/1/snapshot"])("the root is the subvolume %s", async (root) => {
		const { image } = await kernelMade(folder, { mkfs: ["-U", uuid] }, async (top) => {
			for (let end = root.indexOf("/"); end > 0; end = root.indexOf("/", end + 1)) {
				const above = path.join(top, root.slice(0, end));
				await (root.slice(0, end).endsWith("1") ? mkdir(above) : run("btrfs", "subvolume", "create", above));
			}
			await run("btrfs", "subvolume", "create", path.join(top, root));
			await makeRoot(path.join(top, root), uuid, `subvol=${root}`, "test");
			await run("btrfs", "subvolume", "create", path.join(top, "@var"));
			await mkdir(path.join(top, "@var/inside"));
		});
		const { source } = await openFile(image);
		await using _ = source;
		const { guest, tree, volumes } = await look({ name: "vm", disks: [await openDisk(source, { format: "raw" })] });
		expect(guest).toMatchObject({ id: "test", problems: [] });
		expect(tree.mounts.map(({ mount }) => mount)).toEqual(["/", "/var"]);
		expect(await tree.stat("/var/inside")).toMatchObject({ type: "directory" });
		expect(volumes).toMatchObject([{ mount: "/" }]);
	});

	it("the root is the default subvolume, a snapshot as openSUSE boots it", async () => {
		const { image } = await kernelMade(folder, { mkfs: ["-U", uuid] }, async (top) => {
			await run("btrfs", "subvolume", "create", path.join(top, "@"));
			await makeRoot(path.join(top, "@"), uuid, "defaults", "before");
			await run("btrfs", "subvolume", "snapshot", path.join(top, "@"), path.join(top, "@/after"));
			await writeFile(path.join(top, "@/after/etc/os-release"), "ID=after\n");
		});
		await mounted(image, "subvolid=5", (top) => run("btrfs", "subvolume", "set-default", path.join(top, "@/after")));
		const { source } = await openFile(image);
		await using _ = source;
		const { guest } = await look({ name: "vm", disks: [await openDisk(source, { format: "raw" })] });
		expect(guest.id).toBe("after");
	});
});
