/** One edit of a guest, as data with its why: dry run, web preview and audit trail are the same thing. */
export type Change = {
	/** Stable name of the rule that asks for it; each can be switched off: `--skip fstab`. */
	readonly rule: "initramfs" | "drop-in" | "fstab" | "cmdline" | "esp-fallback";
	/** Path in the guest. */
	readonly path: string;
	/** One sentence. */
	readonly why: string;
} & (
	| {
			readonly action: "append-modules";
			readonly kernel: string;
			/** Module names in load order, dependencies included. */
			readonly modules: readonly string[];
			/** Bytes of module files before compression. */
			readonly bytes: number;
	  }
	| { readonly action: "write-file"; readonly contents: string; readonly mode: number }
	| {
			readonly action: "replace-lines";
			readonly lines: readonly { readonly line: number; readonly from: string; readonly to: string }[];
	  }
	| { readonly action: "copy-file"; readonly from: string }
);
