import { concat } from "./bytes/concat.js";
import { AnyvisorError, refused, unsupported } from "./bytes/errors.js";
import type { ByteSink, OutputFolder } from "./bytes/sink.js";
import { readBytes } from "./bytes/source.js";
import type { Disk } from "./disk/disk.js";
import { editable } from "./disk/overlay.js";
import { sharePass } from "./disk/shared-pass.js";
import { interfaceSentence } from "./driver/interface-reasons.js";
import { judgeInterfaces } from "./driver/interfaces.js";
import type { Verdict } from "./driver/verdict.js";
import { unpackKernel } from "./guest/linux/kernel-image.js";
import type { Hypervisor } from "./hypervisor/hypervisor.js";
import { vmware } from "./hypervisor/vmware.js";
import type { Machine } from "./machine/machine.js";
import { type Contents, editorsOf, judgeMachine, look, machineOn, planFor, type Vm } from "./pipeline.js";
import { apply } from "./prepare/apply.js";
import type { Change, Rule } from "./prepare/change.js";
import type { ExternalEditing } from "./prepare/external-editing.js";
import { withNetworkChanges } from "./prepare/rules/network.js";
import { writeOva } from "./target/ova.js";
import type { Appliance, DirectBoot, LayoutOptions, PlacedLayout } from "./target/target.js";

export interface Prepared {
	/** Its disks are views that hold the changes; the source is as it was. */
	readonly vm: Vm;
	/** Read anew from those disks. */
	readonly contents: Contents;
	readonly changes: readonly Change[];
}

export interface PrepareOptions {
	readonly skip?: ReadonlySet<Rule>;
	/** Rules that do nothing unless they are asked for. */
	readonly also?: ReadonlySet<Rule>;
	/** Time stamp of what is written into the guest, seconds since 1970. */
	readonly now: number;
	/** Edits the file systems that have no editor of their own; without it they cannot be edited. */
	readonly editing?: ExternalEditing;
}

/** prepare what is missing: additively, without running guest code, over a source that stays untouched */
export async function prepare(
	vm: Vm,
	targets: readonly Hypervisor[],
	{ skip, also, now, editing }: PrepareOptions,
): Promise<Prepared> {
	const copy: Vm = { ...vm, disks: vm.disks.map(editable) };
	const contents = await look(copy);
	const changes = await planFor(copy, contents, targets, skip, also);
	if (changes.length === 0) return { vm: copy, contents, changes };
	await apply(changes, contents.guest, contents.tree, now, editorsOf(contents, editing));
	await editing?.finish();
	return { vm: copy, contents: await look(copy), changes };
}

/** Devices that both VMware and VirtualBox offer, that importers of theirs know, and that every guest kernel drives. */
const portable = { disk: "ahci", network: "e1000" } as const;

/** package once: an OVA that imports as it is where OVAs do, and that {@link expand} turns into any other package */
export async function pack(
	prepared: Prepared,
	sink: ByteSink,
	{ now, ...options }: LayoutOptions & { readonly now: number },
): Promise<Machine> {
	const { size, machine } = await writeOva(applianceFor(prepared, vmware, portable, now), sink, options);
	await sink.commit(size);
	return machine;
}

/** One package to write: a layout for a hypervisor, and the folder it goes to. */
export interface Delivery {
	readonly hypervisor: Hypervisor;
	readonly layout: PlacedLayout;
	readonly verdict: Verdict;
	/** Other hypervisors that the same package serves. */
	readonly together?: readonly Pick<Delivery, "hypervisor" | "verdict">[];
}

/** What a user may ask for: a package for a hypervisor, or for several at once. */
export interface Wanted extends Pick<Delivery, "layout"> {
	readonly hypervisors: readonly Hypervisor[];
}

