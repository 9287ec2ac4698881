import type { GuestTree } from "../../../filesystem/tree.js";
import type { LinuxKernel } from "../../guest.js";
import { attempt } from "../attempt.js";
import { readAddOn, type UnifiedKernel } from "./uki.js";

/** Version from which on systemd-stub takes an initramfs from add-ons. https://github.com/systemd/systemd/pull/34680 */
export const firstWithInitrds = 257;

const mostAddOns = 100;

export const isAddOn = (path: string): boolean => /\.addon\.efi$/i.test(path);

/** The folder of a unified kernel image's own companions; `undefined` where its name counts boots, and will change. */
export const companionFolder = (image: string): string | undefined =>
	/\+\d+(?:-\d+)?\.efi$/i.test(image) ? undefined : `${image}.extra.d`;

/** Can systemd-stub of that version be handed more of an initramfs? */
export const takesInitrds = (stub: string): boolean => Number.parseInt(stub, 10) >= firstWithInitrds;

/**
 * Add-ons that hand the kernel of an image more of an initramfs, in the order in which they are unpacked after its own.
 * One that is not signed is left out by the stub where Secure Boot is enforced, which the disk does not say.
 * https://www.freedesktop.org/software/systemd/man/latest/systemd-stub.html#Companion%20Files
 */
export async function findInitrdAddOns(
	tree: GuestTree,
	path: string,
	{ stub, release }: Pick<UnifiedKernel, "stub" | "release">,
): Promise<readonly string[]> {
	if (!takesInitrds(stub)) return [];
	const partition = (await tree.resolve(path))?.mount;
	const own = companionFolder(path);
	const folders = [
		...(partition === undefined ? [] : [`${partition === "/" ? "" : partition}/loader/addons`]),
		...(own === undefined ? [] : [own]),
	];
	const found: string[] = [];
	for (const folder of folders) {
		const names = (await tree.listIfExists(folder)).map(({ name }) => name).filter(isAddOn);
		for (const name of names.sort().slice(0, mostAddOns)) {
			const addOn = await attempt([], async () => readAddOn(await tree.open(`${folder}/${name}`)));
			if (addOn?.initrd && (addOn.release === "" || addOn.release === release)) found.push(`${folder}/${name}`);
		}
	}
	return found;
}

/** Where one more add-on for that kernel goes, so that it is unpacked after what is there; `undefined` where none is taken. */
export function nextAddOn({ image, uki, initramfs }: Pick<LinuxKernel, "image" | "uki" | "initramfs">) {
	const folder = uki && takesInitrds(uki.stub) ? companionFolder(image) : undefined;
	if (folder === undefined || initramfs === undefined) return undefined;
	const numbers = [...initramfs.before, initramfs.path].map((path) =>
		Number(/\.extra\.d\/anyvisor-(\d)\.addon\.efi$/.exec(path)?.[1] ?? 0),
	);
	const number = 1 + Math.max(...numbers);
	return number > 9 ? undefined : `${folder}/anyvisor-${number}.addon.efi`;
}
