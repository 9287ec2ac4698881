import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { readOva } from "../../src/machine/ovf/package.js";
import { openFile } from "../../src/source/file.js";
import { readTar } from "../../src/source/tar.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "./appliance.js";

const SIZE = (5 << 20) + 1536;
const root = await temporaryFolder();
const disks = [await rawDisk(path.join(root, "a.img"), SIZE), await rawDisk(path.join(root, "b.img"), 3 << 20, 2)];
const BASE = "Web-server-No1";

async function unpacked(archive: string): Promise<string> {
	const folder = `${archive}.unpacked`;
	await run("mkdir", folder);
	await run("tar", "-xf", archive, "-C", folder);
	return folder;
}

describe.skipIf(missing("tar", "qemu-img"))(`an OVA ${because("tar", "qemu-img")}`, () => {
	test("holds descriptor, manifest and disks in this order, as tar sees them", async () => {
		const { folder } = await written(root, "vmware", "ova", { disks });
		expect((await readdir(folder)).sort()).toEqual(["IMPORT.md", `${BASE}.ova`]);
		const names = await run("tar", "-tf", path.join(folder, `${BASE}.ova`));
		expect(names.trim().split("\n")).toEqual([`${BASE}.ovf`, `${BASE}.mf`, `${BASE}-disk1.vmdk`, `${BASE}-disk2.vmdk`]);
		const listed = await run("tar", "--full-time", "--utc", "-tvf", path.join(folder, `${BASE}.ova`));
		expect(listed).toContain("2025-01-01 00:00:00");
	});

	test("has a manifest that is right and written as importers match it", async () => {
		const { folder } = await written(root, "virtualbox", "ova", { disks });
		const inside = await unpacked(path.join(folder, `${BASE}.ova`));
		const lines = (await readFile(path.join(inside, `${BASE}.mf`), "utf8")).split("\n");
		expect(lines.pop()).toBe("");
		expect(lines).toHaveLength(3);
		const listed: string[] = [];
		for (const line of lines) {
			const [, name = "", digest] = /^SHA256\(([\w.-]+)\)= ([0-9a-f]{64})$/.exec(line) ?? [];
			listed.push(name);
			const content = await readFile(path.join(inside, name));
			expect(createHash("sha256").update(content).digest("hex")).toBe(digest);
		}
		expect(listed).toEqual([`${BASE}.ovf`, `${BASE}-disk1.vmdk`, `${BASE}-disk2.vmdk`]);
	});

	test("holds the disks' content, and says their sizes", async () => {
		const { folder } = await written(root, "vmware", "ova", { disks });
		const inside = await unpacked(path.join(folder, `${BASE}.ova`));
		for (const [index, source] of ["a.img", "b.img"].entries()) {
			const vmdk = path.join(inside, `${BASE}-disk${index + 1}.vmdk`);
			const same = await run("qemu-img", "compare", "-f", "raw", "-F", "vmdk", path.join(root, source), vmdk);
			expect(same).toContain("Images are identical");
			const size = (await readFile(vmdk)).length;
			// "KDMV", and version 3: what VMware's own exports have.
			expect([...(await readFile(vmdk)).subarray(0, 8)]).toEqual([0x4b, 0x44, 0x4d, 0x56, 3, 0, 0, 0]);
			const ovf = await readFile(path.join(inside, `${BASE}.ovf`), "utf8");
			expect(ovf).toContain(
				`ovf:href="${BASE}-disk${index + 1}.vmdk" ovf:id="file-disk${index + 1}" ovf:size="${size}"`,
			);
			expect(ovf).toContain(`ovf:capacity="${disks[index]?.size}"`);
		}
	});

	test.skipIf(missing("7zz"))(`opens in 7zz ${because("7zz")}`, async () => {
		const { folder } = await written(root, "vmware", "ova", { disks });
		expect(await run("7zz", "t", path.join(folder, `${BASE}.ova`))).toContain("Everything is Ok");
	});

	test("is the same file every time", async () => {
		const [one, two] = [
			await written(root, "vmware", "ova", { disks }),
			await written(root, "vmware", "ova", { disks }),
		];
		const [first, second] = await Promise.all(
			[one, two].map(({ folder }) => readFile(path.join(folder, `${BASE}.ova`))),
		);
		expect(second && first?.equals(second)).toBe(true);
	});

	test("reads back as the machine that went in", async () => {
		const { folder } = await written(root, "virtualbox", "ova", { disks });
		await using archive = await openFile(path.join(folder, `${BASE}.ova`));
		const { machine: read, disks: members, ...packed } = await readOva(await readTar(archive), "test.ova");
		const manifest = await packed.manifest();
		expect(read).toMatchObject({ name: machine.name, cpus: 2, memory: 2 ** 31, firmware: "bios", lost: [] });
		expect(read.disks.map(({ capacity }) => capacity)).toEqual(disks.map(({ size }) => size));
		expect(members.map(({ id }) => id)).toEqual(["disk1", "disk2"]);
		await manifest?.verify();
		expect(manifest?.entries).toHaveLength(3);
	});
});

