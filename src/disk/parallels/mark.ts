import { rootTag } from "../../machine/xml-head.js";

/** BAT entries count sectors. */
export const MAGIC = "WithoutFreeSpace";
/** BAT entries count clusters. */
export const MAGIC_EXT = "WithouFreSpacExt";

/** The root element of DiskDescriptor.xml. */
export const ROOT = "Parallels_disk_image";

export const isDescriptor = (head: Uint8Array): boolean => rootTag(head)?.name === ROOT;
