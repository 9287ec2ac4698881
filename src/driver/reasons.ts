import type { LinuxGuest, LinuxKernel } from "../guest/guest.js";
import { fallbackCopies, fallbackName } from "../guest/linux/esp-fallback.js";
import { companionFolder, firstWithInitrds, isAddOn, takesInitrds } from "../guest/linux/uki/add-ons.js";
import { isSealed, type JudgedDevice, type NeededDriver } from "./judge-device.js";
import type { Verdict } from "./verdict.js";

/** Sentences about the disks and NICs that a package would attach, most preferred first. */

export function bootsFrom({ model, drivers, verdict }: JudgedDevice, { version }: LinuxKernel): string {
	const own = drivers.find((driver) => driver.for === "device");
	const where = own?.state === "builtin" ? "built into" : "in the initramfs of";
	return `Boots from ${model.title}: its driver ${verdict.driver} is ${where} ${version}.`;
}

/** `preferred` are the disks that a package would rather attach than the one that works. */
export function betterDisk(preferred: readonly JudgedDevice[]): string[] {
	const better = preferred.find(({ fixable }) => fixable);
	return better === undefined
		? []
		: [`Once prepared it boots from ${better.model.title}, which is the better disk there.`];
}

/** The emulated disk that the guest could be started from before it is prepared. */
export function alreadyBoots(emulated: JudgedDevice | undefined): string[] {
	return emulated === undefined ? [] : [`Unprepared it boots from ${emulated.model.title} only.`];
}

export function fixableDisk({ model, drivers, verdict }: JudgedDevice, { version }: LinuxKernel): string {
	const culprit = drivers.find(({ state }) => state === "installed");
	const consequence = culprit?.for === "root" ? "would not mount its root" : "would not find its root disk";
	if (verdict.note !== undefined) return `${verdict.note} The kernel ${consequence}.`;
	return `${named(culprit, model.title)} is installed but not in the initramfs of ${version}: the kernel ${consequence}.`;
}

function named(driver: NeededDriver | undefined, device: string): string {
	if (driver?.for === "bus") return `The bus driver ${driver.module}, which ${device} sits on,`;
	if (driver?.for === "stack") return `The driver ${driver.module}, which disks of ${device} also need,`;
	if (driver?.for === "root") return `The driver ${driver.module} of the root file system`;
	return `The disk driver ${driver?.module}`;
}

export function blockedDisk(disks: readonly JudgedDevice[], title: string, kernel: LinuxKernel): string[] {
	const { version } = kernel;
	const untrapped = disks.filter(({ trapped }) => !trapped);
	const modular = untrapped.find(({ verdict }) => verdict.state === "installed");
	const absent = untrapped.filter(({ verdict }) => verdict.state === "absent");
	const rootless = absent.find(({ drivers }) =>
		drivers.every((driver) => driver.state !== "absent" || driver.for === "root"),
	);
	const reasons: string[] = [];
	if (modular !== undefined) {
		const culprit = modular.drivers.find(({ state }) => state === "installed");
		reasons.push(`${named(culprit, modular.model.title)} is a module, and ${noInitramfs(kernel)}`);
	}
	if (rootless !== undefined) reasons.push(`The kernel ${version} has no driver for the root file system.`);
	else if (absent.length > 0) reasons.push(`The kernel ${version} has no driver for ${either(absent)} of ${title}.`);
	reasons.push(...new Set(disks.flatMap(({ trapped, verdict }) => (trapped ? (verdict.note ?? []) : []))));
	if (disks.length === 0) reasons.push(`${title} has no disk that could be booted from with this firmware.`);
	return reasons;
}

/** A sentence where nobody can say how the init in the initramfs finds its drivers. */
export function unknownGeneratorReason({ initramfs }: LinuxKernel): string[] {
	if (initramfs?.generator !== "unknown") return [];
	return [
		`What made ${initramfs.path} is not known: its drivers are judged as if its init loaded them by their aliases.`,
	];
}

