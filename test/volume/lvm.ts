import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { assembleVolumes, readVolumes } from "../../src/volume/index.js";
import type { Volume } from "../../src/volume/volume.js";
import { missing, run } from "../support/tools.js";
import { emptyImage } from "./images.js";

process.env["PATH"] += ":/usr/sbin:/sbin";

const attached: string[] = [];
const home = mkdtempSync(path.join(tmpdir(), "anyvisor-lvm-"));

afterAll(() => {
	for (const device of attached) execFileSync("losetup", ["-d", device]);
	rmSync(home, { recursive: true, force: true });
});

/** Why LVM's tools cannot be judges here, for a suite's title; "" when they can. */
export function withoutLvm(): string {
	if (missing("pvcreate", "losetup")) return "(skipped: lvm2 not installed; see scripts/system-packages.sh)";
	if (process.platform !== "linux" || process.getuid?.() !== 0) return "(skipped: only root on Linux has loop devices)";
	try {
		const probe = execFileSync("losetup", ["-f"], { stdio: "pipe" }).toString().trim();
		return probe === "" ? "(skipped: there is no free loop device)" : "";
	} catch {
		return "(skipped: there are no loop devices)";
	}
}

/** LVM's tools on some images and on nothing else; they need no device mapper, since nothing is activated. */
export class Lvm {
	readonly files: readonly string[];
	readonly devices: readonly string[];

	private constructor(files: readonly string[], devices: readonly string[]) {
		this.files = files;
		this.devices = devices;
	}

	/** Images of so many MiB each. */
	static async on(...mebibytes: readonly number[]): Promise<Lvm> {
		const files: string[] = [];
		for (const size of mebibytes) {
			files.push(await emptyImage(path.join(mkdtempSync(path.join(home, "pv-")), "pv.img"), size * 2 ** 20));
		}
		const devices: string[] = [];
		for (const file of files) {
			const device = (await run("losetup", "-f", "--show", file)).trim();
			attached.push(device);
			devices.push(device);
		}
		return new Lvm(files, devices);
	}

	/** @returns what the command printed */
	command(name: string, ...args: readonly string[]): Promise<string> {
		const filter = [...this.devices.map((device) => `"a|^${device}$|"`), '"r|.*|"'].join(", ");
		const config = `devices { use_devicesfile=0 filter=[${filter}] } backup { backup=0 archive=0 } global { locking_dir="${home}" }`;
		const environment = [`LVM_SYSTEM_DIR=${home}`, "LVM_SUPPRESS_FD_WARNINGS=1"];
		return run("env", ...environment, name, "--driverloaded", "n", "--config", config, ...args);
	}

	async report(name: "pvs" | "lvs" | "vgs", fields: string, ...args: readonly string[]) {
		const printed = await this.command(
			name,
			...["--reportformat", "json", "--units", "b", "--nosuffix", "-o", fields, ...args],
		);
		return (
			Object.values((JSON.parse(printed) as { report: [Record<string, Record<string, string>[]>] }).report[0])[0] ?? []
		);
	}

	/** Writes `text` over the group's metadata, for volumes that the tools make with a device mapper only. */
	async restore(group: string, text: string): Promise<void> {
		const file = path.join(home, "restored");
		await writeFile(file, text);
		await this.command("vgcfgrestore", "--force", "-y", "-f", file, group);
	}

	async metadata(group: string): Promise<string> {
		const file = path.join(home, "backup");
		await this.command("vgcfgbackup", "-f", file, group);
		return readFile(file, "utf8");
	}

	async bytes(): Promise<readonly Uint8Array[]> {
		return Promise.all(this.files.map(async (file) => new Uint8Array(await readFile(file))));
	}
}

/** What is assembled of images that are handed over together. */
export async function assembledFrom(images: readonly Uint8Array[], open = bytesSource) {
	const volumes: Volume[] = [];
	for (const [i, image] of images.entries()) volumes.push(...(await readVolumes(open(image, `disk${i}.img`), 512)));
	return { parts: volumes, ...(await assembleVolumes(volumes)) };
}

export const lastName = ({ assembled }: Volume) => assembled?.devices[0]?.split("/").at(-1) ?? "";

/** Each sector of `image` gets its own number and that of the image, so that no two sectors are the same. */
export function numberSectors(image: Uint8Array, which: number, from: number): void {
	const view = new DataView(image.buffer, image.byteOffset);
	for (let at = from; at + 512 <= image.length; at += 512) {
		view.setUint32(at, at / 512);
		view.setUint32(at + 504, which);
	}
}

const statusOf = (visible: boolean) => `status = ["READ", "WRITE"${visible ? ', "VISIBLE"' : ""}]`;

/** The text of a logical volume for {@link Lvm.restore}; `id` has 32 characters without hyphens. */
export function logicalVolume(name: string, visible: boolean, extents: number, segment: string): string {
	const id = name
		.replaceAll(/[^a-zA-Z0-9]/g, "x")
		.padEnd(32, "0")
		.slice(0, 32);
	const hyphenated = id.replace(/^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/, "$1-$2-$3-$4-$5-$6-$7");
	return `${name} { id = "${hyphenated}" ${statusOf(visible)} flags = [] segment_count = 1
		segment1 { start_extent = 0 extent_count = ${extents} ${segment} } }\n`;
}

/** A segment on one physical volume. */
export const linear = (pv: string, first: number) => `type = "striped" stripe_count = 1 stripes = ["${pv}", ${first}]`;
