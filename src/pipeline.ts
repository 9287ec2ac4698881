import { AnyvisorError, refused, unsupported } from "./bytes/errors.js";
import { type ByteSource, isStore, readUpTo } from "./bytes/source.js";
import type { Disk } from "./disk/disk.js";
import { editable } from "./disk/overlay.js";
import { interfaceSentence } from "./driver/interface-reasons.js";
import { judgeInterfaces } from "./driver/interfaces.js";
import { judge } from "./driver/judge.js";
import type { InterfaceVerdict, Verdict } from "./driver/verdict.js";
import type { Filesystem } from "./filesystem/filesystem.js";
import { openFilesystem, type Recognised, recogniseUnsupported } from "./filesystem/registry.js";
import type { GuestTree } from "./filesystem/tree.js";
import type { LinuxGuest } from "./guest/guest.js";
import { assembleTree, findVolume, namedByGuest } from "./guest/mounts.js";
import { detectGuest } from "./guest/registry.js";
import type { Hypervisor } from "./hypervisor/hypervisor.js";
import { inspection } from "./inspection.js";
import type { Inspection } from "./inspection-schema.js";
import { inferMachine } from "./machine/infer.js";
import type { Firmware, Machine } from "./machine/machine.js";
import { type Overrides, overridden } from "./machine/override.js";
import {
	assertEditable,
	type Change,
	type EditorOf,
	ExternalEditing,
	itsOwn,
	namesThatChange,
	plan,
	type Rule,
	withNetworkChanges,
} from "./prepare/index.js";
import type { Keys } from "./volume/assembly.js";
import { assembleVolumes, readVolumes } from "./volume/registry.js";
import type { Volume } from "./volume/volume.js";

/** A virtual machine as it was handed over: its hardware and its disks. */
export interface Vm {
	/** For messages and documents: the path or URL as the user gave it. */
	readonly name: string;
	/** Bytes of the file that was named. */
	readonly size: number;
	/** What it is: a descriptor's format, `ova`, or `disk`. */
	readonly kind: string;
	/** `undefined` where there is only a disk: it is inferred from the guest. */
	readonly described: Machine | undefined;
	readonly disks: readonly Disk[];
	/** For volumes that are encrypted. */
	readonly keys?: Keys;
	/** What is wanted otherwise than described. */
	readonly overrides?: Overrides;
}

/** What the disks of a VM are read with. */
type Readable = Pick<Vm, "disks" | "keys">;

/** A volume of one of the disks, or one that was assembled from such, and what is on it. */
export interface FoundVolume {
	/** Index into {@link Vm.disks}; of an assembled volume, the disk of its first part. */
	readonly disk: number;
	readonly volume: Volume;
	readonly filesystem: Filesystem | undefined;
	/** Contents that are known but cannot be read. */
	readonly recognised: Recognised | undefined;
	/** As in `/dev/disk/by-uuid`; empty where there is none. */
	readonly uuid: string;
	/** Why a file system that is there could not be opened. */
	readonly problem: AnyvisorError | undefined;
}

/** A volume, and where the guest's own fstab mounts it. */
export type MountedVolume = FoundVolume & { readonly mount: string | undefined };

/** What the disks hold. */
export interface Contents {
	readonly volumes: readonly MountedVolume[];
	readonly tree: GuestTree;
	readonly guest: LinuxGuest;
}

/** How a guest would fare on one hypervisor, and what would have to be done for it. */
export interface Judgement {
	readonly hypervisor: Hypervisor;
	readonly verdict: Verdict;
	/** What becomes of the interfaces that the guest configures. */
	readonly interfaces: readonly ToldInterface[];
	readonly changes: readonly Change[];
}

/** An interface as it will fare, and as it will once the guest is prepared. */
interface ToldInterface extends InterfaceVerdict {
	readonly prepared: InterfaceVerdict["state"];
	/** A sentence or two for a person. */
	readonly text: string;
}

