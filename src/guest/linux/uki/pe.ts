import { type ByteSource, readUpTo, slice } from "../../../bytes/source.js";
import { CoffHeader, DosHeader, SectionHeader } from "./layout.js";

/** In the optional header, by its magic: where the certificate table's address and size are. */
const certificateTableAt = new Map([
	[0x10b, 128],
	[0x20b, 144],
]);

/** Of a DOS stub. */
const farthestHeader = 2 ** 20;
/** As many as Windows takes. */
const mostSections = 96;

export interface PeImage {
	/** IMAGE_FILE_MACHINE_…: 0x8664 is AMD64. */
	readonly machine: number;
	/** The first section of each name, in file order; those after the first `.profile` belong to variants of the image. */
	readonly sections: ReadonlyMap<string, ByteSource>;
	/** An Authenticode signature is in it; whether it is a good one, and whose, is not asked. */
	readonly signed: boolean;
}

/** The sections of an EFI program; `undefined` where it is none. */
export async function readPe(file: ByteSource): Promise<PeImage | undefined> {
	const dos = await readUpTo(file, 0, DosHeader.size);
	if (dos.length < DosHeader.size) return undefined;
	const { magic, lfanew } = DosHeader.parse(dos);
	if (magic !== "MZ" || lfanew > farthestHeader) return undefined;
	const head = await readUpTo(file, lfanew, CoffHeader.size);
	if (head.length < CoffHeader.size) return undefined;
	const { signature, machine, numberOfSections, sizeOfOptionalHeader } = CoffHeader.parse(head);
	if (signature !== "PE" || numberOfSections > mostSections) return undefined;

	const optional = await readUpTo(file, lfanew + CoffHeader.size, sizeOfOptionalHeader);
	const tableAt = lfanew + CoffHeader.size + sizeOfOptionalHeader;
	const table = await readUpTo(file, tableAt, numberOfSections * SectionHeader.size);
	const sections = new Map<string, ByteSource>();
	for (let at = 0; at + SectionHeader.size <= table.length; at += SectionHeader.size) {
		const { name, virtualSize, sizeOfRawData, pointerToRawData } = SectionHeader.parse(table, at);
		if (name === ".profile") break;
		const size = Math.min(virtualSize, sizeOfRawData);
		// What the file does not hold, the firmware would not load.
		if (pointerToRawData + size > file.size) return undefined;
		if (!sections.has(name)) sections.set(name, slice(file, pointerToRawData, size, `${file.name}:${name}`));
	}
	return { machine, sections, signed: isSigned(optional) };
}

function isSigned(optional: Uint8Array): boolean {
	const view = new DataView(optional.buffer, optional.byteOffset, optional.byteLength);
	const at = certificateTableAt.get(view.byteLength < 2 ? 0 : view.getUint16(0, true));
	return (
		at !== undefined && at + 8 <= view.byteLength && view.getUint32(at, true) > 0 && view.getUint32(at + 4, true) > 0
	);
}
