export { type CheckOptions, type CheckSummary, checkImage } from "./check.js";
export { type CompareOptions, type Comparison, compareDisks } from "./compare.js";
export type {
	Disk,
	DiskDetails,
	DiskFormat,
	Extent,
	Finding,
	Neighbours,
	Snapshot,
	WriteOptions,
	Written,
} from "./disk.js";
export { type MapEntry, mapDisk } from "./map.js";
export { confinedNeighbours } from "./neighbours.js";
export { type EditableDisk, editable } from "./overlay.js";
export { diskFormat, diskFormats, type OpenDiskOptions, openDisk, recognise } from "./registry.js";
export { resized } from "./resize.js";
export { sharePass } from "./shared-pass.js";