function noInitramfs({ version, image, initramfs, uki }: LinuxKernel): string {
	if (initramfs === undefined) return `${version} has no initramfs that it could be loaded from.`;
	const stub = uki?.stub ? `systemd-stub ${uki.stub}` : "a stub that is not systemd's";
	const why = takesInitrds(uki?.stub ?? "")
		? "its name counts boots, so that no add-on can be put beside it"
		: `it starts with ${stub}, while systemd-stub takes add-ons with drivers from version ${firstWithInitrds} on`;
	return `the initramfs of ${version} lacks it and is part of the unified kernel image ${image}, to which nothing can be appended; ${why}. Rebuild the image in the guest with this driver in its initramfs (dracut, mkinitcpio or ukify), and sign it again where it was signed.`;
}

export function networkReason(
	nic: JudgedDevice | undefined,
	nics: readonly JudgedDevice[],
	{ version }: LinuxKernel,
): string {
	if (nic !== undefined) return `Its network card is ${nic.model.title}, with the driver ${nic.verdict.driver}.`;
	const absent = nics.filter(({ trapped }) => !trapped);
	const why = absent.length > 0 ? [`the kernel ${version} has no driver for ${either(absent)}`] : [];
	const notes = nics.flatMap(({ verdict }) => verdict.note ?? []);
	return [`It boots, but without network${why.length > 0 ? `: ${why.join()}` : ""}.`, ...new Set(notes)].join(" ");
}

/** A sentence when what the package would attach rests on facts that nobody has verified. */
export function unverifiedReason(chosen: readonly JudgedDevice[]): string[] {
	const facts = chosen.filter(({ model }) => !model.verified);
	if (facts.length === 0) return [];
	const sources = new Set(facts.map(({ model }) => model.source));
	return [
		`Not verified: that ${all(facts)} ${facts.length === 1 ? "is" : "are"} offered (${[...sources].join("; ")}).`,
	];
}

const either = (devices: readonly JudgedDevice[]) => list(devices, "or");
const all = (devices: readonly JudgedDevice[]) => list(devices, "and");

function list(devices: readonly JudgedDevice[], joint: string): string {
	const titles = devices.map(({ model }) => model.title);
	const last = titles.pop() ?? "";
	return titles.length === 0 ? last : `${titles.join(", ")} ${joint} ${last}`;
}

/** What stands in the way of a firmware that knows no boot entry of the guest, as that of a new machine. */
export function missingLoader(
	guest: LinuxGuest,
	title: string,
): { readonly verdict: "fixable" | "blocked"; readonly reason: string } | undefined {
	if (!guest.esp || guest.esp.fallback || guest.arch === "unknown") return undefined;
	const lacks = `A new machine of ${title} knows no boot entry of the guest and starts EFI/BOOT/${fallbackName(guest.arch).toUpperCase()}, which is not there or lacks what it starts`;
	return fallbackCopies(guest).length > 0
		? { verdict: "fixable", reason: `${lacks}; the guest's own loader can be copied there.` }
		: { verdict: "blocked", reason: `${lacks}, and no loader that could take its place was found on the ESP.` };
}

/** What an add-on to a unified kernel image means, where drivers are in one or will be. */
export function addOnReason(kernel: LinuxKernel, verdict: Verdict["verdict"]): string[] {
	const { initramfs, uki, image } = kernel;
	const there = initramfs !== undefined && isAddOn(initramfs.path);
	if (!uki || !(there || (verdict === "fixable" && isSealed(kernel)))) return [];
	return [
		`Its initramfs is inside the unified kernel image ${image}: drivers come in an add-on beside it (${companionFolder(image)}), which is not signed. With Secure Boot enforced it is ignored and the guest does not find its root: sign it with a key that the machine trusts, or switch Secure Boot off. A disk key that is sealed to TPM PCR 12 has to be enrolled anew.`,
	];
}

/** What preparing means for a chain of signatures, where there is one. */
export function secureBootReason({ esp }: LinuxGuest): string[] {
	return esp === undefined || esp.signed.length === 0
		? []
		: [
				"Its loaders are signed for Secure Boot, which verifies loaders and kernel but no initramfs in a file of its own: drivers can be added. A disk key that is sealed to the initramfs (TPM PCR 9) has to be enrolled anew.",
			];
}
