import { readUpTo } from "../../bytes/source.js";
import type { GuestTree } from "../../filesystem/tree.js";
import type { Firmware } from "../../machine/machine.js";
import type { Volume } from "../../volume/volume.js";
import type { Esp } from "../guest.js";
import { attempt } from "./attempt.js";
import { fallbackName, startedByShim } from "./esp-fallback.js";
import { readPe } from "./uki/pe.js";

/** What the firmware sees of the disk. */
export interface BootContext {
	readonly volumes: readonly { readonly volume: Volume }[];
	/** The first `length` bytes of the boot disk, fewer where it ends. */
	diskHead(length: number): Promise<Uint8Array>;
}

/** GPT partition that holds GRUB's second stage on a BIOS machine. */
const biosGrub = "21686148-6449-6e6f-744e-656564454649";

/** What a firmware runs of an MBR; disk signature and partition table follow. */
const bootCode = { at: 0, end: 440 };
const sectorSize = 512;

/** The ways in which the disk can boot, by what lies on it. */
export async function findFirmware(context: BootContext, esp: Esp | undefined): Promise<readonly Firmware[]> {
	const volumes = context.volumes.map(({ volume }) => volume);
	const found: Firmware[] = [];
	if (bootsFromBios(volumes, await context.diskHead(2 * sectorSize))) found.push("bios");
	if (esp && esp.loaders.length > 0) found.push("uefi");
	return found;
}

function bootsFromBios(volumes: readonly Volume[], diskHead: Uint8Array): boolean {
	const signed = diskHead[510] === 0x55 && diskHead[511] === 0xaa;
	if (!signed || !hasData(diskHead.subarray(bootCode.at, bootCode.end))) return false;
	if (volumes.some(({ bootable, type }) => bootable || type === biosGrub)) return true;
	// GRUB's second stage follows the MBR, in the gap before the first partition.
	return volumes.some(({ scheme }) => scheme === "mbr") && hasData(diskHead.subarray(sectorSize, 2 * sectorSize));
}

const hasData = (bytes: Uint8Array) => bytes.some((byte) => byte !== 0);

/** Vendors put their loaders into a folder of their own; nothing that matters lies deeper. */
const deepest = 3;
const mostFolders = 200;

/** The EFI system partition, where one is mounted and has an EFI folder. */
export async function findEsp(tree: GuestTree, arch: string): Promise<Esp | undefined> {
	for (const mount of ["/boot/efi", "/efi", "/boot"]) {
		const filesystem = tree.mounts.find((candidate) => candidate.mount === mount)?.filesystem;
		if (!filesystem?.kind.startsWith("fat")) continue;
		const folder = (await tree.list(mount)).find(({ name, type }) => type === "directory" && /^efi$/i.test(name));
		if (folder === undefined && mount === "/boot") continue;
		const loaders = folder ? await findLoaders(tree, `${mount}/${folder.name}`) : [];
		const programs: { readonly path: string; readonly program: Program }[] = [];
		for (const path of loaders.slice(0, mostPrograms)) programs.push({ path, program: await readProgram(tree, path) });
		const signed = programs.filter(({ program }) => program.signed).map(({ path }) => path);
		return { mount, fallback: hasFallback(programs, mount, arch), loaders, signed };
	}
	return undefined;
}

async function findLoaders(tree: GuestTree, top: string): Promise<readonly string[]> {
	const loaders: string[] = [];
	const pending = [{ path: top, depth: 1 }];
	let folders = 0;
	for (let next = pending.shift(); next !== undefined && folders < mostFolders; next = pending.shift()) {
		folders++;
		for (const { name, type } of await tree.list(next.path)) {
			const path = `${next.path}/${name}`;
			if (type === "directory" && next.depth < deepest) pending.push({ path, depth: next.depth + 1 });
			else if (type === "file" && /\.efi$/i.test(name)) loaders.push(path);
		}
	}
	return loaders;
}

const mostPrograms = 100;
/** Bytes; https://github.com/rhboot/shim/blob/main/SBAT.md */
const longestSbat = 4096;

interface Program {
	readonly signed: boolean;
	readonly isShim: boolean;
}

async function readProgram(tree: GuestTree, path: string): Promise<Program> {
	const image = await attempt([], async () => readPe(await tree.open(path)));
	const sbat = image?.sections.get(".sbat");
	const text = sbat && (await attempt([], () => readUpTo(sbat, 0, longestSbat)));
	return { signed: image?.signed ?? false, isShim: /^shim,/m.test(new TextDecoder().decode(text)) };
}

/** What the firmware starts by itself is there, and if it is shim, so is what that starts. */
function hasFallback(
	programs: readonly { readonly path: string; readonly program: Program }[],
	mount: string,
	arch: string,
): boolean {
	const folder = `${mount}/efi/boot/`.toLowerCase();
	const beside = new Map(programs.map(({ path, program }) => [path.toLowerCase(), program]));
	const first = beside.get(folder + fallbackName(arch));
	return first !== undefined && (!first.isShim || startedByShim(arch).some((name) => beside.has(folder + name)));
}
