export type { Disk, DiskFormat, Extent, Neighbours, WriteOptions, Written } from "./disk.js";
export { confinedNeighbours } from "./neighbours.js";
export { type EditableDisk, editable } from "./overlay.js";
export { diskFormat, diskFormats, type OpenDiskOptions, openDisk, recognise } from "./registry.js";
export { sharePass } from "./shared-pass.js";
