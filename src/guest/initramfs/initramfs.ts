import type { ByteSource } from "../../bytes/source.js";
import type { Generator, Initramfs } from "../guest.js";
import { moduleName } from "../linux/modules.js";
import { lines, words } from "../linux/text.js";
import { boosterPaths, readBooster } from "./booster.js";
import { readKmod } from "./kmod.js";
import { Rootfs } from "./rootfs.js";
import { type Segment, unpackInitramfs } from "./unpack.js";

/**
 * Reads the initramfs that the boot loader makes of `files`, in its order; what counts is what remains after all of
 * them. `version` is the kernel's.
 */
export async function readInitramfs(
	files: readonly { readonly path: string; readonly source: ByteSource }[],
	version: string,
): Promise<Initramfs | undefined> {
	const rootfs = new Rootfs();
	let segments: readonly Segment[] = [];
	for (const { source } of files) segments = await unpackInitramfs(source, rootfs, isWanted);
	const last = files.at(-1);
	if (!last) return undefined;

	const generator = generatorOf(rootfs);
	return {
		path: last.path,
		size: last.source.size,
		before: files.slice(0, -1).map(({ path }) => path),
		generator,
		udev: udevPrograms.some((path) => rootfs.find(path)),
		systemd: ["usr/lib", "lib"].some((parent) => rootfs.find(`${parent}/systemd/system/initrd.target`)),
		segments,
		...(generator === "booster"
			? await readBooster(rootfs, version, last.source.name)
			: { ...readKmod(rootfs, version, last.source.name), forced: new Set(forcedModules(rootfs)) }),
	};
}

const udevPrograms = [
	...["usr/lib/systemd/systemd-udevd", "lib/systemd/systemd-udevd"],
	...["usr/bin/udevadm", "bin/udevadm", "usr/sbin/udevadm", "sbin/udevadm"],
];

const wantedPaths = new Set(["conf/modules", "config", "buildconfig", ...boosterPaths]);

function isWanted(name: string): boolean {
	const path = name.replace(/^(\.?\/)+/, "");
	return wantedPaths.has(path) || /\/modules\.(alias|dep)(\.bin)?$/.test(path) || path.includes("/modules-load.d/");
}

function generatorOf(rootfs: Rootfs): Generator | "unknown" {
	const has = (path: string) => rootfs.find(path) !== undefined;
	if (has("etc/booster.init.yaml")) return "booster";
	if (has("scripts/functions") && has("conf/arch.conf")) return "initramfs-tools";
	if (has("usr/lib/dracut") || has("lib/dracut") || has("dracut-state.sh")) return "dracut";
	// With systemd as its init, it has no functions of its own.
	if (has("buildconfig") || (has("init_functions") && (has("config") || has("hooks")))) return "mkinitcpio";
	if (has(".modloop") && has("newroot")) return "mkinitfs";
	return "unknown";
}

/** What the init program loads by name, whatever hardware there is. */
function* forcedModules(rootfs: Rootfs): IterableIterator<string> {
	yield* moduleList(rootfs.text("conf/modules") ?? "");

	// https://man7.org/linux/man-pages/man5/modules-load.d.5.html: a name in /etc hides the same one below /usr/lib.
	const lists = new Map<string, string>();
	for (const directory of ["usr/lib/modules-load.d", "lib/modules-load.d", "etc/modules-load.d"]) {
		for (const name of rootfs.list(directory)) {
			if (name.endsWith(".conf")) lists.set(name, rootfs.text(`${directory}/${name}`) ?? "");
		}
	}
	for (const list of lists.values()) yield* moduleList(list);

	// mkinitcpio's own init sources /config; /buildconfig is the configuration it came from.
	const config = rootfs.find("init_functions") && (rootfs.text("config") ?? rootfs.text("buildconfig"));
	for (const name of shellList(config ?? "", "MODULES")) yield moduleName(name.replace(/\?$/, ""));
}

/** A module a line, options after it, comments after `#` or `;`. */
function* moduleList(text: string): IterableIterator<string> {
	for (const line of lines(text)) {
		const name = words(line)[0];
		if (name !== undefined && !/^[#;]/.test(name)) yield moduleName(name);
	}
}

/** `NAME="a b"` or `NAME=(a b)`, also over several lines. */
function shellList(text: string, name: string): readonly string[] {
	const start = `\n${text}`.indexOf(`\n${name}=`);
	if (start < 0) return [];
	const value = text.slice(start + name.length + 1);
	const closing = value[0] === "(" ? ")" : value[0];
	return words(value.slice(1, Math.max(1, value.indexOf(closing ?? "", 1)))).filter((word) => !word.startsWith("#"));
}
