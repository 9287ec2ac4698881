import { fallbackCopies } from "../../guest/linux/esp-fallback.js";
import type { CopyFile } from "../change.js";
import type { Planning } from "../planning.js";

/**
 * A VM that arrives on another hypervisor has no UEFI variables: the firmware then starts only `\EFI\BOOT\BOOTX64.EFI`.
 * UEFI Specification 2.10, section 3.5.1.1, https://uefi.org/specs/UEFI/2.10/03_Boot_Manager.html
 */
export function planEspFallback({ guest }: Planning): Promise<CopyFile[]> {
	const mount = guest.esp?.mount ?? "";
	const changes = fallbackCopies(guest).map(({ from, to }): CopyFile => {
		const why = "The firmware of a new VM knows no boot entry of this guest and starts only the fallback loader.";
		return { rule: "esp-fallback", action: "copy-file", from, path: `${mount}/EFI/BOOT/${to}`, why };
	});
	return Promise.resolve(changes);
}
