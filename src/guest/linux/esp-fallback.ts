import { wordsOf } from "../../bytes/words.js";
import type { LinuxGuest } from "../guest.js";

/** How the names of EFI programs end. UEFI Specification 2.10, section 3.5.1.1. */
const suffixes: Readonly<Record<string, string>> = {
	x86_64: "x64",
	i686: "ia32",
	aarch64: "aa64",
	armv7l: "arm",
	riscv64: "riscv64",
	loongarch64: "loongarch64",
};

/** The name of the loader that a firmware starts by itself, in lower case as FAT's names have no case. */
export const fallbackName = (arch: string): string => `boot${suffixes[arch] ?? "x64"}.efi`;

/** What shim starts from its own folder: GRUB, or at \EFI\BOOT first of all what makes boot entries anew. */
export const startedByShim = (arch: string): readonly string[] => {
	const suffix = suffixes[arch] ?? "x64";
	// The last two are SUSE's names, whose shim starts no other.
	return [`grub${suffix}.efi`, `fb${suffix}.efi`, "grub.efi", "fallback.efi"];
};

/** Vendors' folders that are not named after the distribution. */
const folders: Readonly<Record<string, string>> = wordsOf({
	rhel: "redhat",
	ol: "redhat",
	"opensuse-leap": "opensuse",
	"opensuse-tumbleweed": "opensuse",
	sles: "sles",
});

const isSuse = (id: string) => /^(?:sles?|sled|opensuse|suse)(?:[-_]|$)/i.test(id);

export interface LoaderCopy {
	readonly from: string;
	/** Name in `EFI/BOOT`. */
	readonly to: string;
}

/**
 * What has to be copied to `EFI/BOOT` for a firmware that knows no boot entry to start this guest; empty where nothing
 * has to be, or where there is no loader to copy.
 *
 * Of shim's companions only the loader is copied. Beside its fallback program it would make boot entries and, with a TPM,
 * reset: https://github.com/rhboot/shim/blob/main/README.fallback. GRUB finds its configuration by the prefix that is
 * built into it, which names the vendor's folder or the boot partition, wherever it is started from.
 */
export function fallbackCopies({ esp, arch, id }: Pick<LinuxGuest, "esp" | "arch" | "id">): readonly LoaderCopy[] {
	const suffix = suffixes[arch];
	if (!esp || esp.fallback || suffix === undefined) return [];
	// First-stage loaders in order of preference, each with what it starts from its own folder.
	const suse = { name: "grub.efi", needs: [] };
	const grub = { name: `grub${suffix}.efi`, needs: [] };
	const second = isSuse(id) ? [suse, grub] : [grub, suse];
	const loaders = [
		{ name: `shim${suffix}.efi`, needs: [`grub${suffix}.efi`] },
		{ name: "shim.efi", needs: ["grub.efi"] },
		grub,
		suse,
		{ name: `systemd-boot${suffix}.efi`, needs: [] },
	];
	const there = new Map(esp.loaders.map((path) => [path.toLowerCase(), path]));
	const fallbackFolder = `${esp.mount}/efi/boot`.toLowerCase();
	const all = [...there.keys()].map((path) => path.slice(0, path.lastIndexOf("/")));
	const others = all.filter((folder) => folder !== fallbackFolder);
	const vendor = [folders[id.toLowerCase()] ?? id.toLowerCase(), id.toLowerCase()];
	const own = vendor.flatMap((name) => others.filter((folder) => folder.endsWith(`/${name}`)));
	// What is there starts another loader, or it would be taken for one that is.
	const hasShim = there.has(`${fallbackFolder}/${fallbackName(arch)}`);
	const candidates = (hasShim ? second : loaders).flatMap((loader) =>
		[...own, ...others].map((folder) => ({ folder, loader })),
	);
	const first = candidates.find(({ folder, loader: { name, needs } }) =>
		[name, ...needs].every((file) => there.has(`${folder}/${file}`)),
	);
	if (!first) return [];
	const { folder, loader } = first;
	const target = hasShim ? loader.name : fallbackName(arch).toUpperCase();
	const files = [[loader.name, target], ...loader.needs.map((name) => [name, name])];
	return files.flatMap(([file = "", to = ""]) => {
		const from = there.get(`${folder}/${file}`);
		return from === undefined || there.has(`${fallbackFolder}/${to.toLowerCase()}`) ? [] : [{ from, to }];
	});
}