describe.skipIf(missing("tar"))(`the descriptor in an OVA ${because("tar")}`, () => {
	const cases = [
		{ name: "vmware-pvscsi-uefi", hypervisor: "vmware", attach: { disk: "pvscsi", network: "vmxnet3" }, uefi: true },
		{ name: "vmware-nvme-secure", hypervisor: "vmware", attach: { disk: "nvme", network: "e1000e" }, uefi: true },
		{ name: "vmware-lsilogic", hypervisor: "vmware", attach: { disk: "lsilogic", network: "e1000" }, uefi: false },
		{ name: "virtualbox-ahci", hypervisor: "virtualbox", attach: { disk: "ahci", network: "e1000" }, uefi: false },
	];
	describe.each(cases)("$name", ({ name, hypervisor, attach, uefi }) => {
		const text = async () => {
			const changed = {
				...machine,
				firmware: uefi ? ("uefi" as const) : ("bios" as const),
				secureBoot: name.endsWith("secure"),
			};
			const { folder } = await written(root, hypervisor, "ova", { disks, attach, machine: changed });
			const inside = await unpacked(path.join(folder, `${BASE}.ova`));
			return {
				ovf: await readFile(path.join(inside, `${BASE}.ovf`), "utf8"),
				file: path.join(inside, `${BASE}.ovf`),
				folder,
			};
		};

		test("follows the rules of every importer", async () => {
			const { ovf } = await text();
			// VMware: a version it knows, OVF 1.x items only, no PIIX4. VirtualBox, Proxmox VE: memory in MB by these units.
			const version = attach.disk === "nvme" ? 13 : 11;
			expect(ovf).toContain(`<vssd:VirtualSystemType>vmx-${version}</vssd:VirtualSystemType>`);
			expect(ovf).not.toMatch(/StorageItem|EthernetPortItem|virtualbox-2\.2|PIIX4/);
			expect(ovf).toContain('xmlns="http://schemas.dmtf.org/ovf/envelope/1"');
			expect(ovf).toMatch(/byte \* 2\^20<[^]*?<rasd:VirtualQuantity>2048</);
			expect(ovf.match(/<VirtualSystem /g)).toHaveLength(1);
			// Xen Orchestra takes the name from here, and a network card only with a word in AutomaticAllocation.
			expect(ovf).toContain(`<vssd:VirtualSystemIdentifier>${machine.name}</vssd:VirtualSystemIdentifier>`);
			expect(ovf.match(/<rasd:AutomaticAllocation>true</g)).toHaveLength(2);
			// Proxmox VE skips a bare /disk/x, and needs a parent of type 5, 6 or 20 and safe names.
			expect(ovf.match(/<rasd:HostResource>ovf:\/disk\/disk\d<\/rasd:HostResource>/g)).toHaveLength(2);
			expect(ovf.match(/<rasd:Parent>3</g)).toHaveLength(2);
			expect(ovf).toMatch(
				/<rasd:InstanceID>3<\/rasd:InstanceID>\s*<rasd:ResourceSubType>[\w.]+<\/rasd:ResourceSubType>\s*<rasd:ResourceType>(?:6|20)</,
			);
			// VirtualBox knows these controllers and no others.
			expect(ovf).toMatch(
				/<rasd:ResourceSubType>(?:vmware\.sata\.ahci|vmware\.nvme\.controller|lsilogic|VirtualSCSI)<[^]*?<rasd:ResourceSubType>(?:E1000e?|VmxNet3)</,
			);
			for (const [, href] of ovf.matchAll(/ovf:href="([^"]*)"/g)) expect(href).toMatch(/^[\w.-]+$/);
			// Addresses on a controller are distinct, or Xen Orchestra renumbers them.
			expect(ovf.match(/<rasd:AddressOnParent>\d+<\/rasd:AddressOnParent>\s*<rasd:ElementName>disk/g)).toEqual([
				expect.stringContaining(">0<"),
				expect.stringContaining(">1<"),
			]);
			expect(ovf).toContain(`vmw:key="firmware" vmw:value="${uefi ? "efi" : "bios"}"`);
			expect(ovf).not.toMatch(/nvram/i);
		});

		test("says what it always said", async () => {
			const { ovf } = await text();
			// Compressed sizes vary with the compression library at hand.
			await expect(ovf.replaceAll(/ovf:size="\d+"/g, 'ovf:size="…"').trimEnd()).toMatchFileSnapshot(
				`../golden/${name}.ovf`,
			);
		});

		const schema =
			corpus && path.join(corpus, "vatesfr+xen-orchestra/packages/xo-vmdk-to-vhd/src/ova-schema/dsp8023_1.1.1.xsd");
		test.skipIf(schema === undefined || missing("xmllint"))(
			`is valid by the DMTF's schema ${corpusReason}${because("xmllint")}`,
			async () => {
				const { file } = await text();
				await expect(run("xmllint", "--nonet", "--noout", "--schema", schema ?? "", file)).resolves.toBe("");
			},
		);
	});
});
