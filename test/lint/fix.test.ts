import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { importersNamed } from "../../src/lint/index.js";
import { fixNamed, type LintOptions, lintNamed } from "../../src/linting.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";
import { diskFile, packed } from "./support.js";

const NOW = 1_735_689_600;
const OVAS = {
	importers: importersNamed("vmware,virtualbox,proxmox,xen-orchestra,aws,gcp,ovirt,virt-v2v"),
	verify: true,
};

async function rulesOf(file: string, options: LintOptions = OVAS): Promise<readonly string[]> {
	await using linted = await lintNamed(file, options);
	return [...new Set(linted.verdicts.flatMap(({ findings }) => findings.map(({ rule }) => rule)))];
}

async function fix(file: string, output: string, options: LintOptions = OVAS): Promise<void> {
	await using linted = await lintNamed(file, options);
	await fixNamed(linted, output, { ...options, now: NOW });
}

const sha256 = async (file: string) =>
	createHash("sha256")
		.update(await readFile(file))
		.digest("hex");

const schema =
	corpus && path.join(corpus, "vatesfr+xen-orchestra/packages/xo-vmdk-to-vhd/src/ova-schema/dsp8023_1.1.1.xsd");

/** A right descriptor, made wrong in the ways that exporters are known for. */
async function spoilt(): Promise<string> {
	const right = await readFile("test/golden/virtualbox-ahci.ovf", "utf8");
	const wrong = right
		.replace(/<File ovf:href="[^"]*-disk1\.vmdk"/, '<File ovf:href="my disk.vmdk"')
		.replace(/\s*<File ovf:href="[^"]*-disk2\.vmdk"[^>]*>/, "")
		.replace(/\s*<Disk [^>]*ovf:diskId="disk2"[^>]*>/, "")
		.replace(/\s*<Item>(?:(?!<\/Item>)[^])*ovf:\/disk\/disk2[^]*?<\/Item>/, "")
		.replaceAll(/ovf:size="…"/g, "")
		.replace(/vmx-\d+/, "virtualbox-2.2")
		.replace(/<vssd:VirtualSystemIdentifier>[^<]*<\/vssd:VirtualSystemIdentifier>\s*/, "")
		.replace(/byte \* 2\^20</, "byte * 2^10<")
		.replace(/VirtualQuantity>2048</, "VirtualQuantity>2097152<")
		.replace("vmware.sata.ahci", "sata")
		.replace("ovf:/disk/disk1", "/disk/disk1")
		.replaceAll(/\s*<rasd:Parent>\d+<\/rasd:Parent>/g, "")
		.replaceAll(/<rasd:AutomaticAllocation>true<\/rasd:AutomaticAllocation>\s*/g, "")
		.replaceAll(/\s*<vmw:Config[^>]*>/g, "")
		.replace(/\s*xmlns:vmw="[^"]*"/, "")
		.replace(/ovf:id="\d+" vmw:osType="[^"]*"/, 'ovf:id="Debian"');
	expect(wrong).not.toBe(right);
	return wrong;
}

