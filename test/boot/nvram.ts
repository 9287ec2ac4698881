import { readFile, writeFile } from "node:fs/promises";
import { run } from "../support/tools.js";

/** Of UEFI's own variables: EFI_GLOBAL_VARIABLE, 8be4df61-93ca-11d2-aa0d-00e098032b8c. */
const globalVariable = guid("8be4df61-93ca-11d2-aa0d-00e098032b8c");

/** The firmware, and an empty store of its variables. */
const code = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const empty = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/**
 * Firmware that remembers what an installer told it to start: `program` on the ESP, the first partition of the raw disk
 * `disk`. Its variables are written to `file`.
 */
export async function remembering(disk: string, program: string, file: string) {
	const { partitiontable } = JSON.parse(await run("sfdisk", "--json", disk)) as {
		partitiontable: { partitions: readonly { start: number; size: number; uuid: string }[] };
	};
	const [esp] = partitiontable.partitions;
	if (!esp) throw new Error(`${disk} has no partition`);
	const store = await readFile(empty);
	// A firmware volume's header says how long it is; the store's own has 28 bytes.
	let at = store.readUInt16LE(0x30) + 28;
	const option = loadOption("debian", hardDrive(esp), filePath(program));
	for (const [name, value] of [
		["Boot0000", option],
		["BootOrder", Buffer.from([0, 0])],
	] as const) {
		const record = variable(name, value);
		record.copy(store, at);
		at += Math.ceil(record.length / 4) * 4;
	}
	await writeFile(file, store);
	return { code, variables: file };
}

/** AUTHENTICATED_VARIABLE_HEADER: https://github.com/tianocore/edk2/blob/master/MdeModulePkg/Include/Guid/VariableFormat.h */
function variable(name: string, value: Buffer): Buffer {
	const text = utf16(name);
	const header = Buffer.alloc(60);
	header.writeUInt16LE(0x55aa, 0);
	header.writeUInt8(0x3f, 2);
	header.writeUInt32LE(7, 4);
	header.writeUInt32LE(text.length, 36);
	header.writeUInt32LE(value.length, 40);
	globalVariable.copy(header, 44);
	return Buffer.concat([header, text, value]);
}

/** EFI_LOAD_OPTION: https://uefi.org/specs/UEFI/2.10/03_Boot_Manager.html */
function loadOption(title: string, ...nodes: readonly Buffer[]): Buffer {
	const device = Buffer.concat([...nodes, Buffer.from([0x7f, 0xff, 4, 0])]);
	const header = Buffer.alloc(6);
	header.writeUInt32LE(1, 0);
	header.writeUInt16LE(device.length, 4);
	return Buffer.concat([header, utf16(title), device]);
}

/** Device path nodes: https://uefi.org/specs/UEFI/2.10/10_Protocols_Device_Path_Protocol.html */
function hardDrive({ start, size, uuid }: { start: number; size: number; uuid: string }): Buffer {
	const node = Buffer.alloc(42);
	node.set([4, 1, node.length, 0]);
	node.writeUInt32LE(1, 4);
	node.writeBigUInt64LE(BigInt(start), 8);
	node.writeBigUInt64LE(BigInt(size), 16);
	guid(uuid).copy(node, 24);
	node.set([2, 2], 40);
	return node;
}

function filePath(program: string): Buffer {
	const text = utf16(program);
	return Buffer.concat([Buffer.from([4, 4, text.length + 4, 0]), text]);
}

const utf16 = (text: string) => Buffer.from(`${text}\0`, "utf16le");

/** The first three groups are numbers, the lowest byte first. */
function guid(text: string): Buffer {
	const bytes = Buffer.from(text.replaceAll("-", ""), "hex");
	bytes.subarray(0, 4).reverse();
	bytes.subarray(4, 6).reverse();
	bytes.subarray(6, 8).reverse();
	return bytes;
}
