/** "COWD": an ESX sparse extent, as VMFS keeps snapshots. */
export const COWD_MAGIC = 0x44574f43;
/** The first eight bytes of a space-efficient sparse extent. */
export const SESPARSE_MAGIC = 0xcafebaben;
/** "KDMV": a hosted sparse extent, streamOptimized ones included. */
export const SPARSE_MAGIC = 0x564d444b;
/** What can be written, the usual variant first. */
export const VARIANTS = [
	"streamOptimized",
	"monolithicSparse",
	"monolithicFlat",
	"twoGbMaxExtentSparse",
	"twoGbMaxExtentFlat",
	"vmfs",
] as const;

/** True when `head` begins a descriptor; the first line is the only mark that it has. */
export const isDescriptor = (head: Uint8Array): boolean =>
	/^\s*# ?Disk Descriptor ?File/i.test(new TextDecoder("latin1").decode(head.subarray(0, 64)));
