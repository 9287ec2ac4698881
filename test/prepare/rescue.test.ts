import { describe, expect, it } from "vitest";
import { hypervisors } from "../../src/hypervisor/registry.js";
import { planInitramfs } from "../../src/prepare/rules/initramfs.js";
import { guest as driverGuest } from "../driver/guests.js";
import { archive, folder } from "../guest/support/cpio.js";
import { type Contents, memoryTree } from "../guest/support/memory.js";

const home = ["ata_piix", "sd_mod", "ext4"];

/** Of the home's drivers alone. */
const hostOnly = (version: string) =>
	archive([
		...["lib", "lib/modules", `lib/modules/${version}`].map(folder),
		...home.map((name) => ({ name: `lib/modules/${version}/${name}.ko`, contents: "x" })),
	]);

describe("rescue images", () => {
	async function planned(initramfs: readonly string[] | "all", rescue: Contents) {
		const found = driverGuest({ initramfs });
		const [kernel] = found.kernels;
		if (!kernel) throw new Error("no kernel");
		const files = [...kernel.modules.paths.keys()].map((name) => [
			`${kernel.modulesDirectory}/${kernel.modules.paths.get(name)}`,
			"x",
		]);
		const tree = memoryTree({ ...Object.fromEntries(files), "/boot/rescue.img": rescue });
		const guest = { ...found, kernels: [{ ...kernel, otherInitramfs: [{ path: "/boot/rescue.img", before: [] }] }] };
		const planning = { guest, tree, nics: [], targets: hypervisors, stableName: () => undefined };
		return (await planInitramfs(planning)).map(({ path }) => path);
	}
	const own = driverGuest({ initramfs: home }).kernels[0];
	const version = own?.version ?? "";

	it("are prepared along with their kernel's own initramfs", async () => {
		expect(await planned(home, hostOnly(version))).toEqual([own?.initramfs?.path, "/boot/rescue.img"]);
	});

	it("are not looked at where that needs nothing, and left alone where they cannot be read", async () => {
		const unread = { name: "rescue", size: 9, read: () => Promise.reject(new Error("read")) };
		expect(await planned("all", unread)).toEqual([]);
		expect(await planned(home, "no archive")).toEqual([own?.initramfs?.path]);
	});
});
