// What a test guest runs: busybox under the names that are used, and an init that tells what it runs on.
import { chmodSync, cpSync, mkdirSync, symlinkSync } from "node:fs";
import path from "node:path";

const here = import.meta.dirname;
const applets =
	"sh cat cut sort tr awk sed readlink basename dirname find xargs modprobe ip ifconfig udhcpc mount umount sleep sync poweroff uname ls printf dd grep insmod lsmod mkdir mknod ps dmesg";

/** What it is made of, for a cache's key. */
export const userlandFiles = ["userland.mjs", "init", "udhcpc"].map((name) => path.join(here, name));

/** Below `tree`, which has /bin, /sbin and /usr/bin, be they the same or not. */
export function installUserland(tree) {
	const busybox = "/usr/bin/busybox";
	cpSync("/bin/busybox", path.join(tree, busybox));
	for (const applet of applets.split(" ")) symlinkSync(busybox, path.join(tree, "bin", applet));
	for (const applet of ["modprobe", "insmod"]) symlinkSync(busybox, path.join(tree, "sbin", applet));
	for (const [name, to] of [
		["init", "sbin/init"],
		["udhcpc", "etc/udhcpc"],
	]) {
		mkdirSync(path.join(tree, path.dirname(to)), { recursive: true });
		cpSync(path.join(here, name), path.join(tree, to));
		chmodSync(path.join(tree, to), 0o755);
	}
}
