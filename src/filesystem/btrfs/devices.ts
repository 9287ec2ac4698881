import { AnyvisorError } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import { type BtrfsParameters, readSuperblock } from "./superblock.js";

/** One of the devices that a file system lies on. */
export interface BtrfsDevice {
	readonly source: ByteSource;
	/** Of its superblock. Behind the others', what it holds may be old. */
	readonly generation: number;
}

/** The devices of a file system that are at hand. */
export interface BtrfsDevices {
	/** Of the device that was written last, for messages. */
	readonly name: string;
	/** As that device says. */
	readonly parameters: BtrfsParameters;
	/** By their ids. */
	readonly devices: ReadonlyMap<number, BtrfsDevice>;
	/** All that bear its UUID, also older copies of a device. */
	readonly sources: readonly ByteSource[];
}

/** The file system that `source` is a device of, with those of its devices that are `beside` it. */
export async function findDevices(
	source: ByteSource,
	beside: readonly ByteSource[],
): Promise<BtrfsDevices | undefined> {
	const own = await readSuperblock(source);
	if (own === undefined) return undefined;
	const found = [{ source, parameters: own }];
	for (const other of own.fields.num_devices > 1 ? beside : []) {
		const parameters = other === source ? undefined : await readable(other);
		if (parameters?.fields.fsid === own.fields.fsid) found.push({ source: other, parameters });
	}
	const generationOf = ({ parameters }: (typeof found)[number]) => parameters.fields.generation;
	// The sort is stable: of those that are as new as each other, the one that was asked for comes first.
	const sorted = found.toSorted((a, b) => generationOf(b) - generationOf(a));
	const [newest = { source, parameters: own }] = sorted;
	const devices = new Map<number, BtrfsDevice>();
	for (const device of sorted) {
		const { devid } = device.parameters.fields.dev_item;
		if (!devices.has(devid)) devices.set(devid, { source: device.source, generation: generationOf(device) });
	}
	const sources = found.map((device) => device.source);
	return { name: newest.source.name, parameters: newest.parameters, devices, sources };
}

/** What is damaged elsewhere is told where it is. */
async function readable(source: ByteSource): Promise<BtrfsParameters | undefined> {
	try {
		return await readSuperblock(source);
	} catch (error) {
		if (error instanceof AnyvisorError) return undefined;
		throw error;
	}
}