describe.skipIf(missing("qemu-img", "tar"))(`a corrected copy ${because("qemu-img", "tar")}`, () => {
	let folder = "";
	const at = (...names: string[]) => path.join(folder, ...names);

	beforeAll(async () => {
		folder = await temporaryFolder();
		await diskFile(folder, "my disk.vmdk");
		await writeFile(at("vm.ovf"), await spoilt());
		// As sha1sum --tag has it, and one line of nothing.
		const sum = async (name: string) =>
			createHash("sha1")
				.update(await readFile(at(name)))
				.digest("hex");
		await writeFile(
			at("vm.mf"),
			`SHA1 (vm.ovf) = ${await sum("vm.ovf")}\nmade by hand\nSHA2-256(my disk.vmdk)= ${await sha256(at("my disk.vmdk"))}\n`,
		);
		await packed(folder, "wrong.ova", ["my disk.vmdk", "vm.mf", "vm.ovf"]);
	});

	test("is needed: the original breaks what was broken in it", async () => {
		expect((await rulesOf(at("wrong.ova"))).filter((rule) => !rule.startsWith("ovirt/")).toSorted()).toEqual(
			[
				"vmware/member-order",
				"vmware/hardware-family",
				"vmware/manifest-label",
				"vmware/manifest-space",
				"vmware/manifest-line",
				"vmware/manifest-sha1",
				"vmware/controller",
				"virtualbox/memory-units",
				"virtualbox/storage-subtype",
				"virtualbox/parent",
				"virtualbox/system-id",
				"proxmox/vmw-prefix",
				"proxmox/host-resource",
				"proxmox/parent",
				"proxmox/href",
				"proxmox/memory-units",
				"proxmox/mac",
				"proxmox/name",
				"xen-orchestra/name",
				"xen-orchestra/network",
				"virt-v2v/manifest-line",
				"virt-v2v/memory-units",
				"virt-v2v/parent",
				"virt-v2v/vendor",
			].toSorted(),
		);
	});

	test("has the order, the manifest and the names that importers want, as tar and sha256sum see them", async () => {
		const before = await sha256(at("wrong.ova"));
		await fix(at("wrong.ova"), at("right.ova"));
		expect(await sha256(at("wrong.ova"))).toBe(before);
		expect((await run("tar", "-tf", at("right.ova"))).trim().split("\n")).toEqual(["vm.ovf", "vm.mf", "my-disk.vmdk"]);
		await mkdir(at("right"));
		await run("tar", "-xf", at("right.ova"), "-C", at("right"));
		const lines = (await readFile(at("right", "vm.mf"), "utf8")).trim().split("\n");
		expect(lines).toEqual([
			`SHA256(vm.ovf)= ${await sha256(at("right", "vm.ovf"))}`,
			`SHA256(my-disk.vmdk)= ${await sha256(at("my disk.vmdk"))}`,
		]);
		// Nobody can keep what an importer does not read.
		expect(await rulesOf(at("right.ova"))).toEqual(["proxmox/mac", "proxmox/name"]);
	});

	test.skipIf(schema === undefined || missing("xmllint"))(
		`is valid by the DMTF's schema, and says the same machine ${corpusReason}${because("xmllint")}`,
		async () => {
			const file = at("right", "vm.ovf");
			await expect(run("xmllint", "--nonet", "--noout", "--schema", schema ?? "", file)).resolves.toBe("");
			const text = await readFile(file, "utf8");
			expect(text).toMatch(/2\^20<[^]*?VirtualQuantity>2048</);
			expect(text).toMatch(/<vmw:Config [^>]*vmw:key="firmware" vmw:value="bios"/);
			expect(text.match(/<rasd:HostResource>ovf:\/disk\/disk1</g)).toHaveLength(1);
			await using linted = await lintNamed(file, OVAS);
			expect(linted.subject.ovf?.items.filter(({ type }) => type === 17).map(({ parent }) => parent)).toEqual(["3"]);
		},
	);

	test("is a folder of an unpacked OVF, and an OVA where one is asked for", async () => {
		await mkdir(at("unpacked"));
		for (const name of ["vm.ovf", "vm.mf", "my disk.vmdk"])
			await writeFile(at("unpacked", name), await readFile(at(name)));
		await fix(at("unpacked"), at("copy"));
		expect((await readdir(at("copy"))).toSorted()).toEqual(["my-disk.vmdk", "vm.mf", "vm.ovf"]);
		await fix(at("unpacked", "vm.ovf"), at("copy.ova"));
		expect((await run("tar", "-tf", at("copy.ova"))).split("\n")[0]).toBe("vm.ovf");
		await run("cmp", at("copy", "vm.ovf"), at("right", "vm.ovf"));
	});

	test("replaces nothing, and is all or nothing", async () => {
		await expect(fix(at("wrong.ova"), at("right.ova"))).rejects.toMatchObject({ kind: "refused" });
		const stopped = new AbortController();
		await using linted = await lintNamed(at("wrong.ova"), OVAS);
		const writing = fixNamed(linted, at("stopped.ova"), {
			...OVAS,
			now: NOW,
			signal: stopped.signal,
			onProgress: () => stopped.abort(),
		});
		await expect(writing).rejects.toThrow(/abort/i);
		expect((await readdir(folder)).filter((name) => name.includes("stopped"))).toEqual([]);
	});

	test("leaves hardware alone that the host has, and lowers what it has not as far as the machine lets it", async () => {
		const text = (await readFile(at("right", "vm.ovf"), "utf8")).replace("vmx-11", "vmx-19");
		await writeFile(at("right", "vm.ovf"), text);
		await rm(at("right", "vm.mf"));
		for (const [newest, written] of [
			[21, 19],
			[17, 17],
			[11, 11],
			[9, 19],
		] as const) {
			const options = { importers: importersNamed("vmware"), hardwareVersion: newest };
			await fix(at("right"), at(`for-${newest}`), options);
			expect(await readFile(at(`for-${newest}`, "vm.ovf"), "utf8")).toContain(`>vmx-${written}<`);
			expect((await rulesOf(at(`for-${newest}`), options)).includes("vmware/hardware-version")).toBe(newest === 9);
		}
	});

	describe.skipIf(corpus === undefined)(`of other projects' appliances ${corpusReason}`, () => {
		const cases = [
			{ file: "OSInside+kiwi/test/data/vagrant_virtualbox.ovf", disk: "box.vmdk" },
			{ file: "glennmatthews+cot/COT/tests/ubuntu.2.0.ovf", disk: "ubuntu.2.0-disk1.vmdk" },
		];
		test.each(cases)("$file would be refused by nobody", async ({ file, disk }) => {
			const place = at(path.basename(file, ".ovf"));
			await mkdir(place);
			await writeFile(path.join(place, "vm.ovf"), await readFile(path.join(corpus ?? "", file)));
			await diskFile(place, disk);
			const archive = await packed(place, "vm.ova", ["vm.ovf", disk]);
			await fix(archive, at(`${path.basename(file)}.ova`));
			await using linted = await lintNamed(at(`${path.basename(file)}.ova`), OVAS);
			expect(linted.verdicts.filter(({ verdict }) => verdict !== "accepts" && verdict !== "warns")).toEqual([]);
			// The items of OVF 2 have become those of OVF 1, none lost.
			expect(linted.subject.ovf?.items.map(({ kind }) => kind)).toEqual(linted.subject.ovf?.items.map(() => "Item"));
			const items = (text: string) => text.match(/<(?:Item|StorageItem|EthernetPortItem)[ >]/g)?.length;
			const unpacked = await run("tar", "-xOf", at(`${path.basename(file)}.ova`), "vm.ovf");
			expect(items(unpacked)).toBe(items(await readFile(path.join(corpus ?? "", file), "utf8")));
		});
	});
});
