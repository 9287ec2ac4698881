import { AnyvisorError } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import type { VolumeAssembly } from "../assembly.js";
import { gpt } from "../gpt.js";
import { unreadable } from "../mapping.js";
import { mbr } from "../mbr.js";
import type { Volume } from "../volume.js";
import { type Found, newestOf, openArray } from "./array.js";
import { readMember } from "./superblock.js";

/** Linux software RAID, and the partitions of an array that has some. */
export const md: VolumeAssembly = {
	id: "md",
	async assemble(candidates) {
		const problems = new Map<Volume, AnyvisorError>();
		const arrays = new Map<string, Found[]>();
		const used = new Set<Volume>();
		for (const volume of candidates) {
			try {
				const member = await readMember(volume.source);
				if (member === undefined) continue;
				used.add(volume);
				const found = arrays.get(member.uuid);
				if (found) found.push({ volume, member });
				else arrays.set(member.uuid, [{ volume, member }]);
			} catch (error) {
				if (!(error instanceof AnyvisorError)) throw error;
				problems.set(volume, error);
			}
		}
		const volumes: Volume[] = [];
		for (const found of arrays.values()) volumes.push(...(await volumesOf(found, problems)));
		return { volumes, used, problems };
	},
};

/** The array, or its partitions. */
async function volumesOf(found: readonly Found[], problems: Map<Volume, AnyvisorError>): Promise<readonly Volume[]> {
	const { name, used, uuid } = newestOf(found);
	const devices = deviceNames(name, uuid);
	const source = open(found, devices[0] ?? "", used);
	const array = {
		number: 0,
		scheme: "md" as const,
		at: 0,
		size: source.size,
		type: "",
		bootable: false,
		assembled: { from: found.map(({ volume }) => volume), devices },
		source,
	};
	try {
		const partitions = (await gpt.read(source, 512)) ?? (await mbr.read(source, 512));
		if (partitions === undefined || partitions.length === 0) return [array];
		const { from } = array.assembled;
		return partitions.map((partition) => {
			const names = devices.map((device) => partitionName(device, partition.number));
			return Object.assign(partition, { assembled: { from, devices: names } });
		});
	} catch (error) {
		if (!(error instanceof AnyvisorError)) throw error;
		problems.set(array, error);
		return [array];
	}
}

function open(found: readonly Found[], device: string, used: number): ByteSource {
	const name = `${found[0]?.volume.source.name ?? ""}:${device.replace("/dev/", "")}`;
	try {
		return openArray(found, name);
	} catch (error) {
		if (!(error instanceof AnyvisorError)) throw error;
		return unreadable(name, used, error);
	}
}

/** The nodes and links that mdadm's udev rules make. An array without a number gets some that was free. */
function deviceNames(name: string, uuid: string): readonly string[] {
	const own = name.slice(name.indexOf(":") + 1);
	const groups = uuid.match(/.{8}/g) ?? [];
	const links = [`/dev/md/${own}`, `/dev/disk/by-id/md-uuid-${groups.join(":")}`, `/dev/disk/by-id/md-name-${name}`];
	return /^\d+$/.test(own) ? [`/dev/md${own}`, ...links] : links;
}

/** Behind a digit, a `p`; behind a link of udev, `-part`. */
function partitionName(device: string, number: number): string {
	if (device.startsWith("/dev/disk/")) return `${device}-part${number}`;
	return /\d$/.test(device) ? `${device}p${number}` : `${device}${number}`;
}
