import { type ByteSource, readUpTo, slice } from "../../../bytes/source.js";
import { bytes, struct, text, u16, u32 } from "../../../bytes/struct.js";

/** https://learn.microsoft.com/en-us/windows/win32/debug/pe-format#ms-dos-stub-image-only */
const DosHeader = struct("DOS header", "little", { magic: text(2), unused: bytes(58), lfanew: u32 });

/** https://learn.microsoft.com/en-us/windows/win32/debug/pe-format#coff-file-header-object-and-image */
const CoffHeader = struct("COFF file header", "little", {
	signature: text(4),
	machine: u16,
	numberOfSections: u16,
	timeDateStamp: u32,
	pointerToSymbolTable: u32,
	numberOfSymbols: u32,
	sizeOfOptionalHeader: u16,
	characteristics: u16,
});

/** https://learn.microsoft.com/en-us/windows/win32/debug/pe-format#section-table-section-headers */
const SectionHeader = struct("section header", "little", {
	name: text(8),
	virtualSize: u32,
	virtualAddress: u32,
	sizeOfRawData: u32,
	pointerToRawData: u32,
	pointerToRelocations: u32,
	pointerToLinenumbers: u32,
	numberOfRelocations: u16,
	numberOfLinenumbers: u16,
	characteristics: u32,
});

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
	const { signature, numberOfSections, sizeOfOptionalHeader } = CoffHeader.parse(head);
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
	return { sections, signed: isSigned(optional) };
}

function isSigned(optional: Uint8Array): boolean {
	const view = new DataView(optional.buffer, optional.byteOffset, optional.byteLength);
	const at = certificateTableAt.get(view.byteLength < 2 ? 0 : view.getUint16(0, true));
	return (
		at !== undefined && at + 8 <= view.byteLength && view.getUint32(at, true) > 0 && view.getUint32(at + 4, true) > 0
	);
}
