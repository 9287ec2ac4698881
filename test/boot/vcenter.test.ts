import { existsSync } from "node:fs";
import { mkdir, readdir, stat } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "../target/appliance.js";

/** Where Debian's golang-github-vmware-govmomi-dev lies. */
const GOPATH = "/usr/share/gocode";
const library = existsSync(path.join(GOPATH, "src/github.com/vmware/govmomi/simulator"));
const all = process.env["ALL_BOOTS"] !== undefined;
const why = !all
	? "(skipped: compiles vCenter's simulator; npm run test:boot:all)"
	: library
		? because("go", "tar")
		: "(skipped: golang-github-vmware-govmomi-dev not installed)";

/** What the program beside this file prints. */
interface Report {
	readonly errors: readonly string[];
	readonly warnings: readonly string[];
	readonly uploaded: Readonly<Record<string, number>>;
	readonly cpus: number;
	readonly memory: number;
	readonly firmware: string;
	readonly disks: readonly { readonly capacity: number; readonly controller: string; readonly unit: number }[];
	readonly networks: readonly { readonly type: string; readonly mac: string }[];
	readonly power: string;
}

/** It judges the OVF and the flow of an import; what is in the disks, it throws away. */
describe.skipIf(!all || !library || missing("go", "tar"))(`VMware's own vCenter simulator ${why}`, () => {
	let root = "";
	let program = "";

	beforeAll(async () => {
		root = await temporaryFolder();
		program = path.join(root, "vcenter");
		const main = path.resolve("test/boot/vcenter/main.go");
		await run("env", `GOPATH=${GOPATH}`, "GO111MODULE=off", "go", "build", "-o", program, main);
	}, 900_000);

	async function imported(changes: Partial<typeof machine>, attach: { disk: string; network: string }) {
		const disks = [await rawDisk(path.join(root, "a.img"), 5 << 20), await rawDisk(path.join(root, "b.img"), 3 << 20)];
		const { folder } = await written(root, "vmware", "ova", { disks, attach, machine: { ...machine, ...changes } });
		const archive = (await readdir(folder)).find((name) => name.endsWith(".ova")) ?? "";
		const unpacked = path.join(folder, "unpacked");
		await mkdir(unpacked);
		await run("tar", "-xf", path.join(folder, archive), "-C", unpacked);
		const names = await readdir(unpacked);
		const descriptor = names.find((name) => name.endsWith(".ovf")) ?? "";
		const report = JSON.parse(await run(program, path.join(unpacked, descriptor))) as Report;
		const sizes: Record<string, number> = {};
		for (const name of names) {
			if (name.endsWith(".vmdk")) sizes[name] = (await stat(path.join(unpacked, name))).size;
		}
		return { report, sizes };
	}

	it.each([
		["pvscsi", "vmxnet3", "bios", "pvscsi", "Vmxnet3"],
		["lsilogic", "e1000", "uefi", "lsilogic", "E1000"],
		// This simulator is older than SATA and NVMe.
		["ide", "e1000e", "bios", "ide", "E1000e"],
	] as const)(
		"imports the OVA with %s and %s, booting by %s, and powers it on",
		async (disk, network, firmware, ...there) => {
			const [controller, card] = there;
			const { report, sizes } = await imported({ firmware }, { disk, network });
			expect(report.errors).toEqual([]);
			expect(report.warnings).toEqual([]);
			expect(Object.keys(sizes)).toHaveLength(2);
			expect(report.uploaded).toEqual(sizes);
			expect(report).toMatchObject({ cpus: 2, memory: 2048, power: "poweredOn" });
			expect(report.disks.map(({ capacity }) => capacity)).toEqual([5 << 20, 3 << 20]);
			expect(report.disks.map(({ unit }) => unit)).toEqual([0, 1]);
			expect(new Set(report.disks.map(({ controller }) => controller))).toEqual(new Set([controller]));
			expect(report.networks.map(({ type }) => type)).toEqual([card, card]);
		},
	);
});
