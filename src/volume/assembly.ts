import type { AnyvisorError } from "../bytes/errors.js";
import type { Volume } from "./volume.js";

/** What was made of some volumes. */
export interface Assembled {
	readonly volumes: readonly Volume[];
	/** Parts of something: what looks like a file system on one of them is a piece of what was assembled. */
	readonly used: Iterable<Volume>;
	/** Parts that are damaged, or that belong to what cannot be assembled. */
	readonly problems: ReadonlyMap<Volume, AnyvisorError>;
}

/** What opens encrypted volumes: passphrases, and the contents of key files. */
export type Keys = readonly Uint8Array[];

/** Makes volumes of the volumes of all disks. Those that are not its own it leaves alone. */
export interface VolumeAssembly {
	readonly id: Volume["scheme"];
	/**
	 * Does not throw for what is wrong with a part: the system may be on another one.
	 *
	 * @param keys passphrases and key files, for what is encrypted
	 */
	assemble(volumes: readonly Volume[], keys: Keys): Promise<Assembled>;
}

/** How many layers may lie on one another: LVM on RAID on RAID is 3. */
const DEEPEST = 8;

/** Assembles what can be, and what can be of that, until nothing new appears. */
export async function assembleAll(
	assemblies: readonly VolumeAssembly[],
	volumes: readonly Volume[],
	keys: Keys,
): Promise<Omit<Assembled, "used"> & { readonly used: ReadonlySet<Volume> }> {
	const made: Volume[] = [];
	const used = new Set<Volume>();
	const problems = new Map<Volume, AnyvisorError>();
	for (let depth = 0; depth < DEEPEST; depth++) {
		const before = made.length;
		for (const assembly of assemblies) {
			const free = [...volumes, ...made].filter((volume) => !used.has(volume) && !problems.has(volume));
			const assembled = await assembly.assemble(free, keys);
			made.push(...assembled.volumes);
			for (const volume of assembled.used) used.add(volume);
			for (const [volume, problem] of assembled.problems) problems.set(volume, problem);
		}
		if (made.length === before) break;
	}
	return { volumes: made, used, problems };
}