/** read its disks -> find volumes -> read file systems -> recognise the guest */
export async function look(vm: Readable & Pick<Vm, "name">): Promise<Contents> {
	const { volumes, tree, failure } = await lookAtFiles(vm);
	if (failure) throw failure;
	const boot = vm.disks[0];
	const diskHead = (length: number) => (boot ? readUpTo(boot, 0, length) : Promise.resolve(new Uint8Array()));
	const guest = await detectGuest(tree, { volumes, diskHead });
	if (!tree || !guest) throw nothingFound(vm.name, volumes);
	const problems = [
		...guest.problems,
		...namesThatChange({ guest, stableName: (...asked) => stableName(volumes, ...asked) }),
	];
	return { tree, guest: { ...guest, problems }, volumes };
}

export interface Files {
	readonly volumes: readonly MountedVolume[];
	/** Undefined where no volume holds a system. */
	readonly tree: GuestTree | undefined;
	/** Why that may be: one that cannot be read. */
	readonly failure: AnyvisorError | undefined;
}

/** The first half of {@link look}. */
export async function lookAtFiles(vm: Readable): Promise<Files> {
	const volumes = await findVolumes(vm);
	const { result: tree, problem: failure } = await attempt(() => assembleTree(volumes));
	const named = tree ? await namedByGuest(volumes, tree) : volumes;
	const mounted = named.map((found) => Object.assign(found, { mount: tree && mountOf(found, tree) }));
	return { volumes: mounted, tree, failure };
}

/** Where a volume is mounted, or the first of its subvolumes, which all have its UUID. */
function mountOf({ filesystem }: FoundVolume, { mounts }: GuestTree): string | undefined {
	return mounts.find((candidate) => isOn(filesystem, candidate.filesystem))?.mount;
}

/** Whether `mounted` is on the volume that `filesystem` was found on. */
const isOn = (filesystem: Filesystem | undefined, mounted: Filesystem) =>
	mounted === filesystem || (filesystem?.subvolume !== undefined && mounted.uuid === filesystem.uuid);

async function findVolumes({ disks, keys }: Readable): Promise<FoundVolume[]> {
	const partitions: Volume[] = [];
	const diskOf = new Map<Volume, number>();
	for (const [index, disk] of disks.entries()) {
		for (const volume of await readVolumes(disk, disk.sectorSize)) {
			partitions.push(volume);
			diskOf.set(volume, index);
		}
	}
	const { volumes, used, problems } = await assembleVolumes(partitions, keys);
	for (const volume of volumes) diskOf.set(volume, diskOf.get(volume.assembled?.from[0] ?? volume) ?? 0);
	const found: FoundVolume[] = [];
	const whole = [...partitions, ...volumes].filter((volume) => !used.has(volume)).map(({ source }) => source);
	/** Volumes of a file system that was found on another one. */
	const taken = new Set<ByteSource>();
	for (const volume of [...partitions, ...volumes]) {
		// A member of a mirror looks like the whole.
		const isPart = used.has(volume) || taken.has(volume.source);
		const opened = isPart ? {} : await attempt(() => openFilesystem(volume.source, whole));
		const filesystem = opened.result;
		for (const device of filesystem?.devices ?? []) taken.add(device);
		const recognised = filesystem ? undefined : (await attempt(() => recogniseUnsupported(volume.source))).result;
		const problem = problems.get(volume) ?? opened.problem;
		const uuid = (filesystem ?? recognised)?.uuid ?? "";
		found.push({ disk: diskOf.get(volume) ?? 0, volume, filesystem, recognised, uuid, problem });
	}
	return found;
}

/** One damaged volume does not hide the system on another; it is told if no system is found. */
async function attempt<T>(action: () => Promise<T>): Promise<{ result?: T; problem?: AnyvisorError }> {
	try {
		return { result: await action() };
	} catch (error) {
		if (!(error instanceof AnyvisorError)) throw error;
		return { problem: error };
	}
}

