import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { corpus, corpusReason } from "../support/tools.js";
import { broken } from "./support.js";

const bytesOf = (file: string) => readFileSync(path.join(corpus ?? "", file));
const TEMPLATES = "vmware+govmomi/ovf/fixtures/external/OVFToolTemplates/OVF/xmltestfiles";

/** What a person finds who reads the file with the importers' sources beside it; virt-v2v stands for oVirt. */
const expected: readonly {
	readonly file: string;
	readonly breaks: readonly string[];
	readonly keeps: readonly string[];
}[] = [
	{
		// virtualbox-2.2, two PIIX4 controllers, /disk/vmdisk1, no xmlns:vmw; memory in MegaBytes, which all understand.
		file: "OSInside+kiwi/test/data/vagrant_virtualbox.ovf",
		breaks: [
			"vmware/hardware-family",
			"vmware/ide-subtype",
			"proxmox/vmw-prefix",
			"proxmox/host-resource",
			"virt-v2v/vendor",
		],
		keeps: ["virtualbox", "xen-orchestra", "xencenter", "aws", "gcp"],
	},
	{
		// OVF 2: another envelope, StorageItem for disk and CD drive, EthernetPortItem.
		file: "glennmatthews+cot/COT/tests/ubuntu.2.0.ovf",
		breaks: [
			"vmware/ovf-1",
			"vmware/hardware-family",
			"vmware/ide-subtype",
			"vmware/envelope",
			"proxmox/envelope",
			"proxmox/ovf-1-items",
			"proxmox/vmw-prefix",
			"proxmox/host-resource",
			"virt-v2v/envelope",
			"virt-v2v/ovf-1-items",
			"virt-v2v/vendor",
		],
		keeps: ["virtualbox", "xen-orchestra", "xencenter"],
	},
	{
		// Memory in GiB, which Proxmox VE and virt-v2v take for MiB; an empty second disk; a space in the name.
		file: "glennmatthews+cot/COT/tests/iosv.ovf",
		breaks: ["proxmox/memory-units", "virt-v2v/memory-units", "proxmox/file-ref", "virt-v2v/file-ref"],
		keeps: ["xencenter"],
	},
	{
		// "VMXNET3 virtio" is none of the models that Proxmox VE compares with.
		file: "glennmatthews+cot/COT/tests/csr1000v.ovf",
		breaks: ["proxmox/network-model", "proxmox/name"],
		keeps: ["xencenter"],
	},
	{
		// A file in another folder, and a display that is required.
		file: `${TEMPLATES}/Envelope/Pos/valid_iso.ovf`,
		breaks: ["virtualbox/required-type"],
		keeps: ["xencenter"],
	},
	{
		// ovf://disk/…, which only VirtualBox and VMware know.
		file: "vmware+govmomi/ovf/fixtures/external/OVFCerts/ValidCert/Nostalgia.ovf",
		breaks: ["proxmox/host-resource", "virt-v2v/host-resource", "xen-orchestra/host-resource"],
		keeps: ["xencenter"],
	},
	{
		// A controller of type 20 that is none of AHCI, Virtio-SCSI and NVMe.
		file: "vmware+govmomi/ovf/fixtures/external/nvdimm_incorrect_controller.ovf",
		breaks: ["virtualbox/storage-subtype"],
		keeps: ["vmware"],
	},
	{
		// Two machines in a collection.
		file: "vmware+govmomi/ovf/fixtures/external/two-vms-vapp/two-vms-vapp.ovf",
		breaks: ["proxmox/one-system", "xen-orchestra/one-system", "virt-v2v/one-system"],
		keeps: ["vmware", "virtualbox"],
	},
	{
		// UEFI, said in VMware's way.
		file: "vmware+govmomi/ovf/fixtures/vmware/esxvmovf-25262174.ovf",
		breaks: ["xencenter/firmware", "xen-orchestra/firmware"],
		keeps: ["vmware", "virtualbox"],
	},
];

describe.skipIf(corpus === undefined)(`descriptors of other projects ${corpusReason}`, () => {
	test.each(expected)("$file breaks the rules that a reader finds broken", async ({ file, breaks, keeps }) => {
		const found = await broken(path.basename(file), bytesOf(file));
		expect(found).toEqual(expect.arrayContaining([...breaks]));
		expect(found.filter((rule) => keeps.some((importer) => rule.startsWith(`${importer}/`)))).toEqual([]);
	});

	const all = (corpus === undefined ? "" : readFileSync(path.join(corpus, "MANIFEST.tsv"), "utf8"))
		.split("\n")
		.flatMap((line) => {
			const columns = line.split("\t");
			return columns[7] === "OVF" ? [columns[0] ?? ""] : [];
		});

	/** What the text alone shows, found without our parser. */
	const shown: readonly (readonly [rule: string, pattern: RegExp])[] = [
		["vmware/hardware-family", /VirtualSystemType>virtualbox-2\.2</],
		["vmware/ide-subtype", /ResourceSubType>PIIX4</],
		["vmware/ovf-1", /<StorageItem|<EthernetPortItem/],
		[
			"proxmox/envelope",
			/xmlns(?::ovf)?="http:\/\/(?:schemas\.dmtf\.org\/ovf\/envelope\/2|www\.vmware\.com\/schema\/ovf\/1\/envelope)"/,
		],
		["proxmox/host-resource", /HostResource>\/disk\//],
		["vmware/compression", /compression="gzip"/],
	];

	test("are broken as their text shows, all of them and no others", async () => {
		const wrong: string[] = [];
		let judged = 0;
		for (const file of all) {
			const bytes = bytesOf(file);
			let found: readonly string[];
			try {
				found = await broken(path.basename(file), bytes);
			} catch (error) {
				if (error instanceof AnyvisorError || /is no package/.test((error as Error).message)) continue;
				throw error;
			}
			judged++;
			// Comments are not what it says.
			const text = bytes.toString("utf8").replaceAll(/<!--[^]*?-->/g, "");
			for (const [rule, pattern] of shown) {
				const isShown = pattern.test(text);
				if (isShown && !found.includes(rule)) wrong.push(`${file}: ${rule} is shown, not found`);
			}
			for (const [rule, pattern] of shown.slice(1, 3)) {
				if (found.includes(rule) && !pattern.test(text)) wrong.push(`${file}: ${rule} is found, not shown`);
			}
		}
		expect(wrong).toEqual([]);
		expect(judged).toBe(201);
	});

	test("ask for hardware that a host has or has not", async () => {
		const file = "vmware+govmomi/ovf/fixtures/vmware/esxvmovf-25262174.ovf";
		const version = Number(/VirtualSystemType>vmx-(\d+)</.exec(bytesOf(file).toString("utf8"))?.[1]);
		expect(version).toBeGreaterThan(10);
		const asked = (hardwareVersion?: number) => broken("vm.ovf", bytesOf(file), { hardwareVersion });
		expect(await asked()).not.toContain("vmware/hardware-version");
		expect(await asked(version)).not.toContain("vmware/hardware-version");
		expect(await asked(version - 1)).toContain("vmware/hardware-version");
	});
});
