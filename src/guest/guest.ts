import type { Firmware } from "../machine/machine.js";

/** Facts about the installed system: plain JSON data but for {@link LinuxKernel.modules}. */
export interface LinuxGuest {
	readonly system: "linux";
	/** os-release ID, for example `debian`; `linux` where there is none. */
	readonly id: string;
	/** os-release VERSION_ID; empty where there is none. */
	readonly version: string;
	/** os-release PRETTY_NAME. */
	readonly name: string;
	/** `x86_64`, `aarch64`, … from the ELF header of the init or a module. */
	readonly arch: string;
	/** Ways this disk can boot, found on the disk, not guessed. */
	readonly firmware: readonly Firmware[];
	/** Newest first. */
	readonly kernels: readonly LinuxKernel[];
	/** Version of the kernel that boots by default. */
	readonly defaultKernel: string;
	readonly boot: BootLoader;
	readonly fstab: readonly FstabEntry[];
	readonly network: readonly NetworkFact[];
	/** Generators whose configuration is installed, so that drop-ins can be left for the next kernel update. */
	readonly generators: readonly Generator[];
	readonly esp?: Esp;
	/** What should have been readable and is not, one sentence each; empty for a sound guest. */
	readonly problems: readonly string[];
}

/** The EFI system partition, as mounted in the guest. */
export interface Esp {
	/** `/boot/efi`, `/efi` or `/boot`. */
	readonly mount: string;
	/**
	 * The firmware's fallback loader exists, `\EFI\BOOT\BOOTX64.EFI` or the name of the guest's architecture, and has beside
	 * it what it starts where it is shim.
	 */
	readonly fallback: boolean;
	/** Paths in the guest of every `.efi` program below `EFI/`, the fallback included. */
	readonly loaders: readonly string[];
	/** Those of {@link loaders} that are signed for Secure Boot, by whomever. */
	readonly signed: readonly string[];
}

export type Generator = "initramfs-tools" | "dracut" | "mkinitcpio";

export interface LinuxKernel {
	readonly version: string;
	/** Path of the image in the guest. */
	readonly image: string;
	/** Directory with `modules.dep`, after links: `/usr/lib/modules/6.1.0-9-amd64`. */
	readonly modulesDirectory: string;
	/** Kernel command line of its boot entry; empty where no entry names it. */
	readonly cmdline: string;
	readonly modules: ModuleIndex;
	/** Absent where the kernel boots without one, or where it cannot be read: {@link problems} then says why. */
	readonly initramfs?: Initramfs;
	/** What is wrong with this kernel's files, one sentence each. */
	readonly problems: readonly string[];
}

/** What depmod knows about a kernel's modules. Names are normalised: `_` for `-`, no directory, no `.ko`. */
export interface ModuleIndex {
	/**
	 * `alias` lines of modules.alias and of modules.builtin.modinfo in file order: kernel glob pattern and module name.
	 * Those of kmod's binary indexes have `_` for `-`; `aliasIndex` of device/ takes one for the other.
	 */
	readonly aliases: readonly (readonly [pattern: string, module: string])[];
	readonly builtin: ReadonlySet<string>;
	/** Module name to path relative to the modules directory. */
	readonly paths: ReadonlyMap<string, string>;
	/** Module name to the names of the modules it needs, from modules.dep. */
	readonly dependencies: ReadonlyMap<string, readonly string[]>;
	readonly softdeps: ReadonlyMap<string, { readonly pre: readonly string[]; readonly post: readonly string[] }>;
}

/** What the kernel's memory holds after it has unpacked every archive that the boot loader hands it. */
export interface Initramfs {
	/** The file that is unpacked last: what is appended to it wins. */
	readonly path: string;
	readonly size: number;
	/** Files that the boot loader loads before {@link path}, most often microcode. */
	readonly before: readonly string[];
	/** `unknown` where neither a marker file nor the layout tells. */
	readonly generator: Generator | "unknown";
	/** Each archive concatenated in {@link path}, in order. `at` and `length` in bytes of the file, padding left out. */
	readonly segments: readonly {
		readonly at: number;
		readonly length: number;
		readonly compression: "none" | "gzip" | "zstd" | "xz" | "lz4-legacy" | "bzip2";
		/** Only early microcode or ACPI tables. */
		readonly early: boolean;
	}[];
	/** Modules in it for this kernel version, normalised names. */
	readonly modules: ReadonlySet<string>;
	/**
	 * Aliases its loader will resolve: from the last `modules.alias.bin` of the chain, which kmod prefers, or else from the
	 * last `modules.alias`. `undefined` when it carries no index (modules are then loaded by name, by a list in the
	 * archive).
	 */
	readonly aliases: readonly (readonly [pattern: string, module: string])[] | undefined;
	/** Modules that a list in it loads without an event: `conf/modules`, `modules-load.d`, mkinitcpio's `MODULES`. */
	readonly forced: ReadonlySet<string>;
	/** `/lib` is a link to `/usr/lib` in it: entries below `lib/` would replace the link. */
	readonly mergedUsr: boolean;
}

export interface BootLoader {
	readonly kind: "grub2" | "systemd-boot" | "syslinux" | "zipl" | "unknown";
	/** Path of the configuration in the guest; empty where there is none. */
	readonly config: string;
	readonly entries: readonly BootEntry[];
	/** Index of the entry that boots by default; -1 when there is none. */
	readonly default: number;
}

export interface BootEntry {
	readonly title: string;
	/** Paths in the guest, links followed; `/boot` prepended where the loader's root is the boot partition. */
	readonly kernel: string;
	readonly initrds: readonly string[];
	readonly cmdline: string;
	/** Present where kernel, initramfs and command line are one file: {@link kernel} and {@link initrds} name it. */
	readonly uki?: {
		/** As `uname -r` prints it; empty where the image does not say. */
		readonly release: string;
		/** systemd-stub's version; empty where another program starts the kernel. */
		readonly stub: string;
		readonly signed: boolean;
	};
}

export interface FstabEntry {
	readonly spec: string;
	readonly mount: string;
	readonly type: string;
	readonly options: string;
	/** 1-based line in /etc/fstab. */
	readonly line: number;
}

export interface NetworkFact {
	readonly by: "ifupdown" | "netplan" | "NetworkManager" | "systemd-networkd" | "ifcfg";
	readonly file: string;
	/** Interface name, MAC, or `*`. */
	readonly interface: string;
	readonly method: "dhcp" | "static" | "unknown";
}
