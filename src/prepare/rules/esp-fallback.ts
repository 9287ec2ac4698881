import type { CopyFile } from "../change.js";
import type { Planning } from "../planning.js";

/** First-stage loaders in order of preference: shim starts the grubx64.efi that lies beside it. */
const preferred = ["shimx64.efi", "grubx64.efi", "systemd-bootx64.efi"];
const fallbackFolder = "EFI/BOOT";

/**
 * A VM that arrives on another hypervisor has no UEFI variables: the firmware then starts only `\EFI\BOOT\BOOTX64.EFI`.
 * UEFI Specification 2.10, section 3.5.1.1, https://uefi.org/specs/UEFI/2.10/03_Boot_Manager.html
 */
export function planEspFallback({ guest }: Planning): Promise<CopyFile[]> {
	const { esp } = guest;
	if (!esp || esp.fallback || guest.arch !== "x86_64") return Promise.resolve([]);
	const find = (name: string) => esp.loaders.find((loader) => loader.toLowerCase().endsWith(`/${name}`));
	const first = preferred.map(find).find((loader) => loader !== undefined);
	if (first === undefined) return Promise.resolve([]);

	const why = "The firmware of a new VM knows no boot entry of this guest and starts only the fallback loader.";
	const copy = (from: string, name: string): CopyFile => ({
		rule: "esp-fallback",
		action: "copy-file",
		from,
		path: `${esp.mount}/${fallbackFolder}/${name}`,
		why,
	});
	const grub = first.toLowerCase().endsWith("/shimx64.efi") ? find("grubx64.efi") : undefined;
	return Promise.resolve([copy(first, "BOOTX64.EFI"), ...(grub === undefined ? [] : [copy(grub, "grubx64.efi")])]);
}
