import { AnyvisorError } from "../bytes/errors.js";
import type { LinuxGuest, LinuxKernel } from "../guest/guest.js";
import type { Attachments, Hypervisor } from "../hypervisor/hypervisor.js";
import type { Firmware } from "../machine/machine.js";
import { isSealed, type JudgedDevice, judgeDevice, rootFilesystemOf } from "./judge-device.js";
import { driversOf } from "./kernel-drivers.js";
import {
	addOnReason,
	alreadyBoots,
	betterDisk,
	blockedDisk,
	bootsFrom,
	fixableDisk,
	missingLoader,
	networkReason,
	secureBootReason,
	unknownGeneratorReason,
	unverifiedReason,
} from "./reasons.js";
import type { Verdict } from "./verdict.js";

export interface JudgeOptions {
	/** Version of an installed kernel; absent: the one that boots by default. */
	readonly kernel?: string;
	/** Absent: the hypervisor's preferred one of those that the guest's disk can boot with. */
	readonly firmware?: Firmware;
}

/**
 * Says whether the guest boots on the hypervisor, and if not what stands in the way, without booting it: each device's
 * modalias is looked up in the guest's own tables and its driver in the kernel, the initramfs, and /lib/modules.
 */
export function judge(guest: LinuxGuest, hypervisor: Hypervisor, options: JudgeOptions = {}): Verdict {
	const version = options.kernel ?? guest.defaultKernel;
	const kernel = guest.kernels.find((one) => one.version === version);
	const { id, title } = hypervisor;
	if (kernel === undefined) {
		const what =
			guest.kernels.length === 0 ? "The guest has no installed kernel." : `The guest has no kernel ${version}.`;
		return { hypervisor: id, title, verdict: "blocked", devices: [], reasons: [what] };
	}

	try {
		return judgeKernel(guest, kernel, hypervisor, options.firmware);
	} catch (error) {
		// An index of modules is looked into no further than it has to be: only here it shows that it is broken.
		if (!(error instanceof AnyvisorError)) throw error;
		return { hypervisor: id, title, verdict: "blocked", devices: [], reasons: [error.message] };
	}
}

function judgeKernel(
	guest: LinuxGuest,
	kernel: LinuxKernel,
	hypervisor: Hypervisor,
	wanted: Firmware | undefined,
): Verdict {
	const { id, title } = hypervisor;
	const { firmware, reason } = chooseFirmware(guest, hypervisor, wanted);
	const lookup = driversOf(kernel);
	const root = rootFilesystemOf(guest);
	const judged = hypervisor.devices
		.filter((model) => model.firmware === undefined || model.firmware === firmware)
		.map((model) => judgeDevice(model, kernel, lookup, root));

	const environments = [hypervisor.boot, ...(hypervisor.also ?? [])].map((attachments) =>
		judgeEnvironment(attachments, judged, hypervisor, kernel),
	);
	const chosen = new Set(environments.flatMap(({ chosen }) => chosen));
	const obstacles = [...archReason(guest, hypervisor), ...reason];
	const loader = firmware === "uefi" ? missingLoader(guest, title) : undefined;
	const verdict =
		obstacles.length > 0
			? "blocked"
			: environments.map(({ verdict }) => verdict).reduce(worseVerdict, loader?.verdict ?? "ready");
	return {
		hypervisor: id,
		title,
		verdict,
		devices: judged.map((device) => ({ ...device.verdict, chosen: chosen.has(device) })),
		reasons: [
			...obstacles,
			...(loader ? [loader.reason] : []),
			// The environment that decides speaks first.
			...environments
				.toSorted((one, other) => verdicts.indexOf(other.verdict) - verdicts.indexOf(one.verdict))
				.flatMap(({ reasons }) => reasons),
			...(verdict === "fixable" && firmware === "uefi" && !isSealed(kernel) ? secureBootReason(guest) : []),
			...addOnReason(kernel, verdict),
			...unverifiedReason(judged.filter((device) => chosen.has(device))),
			...unknownGeneratorReason(kernel),
			...kernel.problems,
		],
	};
}

/** A verdict for each of the hypervisors. */
export function judgeAll(guest: LinuxGuest, hypervisors: readonly Hypervisor[], options: JudgeOptions = {}): Verdict[] {
	return hypervisors.map((hypervisor) => judge(guest, hypervisor, options));
}

const verdicts: readonly Verdict["verdict"][] = ["ready", "fixable", "blocked"];

function worseVerdict(one: Verdict["verdict"], other: Verdict["verdict"]): Verdict["verdict"] {
	return verdicts.indexOf(one) < verdicts.indexOf(other) ? other : one;
}

interface Environment {
	readonly verdict: Verdict["verdict"];
	/** What the package attaches. */
	readonly chosen: readonly JudgedDevice[];
	readonly reasons: readonly string[];
}

function judgeEnvironment(
	{ disk, fallback = [], network: cards }: Attachments,
	judged: readonly JudgedDevice[],
	{ title }: Hypervisor,
	kernel: LinuxKernel,
): Environment {
	const offered = (ids: readonly string[]) => ids.flatMap((id) => judged.find(({ model }) => model.id === id) ?? []);
	const disks = offered(disk);
	const nics = offered(cards);
	const nic = nics.find(({ verdict }) => verdict.works);
	const emulated = offered(fallback);
	const works = ({ verdict }: JudgedDevice) => verdict.works;
	const fixable = (device: JudgedDevice) => device.fixable;
	const boots = disks.find(works) ?? disks.find(fixable) ?? emulated.find(works) ?? emulated.find(fixable);
	const chosen = [boots, nic].filter((device) => device !== undefined);
	if (boots === undefined) {
		return { verdict: "blocked", chosen, reasons: blockedDisk([...disks, ...emulated], title, kernel) };
	}
	const network = networkReason(nic, nics, kernel);
	if (works(boots)) {
		const better = betterDisk(disks.slice(0, disks.indexOf(boots)));
		return { verdict: "ready", chosen, reasons: [bootsFrom(boots, kernel), ...better, network] };
	}
	const already = alreadyBoots(emulated.find(works));
	return { verdict: "fixable", chosen, reasons: [fixableDisk(boots, kernel), ...already, network] };
}

/** What the guest would boot with there; with a reason when it cannot, and then the hypervisor's own preference. */
function chooseFirmware(
	guest: LinuxGuest,
	{ title, firmware }: Hypervisor,
	wanted: Firmware | undefined,
): { readonly firmware: Firmware | undefined; readonly reason: readonly string[] } {
	const possible = firmware.filter((one) => wanted === undefined || one === wanted);
	const common = possible.find((one) => guest.firmware.includes(one));
	if (common !== undefined) return { firmware: common, reason: [] };
	const offers = `${title} boots ${firmware.map(firmwareName).join(" or ")}`;
	const has =
		guest.firmware.length === 0
			? "no boot loader was found on the guest's disk"
			: `the guest's disk can boot only with ${guest.firmware.map(firmwareName).join(" or ")}`;
	const asked = wanted === undefined || possible.length > 0 ? "" : `, not ${firmwareName(wanted)}`;
	return { firmware: possible[0] ?? firmware[0], reason: [`${offers}${asked}, and ${has}.`] };
}

function firmwareName(firmware: Firmware): string {
	return firmware === "bios" ? "BIOS" : "UEFI";
}

function archReason({ arch }: LinuxGuest, { title, arch: runs }: Hypervisor): string[] {
	// A guest whose programs could not be read is taken to fit.
	return arch === "unknown" || runs.includes(arch)
		? []
		: [`The guest is built for ${arch}; ${title} is modelled for ${runs.join(" and ")}.`];
}
