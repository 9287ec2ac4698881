import { type HashAlgorithm, hasher } from "../../bytes/checksum/index.js";
import type { ByteSink } from "../../bytes/sink.js";
import type { Disk } from "../../disk/disk.js";
import { dataBlocks } from "../../disk/sparse.js";
import type { Machine } from "../../machine/machine.js";
import { tarHeader } from "../../source/tar.js";
import { attached } from "../attach.js";
import { fileBase } from "../file-name.js";
import { writeFile, writeImportNote } from "../folder.js";
import type { Appliance, Layout, LayoutOptions } from "../target.js";
import { ovaRecords, reference } from "./records.js";
import { rpcValue } from "./rpc.js";

/** XenServer's own package: unlike an OVF, it carries the firmware. */
export const xva: Layout = {
	id: "xva",
	hypervisors: ["xenserver"],
	summary: "one .xva file, XenServer's and XCP-ng's own package",
	imported: "xe vm-import, Import in XenCenter or Xen Orchestra",
	judged: "by xva-img and the importer's rules; booted by QEMU without Xen's devices",
	async write(appliance, folder, options) {
		const name = `${fileBase(appliance.machine.name)}.xva`;
		const machine = attached(appliance, { file: (index) => reference(FIRST_DISK + index), uuid: true });
		await writeFile(folder, name, (sink) => writeXva(appliance, machine, sink, options));
		const { nics, uuid } = appliance.machine;
		const identity = [
			...(nics.some(({ mac }) => mac !== undefined)
				? ["Network cards get new MAC addresses; add preserve=true to keep the original ones."]
				: []),
			...(uuid === undefined ? [] : ["The machine gets a new UUID; add preserve=true to keep the original one."]),
		];
		await writeImportNote(
			appliance,
			folder,
			{
				command: { shell: "sh", line: `xe vm-import filename=${name}` },
				remarks: [
					"Or choose Import in XenCenter or Xen Orchestra. Add sr-uuid=… to choose the storage.",
					...(options.checksum === "sha1" ? [] : [OLD_HOSTS]),
					...identity,
				],
			},
			machine.lost,
		);
	},
};

const OLD_HOSTS =
	"Hosts before Citrix Hypervisor 8.1 and XCP-ng 8.1 do not know its checksums: expand with --checksum sha1 for them.";

/** How a chunk is summed up: https://docs.xenserver.com/en-us/xenserver/8/vms/import-export.html#xva-format */
const CHECKSUMS = {
	sha1: { ending: "checksum", sum: (bytes: Uint8Array) => digest("sha1", bytes) },
	xxhash: { ending: "xxhash", sum: async (bytes: Uint8Array) => (await digest("xxh64", bytes)).toUpperCase() },
} as const;

const MEBIBYTE = 2 ** 20;
const BLOCK = 512;
/** Number of the first disk's reference; {@link reference} keeps the ones below for the machine's other objects. */
const FIRST_DISK = 10;

async function digest(algorithm: HashAlgorithm, bytes: Uint8Array): Promise<string> {
	const hash = await hasher(algorithm);
	hash.update(bytes);
	return hash.digest();
}

/**
 * Writes an XVA and returns its length. A disk is cut into chunks of 1 MiB, each followed by its checksum. Chunks of
 * zeros are left out except the first and the last of a disk. A disk is filled up with zeros to whole chunks: the importer
 * takes the size of a gap from the first chunk it sees.
 */
async function writeXva(
	appliance: Appliance,
	machine: Machine,
	sink: ByteSink,
	options: LayoutOptions,
): Promise<number> {
	let position = 0;
	const append = async (name: string, content: Uint8Array) => {
		await sink.write(position, tarHeader(name, content.length, appliance.now));
		await sink.write(position + BLOCK, content);
		position += BLOCK + Math.ceil(content.length / BLOCK) * BLOCK;
	};
	const disks = appliance.disks.map(({ size }, index) => ({
		reference: reference(FIRST_DISK + index),
		size: Math.max(1, Math.ceil(size / MEBIBYTE)) * MEBIBYTE,
	}));
	const { ending, sum } = CHECKSUMS[options.checksum ?? "xxhash"];
	const records = await ovaRecords(appliance, machine, disks);
	await append("ova.xml", new TextEncoder().encode(`<?xml version="1.0"?>\n${rpcValue(records).render()}`));
	for (const [index, disk] of appliance.disks.entries()) {
		for await (const { number, bytes } of chunks(disk, options)) {
			const name = `${reference(FIRST_DISK + index)}/${String(number).padStart(8, "0")}`;
			await append(name, bytes);
			await append(`${name}.${ending}`, new TextEncoder().encode(await sum(bytes)));
		}
	}
	return position + 2 * BLOCK;
}

/** The chunks of a disk that its package has. */
async function* chunks(disk: Disk, options: LayoutOptions) {
	const last = Math.max(1, Math.ceil(disk.size / MEBIBYTE)) - 1;
	let next = 0;
	for await (const { index, bytes } of dataBlocks(disk, MEBIBYTE, options)) {
		if (next === 0 && index > 0) yield { number: 0, bytes: new Uint8Array(MEBIBYTE) };
		yield { number: index, bytes };
		next = index + 1;
	}
	if (next === 0 && last > 0) yield { number: 0, bytes: new Uint8Array(MEBIBYTE) };
	if (next <= last) yield { number: last, bytes: new Uint8Array(MEBIBYTE) };
}
