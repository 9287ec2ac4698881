import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll } from "vitest";

const shell = (command: string, ...args: string[]) => execFileSync(command, args, { stdio: "pipe" });

/** How each file system is made in a file, or mounted without one; `size` in MiB is the smallest that its tool takes. */
const kinds = {
	xfs: { size: 300, make: (file: string) => shell("mkfs.xfs", "-q", "-f", "-m", "reflink=1", file) },
	btrfs: { size: 120, make: (file: string) => shell("mkfs.btrfs", "-q", "-f", file) },
	ext4: { size: 8, make: (file: string) => shell("mkfs.ext4", "-q", "-F", file) },
	vfat: { size: 8, make: (file: string) => shell("mkfs.vfat", file) },
} as const;

const mounted: string[] = [];
let made = 0;

const root = mkdtempSync(path.join(tmpdir(), "anyvisor-mounts-"));

afterAll(() => {
	for (const folder of mounted.reverse()) shell("umount", "--lazy", folder);
	rmSync(root, { recursive: true, force: true });
});

function mount(...args: string[]): string {
	const folder = mkdtempSync(path.join(root, "on-"));
	shell("mount", ...args, folder);
	mounted.push(folder);
	return folder;
}

/** A memory file system of so many bytes, mounted until the test file ends. */
export const tmpfs = (size: number, ...options: string[]): string =>
	mount("-t", "tmpfs", "-o", [`size=${size}`, ...options].join(","), "none");

/** A file system in a sparse file, by default beside the mounted ones. */
export function loopMounted(kind: keyof typeof kinds, folder = root, options: readonly string[] = []): string {
	const file = path.join(folder, `${kind}-${++made}.img`);
	shell("truncate", "-s", `${kinds[kind].size}M`, file);
	kinds[kind].make(file);
	return mount("-o", ["loop", ...options].join(","), file);
}

/** What `mount` has mounted, or in a suite's title why this system cannot mount such a thing. */
export function attempt(mount: () => string): { readonly folder: string; readonly reason: string } {
	if (process.platform !== "linux" || process.getuid?.() !== 0) {
		return { folder: "", reason: "(skipped: only root on Linux may mount)" };
	}
	try {
		return { folder: mount(), reason: "" };
	} catch (error) {
		const why = error instanceof Error ? (error.message.split("\n")[1] ?? error.message) : "";
		return { folder: "", reason: `(skipped: it cannot be mounted here: ${why})` };
	}
}
