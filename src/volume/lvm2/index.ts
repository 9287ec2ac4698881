import { AnyvisorError } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import type { VolumeAssembly } from "../assembly.js";
import { unreadable } from "../mapping.js";
import type { Volume } from "../volume.js";
import { LogicalVolumes } from "./logical-volume.js";
import { type PhysicalVolume, readPhysicalVolume } from "./physical-volume.js";
import { type LogicalVolume, parseVolumeGroup, type VolumeGroup } from "./volume-group.js";

interface Member {
	readonly volume: Volume;
	readonly physical: PhysicalVolume;
}

/** Newest metadata of a group, and the member that it is from. */
interface Newest {
	readonly group: VolumeGroup;
	readonly from: Volume;
}

/** The logical volumes of LVM2. A physical volume of no group is left alone. */
export const lvm2: VolumeAssembly = {
	id: "lvm2",
	async assemble(candidates) {
		const problems = new Map<Volume, AnyvisorError>();
		const members: Member[] = [];
		for (const volume of candidates) {
			try {
				const physical = await readPhysicalVolume(volume.source);
				if (physical === undefined) continue;
				members.push({ volume, physical });
				if (physical.problem) problems.set(volume, physical.problem);
			} catch (error) {
				problems.set(volume, own(error));
			}
		}
		const volumes: Volume[] = [];
		const used = new Set<Volume>();
		for (const newest of newestOf(members, problems)) {
			const ids = new Set([...newest.group.physicalVolumes.values()].map(({ id }) => id));
			const mine = members.filter(({ physical }) => ids.has(physical.id));
			for (const { volume } of mine) used.add(volume);
			volumes.push(...(await volumesOf(newest, mine)));
		}
		for (const volume of used) problems.delete(volume);
		return { volumes, used, problems };
	},
};

/** Every group that some member knows of, in the order of the members. */
function newestOf(members: readonly Member[], problems: Map<Volume, AnyvisorError>): Iterable<Newest> {
	const groups = new Map<string, Newest>();
	/** All members of a group have the same text, mostly. */
	const seen = new Set<string>();
	for (const { volume, physical } of members) {
		for (const text of physical.texts) {
			if (seen.has(text)) continue;
			seen.add(text);
			try {
				const group = parseVolumeGroup(text, volume.source.name);
				const known = groups.get(group.id);
				if (known === undefined || known.group.seqno < group.seqno) groups.set(group.id, { group, from: volume });
			} catch (error) {
				problems.set(volume, own(error));
			}
		}
	}
	return groups.values();
}

async function volumesOf({ group, from }: Newest, members: readonly Member[]): Promise<readonly Volume[]> {
	const sources = new Map<string, ByteSource>();
	for (const { volume, physical } of members) {
		// Of a disk and its copy, the first one counts.
		if (!sources.has(physical.id)) sources.set(physical.id, volume.source);
	}
	const logical = new LogicalVolumes(group, sources, from.source.name);
	const visible = [...group.logicalVolumes.values()].filter((volume) => volume.visible && !isInternal(volume));
	const opened: Volume[] = [];
	for (const { name, size } of visible) {
		const source = await openOr(() => logical.open(name), `${from.source.name}:${group.name}/${name}`, size);
		opened.push({
			number: 0,
			scheme: "lvm2",
			at: 0,
			size,
			type: "",
			bootable: false,
			assembled: { from: members.map(({ volume }) => volume), devices: deviceNames(group.name, name) },
			source,
		});
	}
	return opened;
}

/** What other volumes are made from, and what ties a snapshot to its origin. */
const isInternal = ({ segments }: LogicalVolume) =>
	segments.some(({ type }) => type === "snapshot" || /^(?:thin|cache|vdo)-pool/.test(type));

async function openOr(open: () => Promise<ByteSource>, name: string, size: number): Promise<ByteSource> {
	try {
		return await open();
	} catch (error) {
		return unreadable(name, size, own(error));
	}
}

/** The names that LVM's udev rules give; in those of the device mapper a hyphen of a name is doubled. */
function deviceNames(group: string, volume: string): readonly string[] {
	const mapper = `${group.replaceAll("-", "--")}-${volume.replaceAll("-", "--")}`;
	return [`/dev/${group}/${volume}`, `/dev/mapper/${mapper}`, `/dev/disk/by-id/dm-name-${mapper}`];
}

function own(error: unknown): AnyvisorError {
	if (error instanceof AnyvisorError) return error;
	throw error;
}
