import { execFile } from "node:child_process";
import { promisify } from "node:util";

export type TestGuest = "initramfs-tools" | "dracut";

/** The project's own test guest, built once and cached outside the checkout; a path to a raw disk. */
export async function testGuest(generator: TestGuest): Promise<string> {
	const { stdout } = await promisify(execFile)("node", ["scripts/guest/build.mjs", "--generator", generator], {
		timeout: 600_000,
	});
	return stdout.trim();
}

/** What the test guest prints when it is up: scripts/guest/init. */
export const guestMarker = /GUEST-UP [^\r\n]*uptime=[\d.]+/;

/** The facts of that line. */
export function guestFacts(line: string): Readonly<Record<string, string>> {
	return Object.fromEntries(
		line
			.split(" ")
			.filter((word) => word.includes("="))
			.map((word) => {
				const [key = "", ...value] = word.split("=");
				return [key, value.join("=")];
			}),
	);
}

/** Commands that the guests and their boots need. */
export const guestTools = [
	"qemu-system-x86_64",
	"mkinitramfs",
	"dracut",
	"grub-mkimage",
	"mke2fs",
	"sfdisk",
	"mkfs.vfat",
	"mcopy",
	"busybox",
] as const;
