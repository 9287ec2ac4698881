import { type Hasher, hasher } from "../bytes/checksum/index.js";
import type { ByteSink } from "../bytes/sink.js";
import { writeVmdk } from "../disk/vmdk/write.js";
import type { Machine } from "../machine/machine.js";
import { writeOvf } from "../machine/ovf/write.js";
import { tarHeader } from "../source/tar.js";
import { attached } from "./attach.js";
import { fileBase } from "./file-name.js";
import { type ImportNote, writeFile, writeImportNote } from "./folder.js";
import { guestNames } from "./guest-names.js";
import type { Appliance, Layout, LayoutOptions } from "./target.js";

/** The portable OVA: one file that VMware, VirtualBox and everything that reads theirs import as it is. */
export const ova: Layout = {
	id: "ova",
	hypervisors: ["vmware", "virtualbox"],
	summary: "one .ova file: OVF 1.1, SHA-256 manifest, streamOptimized VMDK",
	imported: "govc import.ova, Deploy OVF Template, VBoxManage import",
	judged:
		"OVF by the DMTF's schema and VMware's own vCenter simulator, archive by 7zz, disks by qemu-img; booted by QEMU",
	async write(appliance, folder, options) {
		const name = `${fileBase(appliance.machine.name)}.ova`;
		let lost: readonly string[] = [];
		await writeFile(folder, name, async (sink) => {
			const written = await writeOva(appliance, sink, options);
			lost = written.machine.lost;
			return written.size;
		});
		await writeImportNote(appliance, folder, importNote(appliance, name), lost);
	},
};

/** What an importer wants told differently. */
function importNote({ hypervisor, machine }: Appliance, name: string): ImportNote {
	if (hypervisor.id === "virtualbox") {
		return {
			command: { shell: "sh", line: `VBoxManage import ${name}` },
			remarks: ["Or choose File > Import Appliance."],
		};
	}
	const uefi = "It boots by UEFI from the fallback path on its disk, so no NVRAM file is needed.";
	return {
		command: { shell: "sh", line: `govc import.ova ${name}` },
		remarks: [
			"Or choose Deploy OVF Template in vSphere, Create/Register VM on an ESXi host, File > Open in Workstation or Fusion.",
			...(machine.firmware === "uefi" ? [uefi] : []),
		],
	};
}

const BLOCK = 512;
/** The end of a tar is marked by two empty blocks. */
const TAR_END = 2 * BLOCK;
/** Digits of the largest size there is. */
const WIDEST = Number.MAX_SAFE_INTEGER;

/**
 * Writes an OVA: `.ovf`, `.mf`, then the disks. The disks go straight into the archive, each in one pass; what is only
 * known afterwards, their lengths and digests, is put into the room kept for it at the front.
 */
export async function writeOva(
	appliance: Appliance,
	sink: ByteSink,
	options: LayoutOptions,
): Promise<{ readonly size: number; readonly machine: Machine }> {
	const base = fileBase(appliance.machine.name);
	const diskFile = (index: number) => `${base}-disk${index + 1}.vmdk`;
	const files = appliance.disks.map((_, index) => diskFile(index));
	const machine = attached(appliance, {
		file: diskFile,
		says: ["product"],
		network: appliance.hypervisor.family === "vmware" ? "VM Network" : "NAT",
	});
	const { cim, vmware } = guestNames(appliance.guest);
	const { id, version } = appliance.guest;
	const guest = { cim, vmware, title: `${id} ${version}`.trim() };
	const descriptor = (sizes: ReadonlyMap<string, number>) => encode(writeOvf(machine, { sizes, guest }));

	const ovfName = `${base}.ovf`;
	const ovfSize = descriptor(new Map(files.map((file) => [file, WIDEST]))).length;
	const ovfAt = BLOCK;
	const mfAt = ovfAt + padded(ovfSize) + BLOCK;
	const mfSize = encode(manifest([ovfName, ...files].map((name) => [name, "0".repeat(64)]))).length;

	let position = mfAt + padded(mfSize);
	const sizes = new Map<string, number>();
	const digests: [string, string][] = [];
	for (const [index, disk] of appliance.disks.entries()) {
		const file = diskFile(index);
		const hash = await hasher("sha256");
		const inside = memberSink(sink, file, position + BLOCK, hash);
		const { size } = await writeVmdk(disk, inside, { ...options, variant: "streamOptimized" });
		await sink.write(position, tarHeader(file, size, appliance.now));
		position += BLOCK + padded(size);
		sizes.set(file, size);
		digests.push([file, hash.digest()]);
	}

	// Shorter sizes than there is room for: white space after the document is part of it in XML.
	const ovf = new Uint8Array(ovfSize).fill(NEWLINE);
	ovf.set(descriptor(sizes));
	const hash = await hasher("sha256");
	hash.update(ovf);
	await sink.write(0, tarHeader(ovfName, ovfSize, appliance.now));
	await sink.write(ovfAt, ovf);
	await sink.write(mfAt - BLOCK, tarHeader(`${base}.mf`, mfSize, appliance.now));
	await sink.write(mfAt, encode(manifest([[ovfName, hash.digest()], ...digests])));
	return { size: position + TAR_END, machine };
}

const NEWLINE = 0x0a;
const encode = (text: string) => new TextEncoder().encode(text);
const padded = (size: number) => Math.ceil(size / BLOCK) * BLOCK;

/** Lines as VMware's importers match them: no space before the parenthesis, one after the equals sign. */
const manifest = (digests: readonly (readonly [name: string, digest: string])[]) =>
	digests.map(([name, digest]) => `SHA256(${name})= ${digest}\n`).join("");

/** A member of the archive as a sink of its own, which also hashes what passes: only for writers that never go back. */
function memberSink(archive: ByteSink, name: string, start: number, hash: Hasher): ByteSink {
	let expected = 0;
	return {
		name,
		async write(at, bytes) {
			if (at !== expected) throw new RangeError(`${name} is not written in order: ${at} after ${expected}`);
			hash.update(bytes);
			await archive.write(start + at, bytes);
			expected += bytes.length;
		},
		commit: () => Promise.resolve(),
		[Symbol.asyncDispose]: () => Promise.resolve(),
	};
}