/** What of it the guest can run on; for the other hypervisors, the verdict that says why not. */
export function deliveries(prepared: Prepared, wanted: readonly Wanted[]) {
	const possible: Delivery[] = [];
	const impossible = new Map<Hypervisor, Verdict>();
	const verdicts = new Map<Hypervisor, Verdict>();
	for (const hypervisor of wanted.flatMap(({ hypervisors }) => hypervisors)) {
		if (verdicts.has(hypervisor)) continue;
		verdicts.set(hypervisor, judgeMachine(prepared.vm, prepared.contents.guest, hypervisor));
	}
	for (const { hypervisors, layout } of wanted) {
		const judged = hypervisors.flatMap((hypervisor) => {
			const verdict = verdicts.get(hypervisor);
			return verdict === undefined ? [] : { hypervisor, verdict };
		});
		const [first, ...together] = judged.filter(({ verdict }) => verdict.verdict !== "blocked");
		if (first !== undefined) possible.push({ ...first, layout, together });
		else for (const { hypervisor, verdict } of judged) impossible.set(hypervisor, verdict);
	}
	return { possible, impossible: [...impossible.values()] };
}

/**
 * The device models that the verdict chose. Where what a choice calls for was left out of the preparing, what works as it
 * is.
 *
 * @param assumed what was to be added to the guest is taken to be there
 */
function attachedBy(
	{ hypervisor: { boot }, verdict }: Pick<Delivery, "hypervisor" | "verdict">,
	assumed = false,
): Appliance["attach"] {
	const attached = (role: "disk" | "network", offered: readonly string[]) => {
		const devices = verdict.devices.filter((device) => device.role === role);
		const chosen = devices.find((device) => device.chosen);
		const works = (id: string) => devices.some(({ device, works }) => device === id && works);
		const instead = chosen?.works || assumed ? undefined : offered.find(works);
		return instead ?? chosen?.device ?? offered[0] ?? "";
	};
	return {
		disk: attached("disk", [...boot.disk, ...(boot.fallback ?? [])]),
		network: attached("network", boot.network),
	};
}

/** The prepared machine as `hypervisor` will see it. */
function applianceFor(
	{ vm, contents }: Prepared,
	hypervisor: Hypervisor,
	attach: Appliance["attach"],
	now: number,
	disks: readonly Disk[] = vm.disks,
): Appliance {
	const { guest } = contents;
	const { networks, identity } = vm.overrides ?? {};
	return {
		machine: machineOn(vm, guest, hypervisor),
		disks: identity === undefined ? disks : disks.map((disk) => salted(disk, identity.salt)),
		...(networks && { networks }),
		newIdentity: identity !== undefined,
		attach,
		hypervisor,
		guest: { system: guest.system, id: guest.id, version: guest.version, arch: guest.arch },
		kernel: () => directBoot(contents),
		now,
	};
}

/** Files that are written from it have other ids than those from `disk`. */
const salted = (disk: Disk, salt: string): Disk => ({
	name: disk.name,
	size: disk.size,
	format: disk.format,
	sectorSize: disk.sectorSize,
	salt,
	extents: () => disk.extents(),
	read: (at, into) => disk.read(at, into),
});

/** More than any distribution's, with all drivers. */
const LARGEST_INITRAMFS = 2 ** 30;

/** The kernel that boots by default, for a platform that starts it itself. */
async function directBoot({ guest, tree }: Contents): Promise<DirectBoot> {
	const found = guest.kernels.find(({ version }) => version === guest.defaultKernel);
	if (found === undefined || found.uki) throw unsupported("the guest's kernel is no file of its own");
	const { image, initramfs, cmdline } = found;
	const kernel = await unpackKernel(await tree.open(image));
	if (initramfs === undefined) return { kernel, cmdline };
	const parts: Uint8Array[] = [];
	for (const path of [...initramfs.before, initramfs.path]) {
		const source = await tree.open(path);
		if (source.size > LARGEST_INITRAMFS) throw refused(`${path} has ${source.size} bytes`, { file: path });
		parts.push(await readBytes(source, 0, source.size));
	}
	return { kernel, initramfs: concat(parts), cmdline };
}

/**
 * expand natively: every package in one pass over the disks. No folder appears before all are written.
 *
 * @param folder makes the output folder of a delivery
 * @returns the machine in each package
 */
