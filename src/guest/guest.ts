import type { Aliases } from "../device/alias-index.js";
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
	readonly naming: InterfaceNaming;
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

export type Generator = "initramfs-tools" | "dracut" | "mkinitcpio" | "mkinitfs" | "booster";

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
	/** Present where {@link image} is a unified kernel image. */
	readonly uki?: NonNullable<BootEntry["uki"]>;
	/** Others that boot entries load with this kernel or a copy of it: dracut's rescue image, mkinitcpio's fallback. */
	readonly otherInitramfs?: readonly Pick<Initramfs, "path" | "before">[];
	/** What is wrong with this kernel's files, one sentence each. */
	readonly problems: readonly string[];
}

/** As much of a map as an index on disk can be without being read as a whole. */
export interface LookUp<T> {
	get(name: string): T | undefined;
	has(name: string): boolean;
	keys(): Iterable<string>;
}

/** What depmod knows about a kernel's modules. Names are normalised: `_` for `-`, no directory, no `.ko`. */
export interface ModuleIndex {
	/**
	 * `alias` lines of modules.alias and of modules.builtin.modinfo in file order: kernel glob pattern and module name.
	 * Those of kmod's binary indexes have `_` for `-`; `aliasIndex` of device/ takes one for the other.
	 */
	readonly aliases: Aliases;
	readonly builtin: ReadonlySet<string>;
	/** Module name to path relative to the modules directory, in depmod's order. */
	readonly paths: LookUp<string>;
	/** Module name to the names of the modules it needs, from modules.dep. */
	readonly dependencies: Pick<LookUp<readonly string[]>, "get">;
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
	/** udev is in it, which names network interfaces by the `.link` files that it finds there. */
	readonly udev: boolean;
	/** Its init is systemd, as in dracut's and one flavour of mkinitcpio's. */
	readonly systemd: boolean;
	/** Each archive concatenated in {@link path}, in order. `at` and `length` in bytes of the file, padding left out. */
	readonly segments: readonly {
		readonly at: number;
		readonly length: number;
		readonly compression: "none" | "gzip" | "bzip2" | "lzma" | "xz" | "lzop" | "lz4-legacy" | "zstd";
		/** Only early microcode or ACPI tables. */
		readonly early: boolean;
	}[];
	/**
	 * Modules in it for this kernel version: normalised name to path, relative to {@link modulesDirectory} or, elsewhere,
	 * from `/`.
	 */
	readonly modules: ReadonlyMap<string, string>;
	/** Module name to the names of the modules it needs, as the index in it says. */
	readonly dependencies: ModuleIndex["dependencies"];
	/**
	 * Aliases its loader will resolve: from the last `modules.alias.bin` of the chain, which kmod prefers, or else from the
	 * last `modules.alias`. `undefined` when it carries no index (modules are then loaded by name, by a list in the
	 * archive).
	 */
	readonly aliases: Aliases | undefined;
	/** Modules that a list in it loads without an event: `conf/modules`, `modules-load.d`, mkinitcpio's `MODULES`. */
	readonly forced: ReadonlySet<string>;
	/**
	 * Where the loader in it looks for this version's modules, without `/` before it. No part of it is a link: an entry
	 * below `lib/` would replace the link that `lib` is in merged-/usr images.
	 */
	readonly modulesDirectory: string;
	/** Text of booster's configuration in it, which says what each module needs. */
	readonly configuration?: string;
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
	/**
	 * Present where kernel, initramfs and command line are one file: {@link kernel} and {@link initrds} name it, and the
	 * latter also add-ons with more of an initramfs.
	 */
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

/** What one file says about one network interface. */
export interface NetworkFact {
	readonly by: "ifupdown" | "netplan" | "NetworkManager" | "systemd-networkd" | "ifcfg" | "wicked";
	readonly file: string;
	/** Interface name, a pattern of names, MAC, or `*`. */
	readonly interface: string;
	readonly method: "dhcp" | "static" | "unknown";
	/** Static addresses as the file has them, with their prefix length where it says one. */
	readonly addresses: readonly string[];
	/** MAC that the card must have as well, lower case, where {@link interface} is a name. */
	readonly mac?: string;
	/** Name that the file itself gives to the card it matches: netplan's `set-name`, DEVICE beside HWADDR in ifcfg files. */
	readonly renamedTo?: string;
	/** Who carries it out, where netplan names one: `networkd` or `NetworkManager`. */
	readonly renderer?: string;
}

/** How the guest's udev names network interfaces. */
export interface InterfaceNaming {
	/** systemd's version as udev has it; null where there is none, or where it is not known. */
	readonly udev: number | null;
	/** systemd's naming scheme: `v252`, `rhel-9.0`, …; null where it is not known. */
	readonly scheme: string | null;
	/**
	 * `links`: udev heeds `.link` files. `slots`: a rule of systemd 197 to 208, which eudev has too, names by place. `rules`:
	 * only {@link rules} give names. `kernel`: there is no udev. Where nothing names a card it is called `eth0` and so on.
	 */
	readonly by: "links" | "slots" | "rules" | "kernel";
	/** What turns predictable names off: `net.ifnames=0`, or a file that is masked. */
	readonly disabledBy?: string;
	/** In the order in which udev looks for the first that matches. */
	readonly links: readonly LinkFile[];
	/** Rules in /etc/udev/rules.d that give names. */
	readonly rules: readonly NameRule[];
	/** udev notes the name of every new MAC in its rules: `75-persistent-net-generator.rules`. */
	readonly generator: boolean;
	/** The program is there; it renames nothing in a virtual machine. */
	readonly biosdevname: boolean;
	readonly cloudInit?: CloudInit;
}

/** A `.link` file. */
export interface LinkFile {
	readonly file: string;
	/** Its `[Match]` section: each key with the patterns, one of which is to match, and none of those with `!` before. */
	readonly match: Readonly<Record<string, readonly string[]>>;
	readonly namePolicy: readonly string[];
	readonly name?: string;
}

/** A udev rule with `NAME=`. */
export interface NameRule {
	readonly file: string;
	readonly name: string;
	/** Lower case. */
	readonly mac?: string;
	/** Pattern of the kernel's own name. */
	readonly kernel?: string;
	/** It also asks for what is not known here. */
	readonly conditional: boolean;
}

/** cloud-init writes a network configuration at the first boot of what it takes for a new machine. */
export interface CloudInit {
	/** It leaves the network alone. */
	readonly networkDisabled: boolean;
	/** As configured, in the order they are tried; empty where the defaults stand. */
	readonly datasources: readonly string[];
}
