import { bytes, struct, text, u8, u16, u32, u64 } from "../../../bytes/struct.js";

/** https://learn.microsoft.com/en-us/windows/win32/debug/pe-format#ms-dos-stub-image-only */
export const DosHeader = struct("DOS header", "little", { magic: text(2), unused: bytes(58), lfanew: u32 });

/** https://learn.microsoft.com/en-us/windows/win32/debug/pe-format#coff-file-header-object-and-image */
export const CoffHeader = struct("COFF file header", "little", {
	signature: text(4),
	machine: u16,
	numberOfSections: u16,
	timeDateStamp: u32,
	pointerToSymbolTable: u32,
	numberOfSymbols: u32,
	sizeOfOptionalHeader: u16,
	characteristics: u16,
});

/** Of PE32+. https://learn.microsoft.com/en-us/windows/win32/debug/pe-format#optional-header-image-only */
export const OptionalHeader = struct("PE32+ optional header", "little", {
	magic: u16,
	majorLinkerVersion: u8,
	minorLinkerVersion: u8,
	sizeOfCode: u32,
	sizeOfInitializedData: u32,
	sizeOfUninitializedData: u32,
	addressOfEntryPoint: u32,
	baseOfCode: u32,
	imageBase: u64,
	sectionAlignment: u32,
	fileAlignment: u32,
	majorOperatingSystemVersion: u16,
	minorOperatingSystemVersion: u16,
	majorImageVersion: u16,
	minorImageVersion: u16,
	majorSubsystemVersion: u16,
	minorSubsystemVersion: u16,
	win32VersionValue: u32,
	sizeOfImage: u32,
	sizeOfHeaders: u32,
	checkSum: u32,
	subsystem: u16,
	dllCharacteristics: u16,
	sizeOfStackReserve: u64,
	sizeOfStackCommit: u64,
	sizeOfHeapReserve: u64,
	sizeOfHeapCommit: u64,
	loaderFlags: u32,
	numberOfRvaAndSizes: u32,
	/** Address and size each. */
	dataDirectories: bytes(16 * 8),
});

/** https://learn.microsoft.com/en-us/windows/win32/debug/pe-format#section-table-section-headers */
export const SectionHeader = struct("section header", "little", {
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