export async function expand(
	prepared: Prepared,
	all: readonly Delivery[],
	folder: (delivery: Delivery) => Promise<OutputFolder>,
	{ now, signal, ...options }: LayoutOptions & { readonly now: number },
): Promise<ReadonlyMap<Delivery, Machine>> {
	const machines = new Map<Delivery, Machine>();
	const passes = prepared.vm.disks.map((disk) => sharePass(disk, all.length));
	const stop = new AbortController();
	const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
	const folders: OutputFolder[] = [];
	const writeOne = async (delivery: Delivery, i: number) => {
		const disks = passes.flatMap((consumers) => consumers[i] ?? []);
		try {
			const output = await folder(delivery);
			folders.push(output);
			const appliance = applianceOf(prepared, delivery, { now, disks });
			await delivery.layout.write(noting(appliance, delivery, machines), output, { ...options, signal: either });
		} catch (error) {
			stop.abort();
			throw error;
		} finally {
			// Whoever is done, well or badly, no longer holds up the others.
			for (const disk of disks) await disk[Symbol.asyncDispose]?.();
		}
	};
	try {
		const outcomes = await Promise.allSettled(all.map(writeOne));
		const failures = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason as unknown] : []));
		if (failures.length > 0) throw firstCause(failures);
		for (const output of folders) await output.commit();
		return machines;
	} finally {
		for (const output of folders) await output[Symbol.asyncDispose]();
	}
}

/** For all hypervisors that the package serves. */
function applianceOf(
	prepared: Prepared,
	delivery: Delivery,
	{ now, disks, assumed }: { readonly now: number; readonly disks?: readonly Disk[]; readonly assumed?: boolean },
): Appliance {
	const forOne = (each: Pick<Delivery, "hypervisor" | "verdict">) =>
		applianceFor(prepared, each.hypervisor, attachedBy(each, assumed), now, disks);
	return { ...forOne(delivery), together: delivery.together?.map(forOne) ?? [] };
}

const noting = (appliance: Appliance, delivery: Delivery, machines: Map<Delivery, Machine>): Appliance => ({
	...appliance,
	onAttached: (machine) => machines.set(delivery, machine),
});

/**
 * The machine that {@link expand} would put into each package. A layout that is told to stop from the start has made
 * that, and has not begun with the disks.
 */
export async function envisage(prepared: Prepared, all: readonly Delivery[]): Promise<ReadonlyMap<Delivery, Machine>> {
	const machines = new Map<Delivery, Machine>();
	// Nothing was added where another program would have to be started for it.
	const assumed = prepared.changes.some(({ rule }) => rule === "initramfs");
	for (const delivery of all) {
		const appliance = applianceOf(prepared, delivery, { now: 0, assumed });
		try {
			await delivery.layout.write(noting(appliance, delivery, machines), nowhere, { signal: AbortSignal.abort() });
		} catch (error) {
			if (!(error instanceof AnyvisorError && error.kind === "interrupted")) throw error;
		}
	}
	return machines;
}

const nothing = () => Promise.resolve();
/** What is written here is gone. */
const nowhere: OutputFolder = {
	name: "nowhere",
	file: (name) => Promise.resolve({ name, write: nothing, commit: nothing, [Symbol.asyncDispose]: nothing }),
	commit: nothing,
	[Symbol.asyncDispose]: nothing,
};

/** What becomes there of the interfaces that the guest configures, prepared as it is. */
export function interfacesOn({ vm, contents: { guest }, changes }: Prepared, { hypervisor, verdict }: Delivery) {
	const { nics } = machineOn(vm, guest, hypervisor);
	return judgeInterfaces(withNetworkChanges(guest, changes), nics, hypervisor, verdict).map((judged) =>
		Object.assign({ text: interfaceSentence(judged, undefined, hypervisor) }, judged),
	);
}

/** When one package fails the others are stopped: their "interrupted" is not the cause. */
function firstCause(failures: readonly unknown[]): unknown {
	return failures.find((error) => !(error instanceof AnyvisorError && error.kind === "interrupted")) ?? failures[0];
}
