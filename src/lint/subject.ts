import type { Machine } from "../machine/machine.js";
import type { OvfView } from "./ovf-view.js";
import type { XvaView } from "./xva-view.js";

/** What is looked at, as it is: nothing in it is corrected by being read. */
export interface Subject {
	readonly name: string;
	readonly kind: (typeof kinds)[number];
	/** Of a tar, in the order of the archive; of an OVF, the files beside it that it refers to. */
	readonly members: readonly { readonly name: string; readonly size: number }[];
	readonly ovf?: OvfView;
	readonly xva?: XvaView;
	readonly manifest?: ManifestView;
	readonly disks: readonly DiskView[];
	/** Of the other kinds of descriptor. */
	readonly machine?: Machine;
	/** Of a .vmx: what `virtualHW.version` says. */
	readonly hardwareVersion?: number | undefined;
	/** Of a compressed image for Google Cloud: what its first header says. */
	readonly tarball?: { readonly member: string; readonly size: number; readonly format: "gnu" | "posix" | "v7" };
}

/**
 * `tarball` is a gzip-compressed tar with one disk in it. A descriptor that is not an OVF is named after its format.
 */
export const kinds = [
	"ova",
	"ovf",
	"xva",
	"tarball",
	"disk",
	"vmx",
	"vbox",
	"libvirt",
	"proxmox",
	"xl",
	"hyperv-xml",
	"vmcx",
] as const;

/** A disk image that the package holds or refers to. */
export interface DiskView {
	readonly name: string;
	/** As {@link Disk.format}; absent where it could not be opened. */
	readonly format?: string;
	/** Virtual size in bytes. */
	readonly size?: number;
	/** Why it could not be opened. */
	readonly problem?: string;
	readonly missing?: true;
}

export interface ManifestView {
	readonly file: string;
	readonly lines: readonly ManifestLine[];
	/** Files whose content was compared and is another; absent where nothing was compared. */
	readonly wrong?: readonly string[];
}

export interface ManifestLine {
	readonly line: number;
	readonly text: string;
	/** As the line has them; absent where it is no digest. */
	readonly label?: string;
	readonly name?: string;
	readonly digest?: string;
	/** Whether something stands between label and parenthesis. */
	readonly spaced?: boolean;
}
