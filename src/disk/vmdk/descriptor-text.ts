import { AnyvisorError } from "../../bytes/errors.js";
import { type ExtentLine, NO_PARENT } from "./descriptor.js";
import { SECTOR } from "./layout.js";

/** `ddb.adapterType`: the controller that the disk was made for. All SCSI and SATA ones go by `lsilogic`. */
export type AdapterType = "ide" | "buslogic" | "lsilogic" | "legacyESX";

export interface DescriptorOptions {
	/** `lsilogic` when left out. */
	readonly adapterType?: AdapterType;
	/** The content ID, 0 to 0xfffffffe. The largest is what VMware gives a disk that was never written to. */
	readonly contentId?: number;
}

/** The values of `createType` that are written. */
export type CreateType =
	| "streamOptimized"
	| "monolithicSparse"
	| "monolithicFlat"
	| "twoGbMaxExtentSparse"
	| "twoGbMaxExtentFlat"
	| "vmfs";

export interface NewExtent extends Pick<ExtentLine, "size" | "fileName"> {
	readonly type: "SPARSE" | "FLAT" | "VMFS";
}

/** Builds a descriptor. Sizes in bytes, multiples of 512; file names without folders, or a `usage` error. */
export function buildDescriptor(
	createType: CreateType,
	extents: readonly NewExtent[],
	{ adapterType = "lsilogic", contentId = 0xfffffffe }: DescriptorOptions = {},
): string {
	const access = createType === "streamOptimized" ? "RDONLY" : "RW";
	const lines = extents.map(({ size, type, fileName }) => {
		if (/["\r\n]/.test(fileName)) {
			throw new AnyvisorError("usage", `a VMDK descriptor cannot name the file ${JSON.stringify(fileName)}`);
		}
		// VMFS has a file for each extent, and so no offset.
		return `${access} ${size / SECTOR} ${type} "${fileName}"${type === "FLAT" ? " 0" : ""}\n`;
	});
	const capacity = extents.reduce((sum, { size }) => sum + size, 0);
	const { cylinders, heads, sectors } = geometry(capacity, adapterType);
	return `# Disk DescriptorFile
version=1
CID=${contentId.toString(16).padStart(8, "0")}
parentCID=${NO_PARENT}
createType="${createType}"

# Extent description
${lines.join("")}
# The Disk Data Base
#DDB

ddb.adapterType = "${adapterType}"
ddb.geometry.cylinders = "${cylinders}"
ddb.geometry.heads = "${heads}"
ddb.geometry.sectors = "${sectors}"
ddb.toolsVersion = "2147483647"
ddb.virtualHWVersion = "4"
`;
}

/**
 * The descriptor of a monolithicFlat disk, whose extent file holds the raw content.
 *
 * @param fileName of the extent, next to the descriptor: `disk-flat.vmdk`
 * @param capacity in bytes, a multiple of 512
 */
export const flatDescriptor = (fileName: string, capacity: number, options?: DescriptorOptions): string =>
	buildDescriptor("monolithicFlat", [{ size: capacity, type: "FLAT", fileName }], options);

/** The BIOS geometry that VMware's own tools write: ATA's for IDE, by size for SCSI. */
function geometry(capacity: number, adapterType: AdapterType) {
	const [heads, sectors, limit] =
		adapterType === "ide"
			? [16, 63, 16_383]
			: capacity < 2 ** 30
				? [64, 32, 65_535]
				: capacity < 2 ** 31
					? [128, 32, 65_535]
					: [255, 63, 65_535];
	return { cylinders: Math.min(Math.floor(capacity / SECTOR / (heads * sectors)), limit), heads, sectors };
}
