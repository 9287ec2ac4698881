import { unsupported } from "../bytes/errors.js";
import { CoffHeader, DosHeader, OptionalHeader, SectionHeader } from "../guest/linux/uki/layout.js";

/**
 * By machine, a program that does nothing but return EFI_UNSUPPORTED: an add-on is loaded, and never started.
 * https://uefi.org/specs/UEFI/2.10/Apx_D_Status_Codes.html
 */
const programs: Readonly<Record<number, readonly number[]>> = {
	// mov rax, 0x8000000000000003; ret
	0x8664: [0x48, 0xb8, 3, 0, 0, 0, 0, 0, 0, 0x80, 0xc3],
	// mov x0, #3; movk x0, #0x8000, lsl #48; ret
	0xaa64: [0x60, 0, 0x80, 0xd2, 0, 0, 0xf0, 0xf2, 0xc0, 0x03, 0x5f, 0xd6],
};

const pageSize = 4096;
const fileAlignment = 512;
const PE32_PLUS = 0x20b;
const EFI_APPLICATION = 10;
/** IMAGE_FILE_EXECUTABLE_IMAGE and LARGE_ADDRESS_AWARE, no line numbers, symbols and debugging data. */
const imageFlags = 0x2 | 0x4 | 0x8 | 0x20 | 0x200;
/** IMAGE_DLLCHARACTERISTICS_NX_COMPAT */
const NX_COMPAT = 0x100;
/** IMAGE_SCN_CNT_CODE, MEM_EXECUTE and MEM_READ. */
const code = 0x6000_0020;
/** IMAGE_SCN_CNT_INITIALIZED_DATA and MEM_READ. */
const data = 0x4000_0040;

/** For whoever signs it: https://github.com/rhboot/shim/blob/main/SBAT.md */
const sbat = `sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md
anyvisor.addon,1,Anyvisor,anyvisor,1,https://www.npmjs.com/package/anyvisor
`;

/**
 * An add-on for unified kernel images, which hands the kernel one more archive for its initramfs.
 * https://uapi-group.org/specifications/specs/unified_kernel_image/#uki-addons
 *
 * @param machine as in the image's COFF header
 * @param release of the kernel that the archive is for: with another one it is left alone
 */
export function addOn(machine: number, release: string, archive: Uint8Array): Uint8Array {
	const program = programs[machine];
	if (program === undefined) throw unsupported(`No add-on can be made for images of machine 0x${machine.toString(16)}`);
	const encoder = new TextEncoder();
	const contents: readonly (readonly [name: string, bytes: Uint8Array, flags: number])[] = [
		[".text", Uint8Array.from(program), code],
		[".sbat", encoder.encode(sbat), data],
		[".uname", encoder.encode(release), data],
		[".initrd", archive, data],
	];
	const coffAt = DosHeader.size;
	const tableAt = coffAt + CoffHeader.size + OptionalHeader.size;
	const sizeOfHeaders = aligned(tableAt + contents.length * SectionHeader.size, fileAlignment);
	let fileEnd = sizeOfHeaders;
	let imageEnd = aligned(sizeOfHeaders, pageSize);
	const sections = contents.map(([name, bytes, characteristics]) => {
		const header = {
			name,
			virtualSize: bytes.length,
			virtualAddress: imageEnd,
			sizeOfRawData: aligned(bytes.length, fileAlignment),
			pointerToRawData: fileEnd,
			characteristics,
		};
		fileEnd += header.sizeOfRawData;
		imageEnd += aligned(bytes.length, pageSize);
		return { header, bytes };
	});
	const [entry] = sections;

	const file = new Uint8Array(fileEnd);
	file.set(DosHeader.build({ magic: "MZ", lfanew: coffAt }));
	const coff = { numberOfSections: sections.length, sizeOfOptionalHeader: OptionalHeader.size };
	file.set(CoffHeader.build({ signature: "PE", machine, ...coff, characteristics: imageFlags }), coffAt);
	file.set(
		OptionalHeader.build({
			magic: PE32_PLUS,
			sizeOfCode: entry?.header.sizeOfRawData ?? 0,
			sizeOfInitializedData: fileEnd - sizeOfHeaders - (entry?.header.sizeOfRawData ?? 0),
			addressOfEntryPoint: entry?.header.virtualAddress ?? 0,
			baseOfCode: entry?.header.virtualAddress ?? 0,
			sectionAlignment: pageSize,
			fileAlignment,
			sizeOfImage: imageEnd,
			sizeOfHeaders,
			subsystem: EFI_APPLICATION,
			dllCharacteristics: NX_COMPAT,
			numberOfRvaAndSizes: 16,
		}),
		coffAt + CoffHeader.size,
	);
	for (const [i, { header, bytes }] of sections.entries()) {
		file.set(SectionHeader.build(header), tableAt + i * SectionHeader.size);
		file.set(bytes, header.pointerToRawData);
	}
	return file;
}

const aligned = (length: number, to: number) => Math.ceil(length / to) * to;
