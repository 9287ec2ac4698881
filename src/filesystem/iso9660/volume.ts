import { cached } from "../../bytes/cache.js";
import { type AnyvisorError, damaged } from "../../bytes/errors.js";
import { type ByteSource, readUpTo } from "../../bytes/source.js";
import { DescriptorType, FIRST_DESCRIPTOR, JOLIET, SECTOR, STANDARD_IDENTIFIER, VolumeDescriptor } from "./layout.js";

type Descriptor = ReturnType<typeof VolumeDescriptor.parse>;

export interface IsoVolume {
	/** For messages. */
	readonly name: string;
	readonly source: ByteSource;
	/** The same bytes through a cache: for whatever is small and looked at again. */
	readonly metadata: ByteSource;
	readonly blockSize: number;
	readonly primary: Descriptor;
	readonly joliet: Descriptor | undefined;
	readonly hasUdf: boolean;
}

/** "damaged", at a byte of the file system, with the way out. */
export const corrupt = (name: string, offset: number, fault: string): AnyvisorError =>
	damaged(`${name}: ${fault}`, { file: name, offset, hint: "Compare the image with the original's checksum." });

/** More descriptors than any volume has. */
const MOST_DESCRIPTORS = 64;

/** `undefined` where there is no ISO 9660. */
export async function openVolume(source: ByteSource): Promise<IsoVolume | undefined> {
	let primary: Descriptor | undefined;
	let joliet: Descriptor | undefined;
	let hasUdf = false;
	for (let i = 0, ended = false; i < MOST_DESCRIPTORS; i++) {
		const sector = await readUpTo(source, (FIRST_DESCRIPTOR + i) * SECTOR, SECTOR);
		if (sector.length < SECTOR) break;
		const identifier = String.fromCharCode(...sector.subarray(1, 6));
		// Those of UDF come after the end.
		if (/^NSR0[23]$/.test(identifier)) hasUdf = true;
		if (identifier !== STANDARD_IDENTIFIER) {
			if (!/^(BEA01|NSR0[23]|TEA01|BOOT2)$/.test(identifier)) break;
			continue;
		}
		const descriptor = VolumeDescriptor.parse(sector, 0, source.name, (FIRST_DESCRIPTOR + i) * SECTOR);
		const { volumeDescriptorType, escapeSequences } = descriptor;
		ended ||= volumeDescriptorType === DescriptorType.TERMINATOR;
		if (ended) continue;
		if (volumeDescriptorType === DescriptorType.PRIMARY) primary ??= descriptor;
		const isJoliet = volumeDescriptorType === DescriptorType.SUPPLEMENTARY && JOLIET.includes(escapeSequences.trim());
		if (isJoliet) joliet ??= descriptor;
	}
	if (primary === undefined) return undefined;
	const { logicalBlockSize: blockSize } = primary;
	if (![512, 1024, SECTOR].includes(blockSize) || (joliet && joliet.logicalBlockSize !== blockSize)) {
		throw corrupt(source.name, FIRST_DESCRIPTOR * SECTOR, `ISO 9660 with blocks of ${blockSize} bytes`);
	}
	return { name: source.name, source, metadata: cached(source), blockSize, primary, joliet, hasUdf };
}
