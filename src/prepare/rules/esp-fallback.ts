import type { CopyFile } from "../change.js";
import type { Planning } from "../planning.js";

/** First-stage loaders in order of preference, each with what it starts from its own folder. */
const loaders = [
	{ name: "shimx64.efi", needs: ["grubx64.efi"] },
	{ name: "grubx64.efi", needs: [] },
	{ name: "systemd-bootx64.efi", needs: [] },
] as const;

/**
 * A VM that arrives on another hypervisor has no UEFI variables: the firmware then starts only `\EFI\BOOT\BOOTX64.EFI`.
 * UEFI Specification 2.10, section 3.5.1.1, https://uefi.org/specs/UEFI/2.10/03_Boot_Manager.html
 */
export function planEspFallback({ guest }: Planning): Promise<CopyFile[]> {
	const { esp } = guest;
	if (!esp || esp.fallback || guest.arch !== "x86_64") return Promise.resolve([]);
	// Names on FAT have no case.
	const there = new Map(esp.loaders.map((path) => [path.toLowerCase(), path]));
	const folders = [...there.keys()].map((path) => path.slice(0, path.lastIndexOf("/")));
	const own = folders.filter((folder) => folder.endsWith(`/${guest.id.toLowerCase()}`));
	const candidates = loaders.flatMap((loader) => [...own, ...folders].map((folder) => ({ folder, loader })));
	const first = candidates.find(({ folder, loader: { name, needs } }) =>
		[name, ...needs].every((file) => there.has(`${folder}/${file}`)),
	);
	if (!first) return Promise.resolve([]);

	const changes: CopyFile[] = [];
	const copy = (file: string, to: string) => {
		const from = there.get(`${first.folder}/${file}`);
		const path = `${esp.mount}/EFI/BOOT/${to}`;
		if (from === undefined || there.has(path.toLowerCase())) return;
		const why = "The firmware of a new VM knows no boot entry of this guest and starts only the fallback loader.";
		changes.push({ rule: "esp-fallback", action: "copy-file", from, path, why });
	};
	copy(first.loader.name, "BOOTX64.EFI");
	for (const file of first.loader.needs) copy(file, file);
	return Promise.resolve(changes);
}
