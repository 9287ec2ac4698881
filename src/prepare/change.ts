/** The rules that ask for changes; each can be switched off. */
export const rules = ["initramfs", "drop-in", "fstab", "cmdline", "esp-fallback", "network", "console"] as const;
export type Rule = (typeof rules)[number];

/** Those that do nothing unless they are asked for. */
export const optionalRules: readonly Rule[] = ["console"];

interface Common {
	readonly rule: Rule;
	/** Path in the guest. */
	readonly path: string;
	/** One sentence. */
	readonly why: string;
}

/** Appends one archive of kernel modules, and the indexes that resolve them, to an initramfs. */
export interface AppendModules extends Common {
	readonly action: "append-modules";
	/** Kernel version. */
	readonly kernel: string;
	/** The unified kernel image that has the initramfs inside: the archive goes into an add-on beside it, which is new. */
	readonly addOnTo?: string;
	/**
	 * Each after those it depends on, with the bytes of its file as it lies in the guest: 0 where it is in the initramfs
	 * already, but in no index there.
	 */
	readonly modules: readonly { readonly name: string; readonly bytes: number }[];
	/** Of all these files. */
	readonly bytes: number;
	/**
	 * Files that other changes of the plan write, and that go into the archive as well: udev names network interfaces in
	 * the initramfs already.
	 */
	readonly files?: readonly string[];
}

/** Creates a file, or replaces all of it. */
export interface WriteFile extends Common {
	readonly action: "write-file";
	readonly contents: string;
	/** Permission bits of a file that is new. */
	readonly mode: number;
}

/** Replaces lines of a text file; all other bytes stay. */
export interface ReplaceLines extends Common {
	readonly action: "replace-lines";
	/**
	 * `line` counts from 1; `from` is what stands there now, without its line end (`\n` or `\r\n`). Where a line is not
	 * UTF-8, its bytes from 0x80 on stand as U+DC80 to U+DCFF.
	 */
	readonly lines: readonly { readonly line: number; readonly from: string; readonly to: string }[];
}

/** Copies a file of the guest to a new name; missing folders are made. */
export interface CopyFile extends Common {
	readonly action: "copy-file";
	readonly from: string;
}

/** One edit of a guest, as data with its why: dry run, web preview and audit trail are the same thing. */
export type Change = AppendModules | WriteFile | ReplaceLines | CopyFile;