function nothingFound(name: string, volumes: readonly FoundVolume[]): AnyvisorError {
	const problem = volumes.find((found) => found.problem)?.problem;
	if (problem) return problem;
	const contents = volumes.map(({ volume, filesystem, recognised }) => {
		const [device] = volume.assembled?.devices ?? [];
		const where = device ?? (volume.number === 0 ? "the disk" : `partition ${volume.number}`);
		return `${where}: ${filesystem?.kind ?? recognised?.name ?? "nothing known"}`;
	});
	const list = contents.length === 0 ? "it has no partitions" : contents.join(", ");
	if (volumes.some(({ recognised }) => recognised?.name.startsWith("LUKS"))) {
		return refused(`${name} is encrypted (${list})`, {
			file: name,
			hint: "Give its passphrase or key: --key-file <file>, or --key-fd <descriptor>.",
		});
	}
	return unsupported(`No operating system that Anyvisor knows was found on ${name} (${list})`, {
		file: name,
		hint: "Anyvisor reads Linux guests on ext2/3/4, XFS, Btrfs and FAT. If this is one, check that the right file was named.",
	});
}

/** The machine that was described, or the one that the guest calls for. */
export function machineOf(vm: Vm, guest: LinuxGuest): Machine {
	const [disk] = vm.disks;
	const machine =
		vm.described ??
		inferMachine({
			name: vm.name.replace(/^.*[\\/]/, "").replace(/\.[^.]*$/, ""),
			capacity: disk?.size ?? 0,
			firmware: guest.firmware,
			arch: guest.arch,
		});
	return overridden(machine, vm.overrides ?? {});
}

/** The machine with the identity and the firmware that it will have there. */
export function machineOn(vm: Vm, guest: LinuxGuest, hypervisor: Hypervisor): Machine {
	const machine = machineOf(vm, guest);
	const firmware = firmwareFor(vm, guest, hypervisor) ?? machine.firmware;
	return { ...(vm.overrides?.identity?.of(hypervisor.family, machine) ?? machine), firmware };
}

/** judge its drivers against every hypervisor; nothing is booted, nothing is written */
export async function judgeAll(
	vm: Vm,
	contents: Contents,
	hypervisors: readonly Hypervisor[],
): Promise<readonly Judgement[]> {
	const judgements: Judgement[] = [];
	for (const hypervisor of hypervisors) {
		judgements.push({ hypervisor, ...(await judgeOne(vm, contents, hypervisor)) });
	}
	return judgements;
}

async function judgeOne(vm: Vm, contents: Contents, hypervisor: Hypervisor): Promise<Omit<Judgement, "hypervisor">> {
	const verdict = judgeMachine(vm, contents.guest, hypervisor);
	const interfaces = (changes: readonly Change[]) => tellInterfaces(vm, contents.guest, hypervisor, verdict, changes);
	try {
		const changes = await planFor(vm, contents, [hypervisor]);
		// Of what was opened for reading only, nobody can say.
		if (vm.disks.every(isStore)) await assertEditable(changes, contents.tree, editorsOf(contents, somebody));
		return { verdict, changes, interfaces: interfaces(changes) };
	} catch (error) {
		// A guest that cannot be prepared, for want of an editor of its file system for example, can still be judged.
		if (!(error instanceof AnyvisorError)) throw error;
		const { reasons } = verdict;
		const judged: Verdict =
			verdict.verdict === "fixable"
				? { ...verdict, verdict: "blocked", reasons: [error.message, ...reasons] }
				: { ...verdict, reasons: [...reasons, error.message] };
		return { verdict: judged, changes: [], interfaces: interfaces([]) };
	}
}

