import { AnyvisorError } from "./bytes/errors.js";
import type { ByteSink, OutputFolder } from "./bytes/sink.js";
import type { Disk } from "./disk/disk.js";
import { editable } from "./disk/overlay.js";
import { sharePass } from "./disk/shared-pass.js";
import type { Verdict } from "./driver/verdict.js";
import type { Hypervisor } from "./hypervisor/hypervisor.js";
import { vmware } from "./hypervisor/vmware.js";
import { type Contents, editorsOf, firmwareFor, judgeMachine, look, machineOf, planFor, type Vm } from "./pipeline.js";
import { apply } from "./prepare/apply.js";
import type { Change, Rule } from "./prepare/change.js";
import type { ExternalEditing } from "./prepare/external-editing.js";
import { writeOva } from "./target/ova.js";
import type { Appliance, LayoutOptions, PlacedLayout } from "./target/target.js";

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
): Promise<void> {
	const { size } = await writeOva(applianceFor(prepared, vmware, portable, now), sink, options);
	await sink.commit(size);
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
	for (const { hypervisors, layout } of wanted) {
		const judged = hypervisors.map((hypervisor) => ({
			hypervisor,
			verdict: judgeMachine(prepared.vm, prepared.contents.guest, hypervisor),
		}));
		const [first, ...together] = judged.filter(({ verdict }) => verdict.verdict !== "blocked");
		if (first !== undefined) possible.push({ ...first, layout, together });
		else for (const { hypervisor, verdict } of judged) impossible.set(hypervisor, verdict);
	}
	return { possible, impossible: [...impossible.values()] };
}

/**
 * The device models that the verdict chose. Where what a choice calls for was left out of the preparing, what works as it
 * is.
 */
function attachedBy({ hypervisor: { boot }, verdict }: Pick<Delivery, "hypervisor" | "verdict">): Appliance["attach"] {
	const attached = (role: "disk" | "network", offered: readonly string[]) => {
		const devices = verdict.devices.filter((device) => device.role === role);
		const chosen = devices.find((device) => device.chosen);
		const works = (id: string) => devices.some(({ device, works }) => device === id && works);
		const instead = chosen?.works ? undefined : offered.find(works);
		return instead ?? chosen?.device ?? offered[0] ?? "";
	};
	return {
		disk: attached("disk", [...boot.disk, ...(boot.fallback ?? [])]),
		network: attached("network", boot.network),
	};
}

/** The prepared machine as `hypervisor` will see it. */
function applianceFor(
	{ vm, contents: { guest } }: Prepared,
	hypervisor: Hypervisor,
	attach: Appliance["attach"],
	now: number,
	disks: readonly Disk[] = vm.disks,
): Appliance {
	const machine = machineOf(vm, guest);
	return {
		machine: { ...machine, firmware: firmwareFor(machine, guest, hypervisor) ?? machine.firmware },
		disks,
		attach,
		hypervisor,
		guest: { system: guest.system, id: guest.id, version: guest.version, arch: guest.arch },
		now,
	};
}

/**
 * expand natively: every package in one pass over the disks. No folder appears before all are written.
 *
 * @param folder makes the output folder of a delivery
 */
export async function expand(
	prepared: Prepared,
	all: readonly Delivery[],
	folder: (delivery: Delivery) => Promise<OutputFolder>,
	{ now, signal, ...options }: LayoutOptions & { readonly now: number },
): Promise<void> {
	const passes = prepared.vm.disks.map((disk) => sharePass(disk, all.length));
	const stop = new AbortController();
	const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
	const folders: OutputFolder[] = [];
	const writeOne = async (delivery: Delivery, i: number) => {
		const disks = passes.flatMap((consumers) => consumers[i] ?? []);
		try {
			const output = await folder(delivery);
			folders.push(output);
			const forOne = (each: Pick<Delivery, "hypervisor" | "verdict">) =>
				applianceFor(prepared, each.hypervisor, attachedBy(each), now, disks);
			const appliance = { ...forOne(delivery), together: delivery.together?.map(forOne) ?? [] };
			await delivery.layout.write(appliance, output, { ...options, signal: either });
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
	} finally {
		for (const output of folders) await output[Symbol.asyncDispose]();
	}
}

/** When one package fails the others are stopped: their "interrupted" is not the cause. */
function firstCause(failures: readonly unknown[]): unknown {
	return failures.find((error) => !(error instanceof AnyvisorError && error.kind === "interrupted")) ?? failures[0];
}
