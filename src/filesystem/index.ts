export type { ExtendedAttributes } from "./extended-attributes.js";
export type {
	Attributes,
	DirectoryEntry,
	Editor,
	FileStat,
	Filesystem,
	FilesystemFormat,
	FileType,
} from "./filesystem.js";
export { filesystems, openFilesystem, type Recognised, recogniseUnsupported } from "./registry.js";
export { GuestTree, type Mount, type Resolved } from "./tree.js";