function tellInterfaces(
	vm: Vm,
	guest: LinuxGuest,
	hypervisor: Hypervisor,
	verdict: Verdict,
	changes: readonly Change[],
): readonly ToldInterface[] {
	const { nics } = machineOn(vm, guest, hypervisor);
	const after = judgeInterfaces(withNetworkChanges(guest, changes), nics, hypervisor, verdict);
	return judgeInterfaces(guest, nics, hypervisor, verdict).map((before, i) => {
		const told = { prepared: after[i]?.state ?? before.state, text: interfaceSentence(before, after[i], hypervisor) };
		return Object.assign(told, before);
	});
}

/** The whole of `anyvisor inspect`, as a document. */
export async function inspect(vm: Vm, hypervisors: readonly Hypervisor[]): Promise<Inspection> {
	// What could be edited shows in a copy that could be.
	const copy = { ...vm, disks: vm.disks.map(editable) };
	const contents = await look(copy);
	return inspection(vm, machineOf(vm, contents.guest), contents, await judgeAll(copy, contents, hypervisors));
}

/** What the guest lacks to run on all of `targets`, as data. */
export function planFor(
	vm: Vm,
	{ guest, tree, volumes }: Contents,
	targets: readonly Hypervisor[],
	skip?: ReadonlySet<Rule>,
	also?: ReadonlySet<Rule>,
): Promise<readonly Change[]> {
	const { nics } = machineOf(vm, guest);
	const nicsOn = (hypervisor: Hypervisor) => machineOn(vm, guest, hypervisor).nics;
	return plan(
		{ guest, tree, nics, nicsOn, targets, stableName: (...asked) => stableName(volumes, ...asked) },
		skip,
		also,
	);
}

/** A copied partition has the UUID of the original: it then names neither of them, and which one answers is chance. */
function stableName(volumes: readonly FoundVolume[], device: string, byKernel = false): string | undefined {
	const found = findVolume(device, volumes);
	if (found === undefined) return undefined;
	const alone = (name: (one: FoundVolume) => string | undefined) =>
		volumes.filter((one) => name(one)?.toLowerCase() === name(found)?.toLowerCase()).length === 1;
	if (!byKernel && found.uuid !== "" && alone(({ uuid }) => uuid)) return `UUID=${found.uuid}`;
	const { partUuid } = found.volume;
	return partUuid && alone(({ volume }) => volume.partUuid) ? `PARTUUID=${partUuid}` : undefined;
}

/** Stands for whoever will edit in the end. */
const somebody = new ExternalEditing(() => Promise.resolve());

export function editorsOf({ volumes }: Contents, editing: ExternalEditing | undefined): EditorOf {
	return (filesystem) => {
		// What a kernel cannot mount, or would have to repair first, is not for others either.
		if (filesystem.edit && filesystem.editRefusal?.kind !== "unsupported") return itsOwn(filesystem);
		const store = volumes.find((found) => isOn(found.filesystem, filesystem))?.volume.source;
		const external = store && isStore(store) ? editing?.editorFor(filesystem, store) : undefined;
		return external ?? itsOwn(filesystem);
	};
}

/**
 * What was asked for; else the machine's own firmware where the hypervisor has it and the guest boots by it; the
 * hypervisor's choice otherwise, and `undefined` where they have none in common.
 */
function firmwareFor(vm: Vm, guest: LinuxGuest, hypervisor: Hypervisor): Firmware | undefined {
	const wanted = vm.overrides?.firmware;
	if (wanted !== undefined) return wanted;
	const { firmware } = machineOf(vm, guest);
	const usable = hypervisor.firmware.filter((one) => guest.firmware.includes(one));
	return usable.includes(firmware) ? firmware : usable[0];
}

/** The verdict on the machine as it would be attached there. */
export function judgeMachine(vm: Vm, guest: LinuxGuest, hypervisor: Hypervisor): Verdict {
	const firmware = firmwareFor(vm, guest, hypervisor);
	return judge(guest, hypervisor, firmware ? { firmware } : {});
}
