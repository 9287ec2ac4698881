import { damaged } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import { readUpTo } from "../../bytes/source.js";
import type { Value } from "../../bytes/struct.js";
import { BitmapsExtension, EncryptionHeaderExtension, Extension, ExtensionType } from "./layout.js";

/** What the header extensions say that Anyvisor knows. */
export interface Extensions {
	/** As QEMU calls it. */
	readonly backingFormat?: string;
	readonly dataFile?: string;
	readonly bitmaps?: Value<typeof BitmapsExtension>;
	readonly encryptionHeader?: Value<typeof EncryptionHeaderExtension>;
}

/** Reads the extensions from `start` on; all of them lie inside the first cluster. */
export async function readExtensions(source: ByteSource, start: number, clusterSize: number): Promise<Extensions> {
	const file = source.name;
	const area = await readUpTo(source, 0, clusterSize);
	const found: { -readonly [K in keyof Extensions]: Extensions[K] } = {};
	let at = start;
	while (at + Extension.size <= area.length) {
		const { type, length } = Extension.parse(area, at, file);
		if (type === ExtensionType.end) break;
		at += Extension.size;
		if (length > area.length - at) {
			throw damaged(`${file}: a header extension of ${length} bytes does not fit its cluster`, { file, offset: at });
		}
		const content = area.subarray(at, at + length);
		if (type === ExtensionType.backingFormat) found.backingFormat = new TextDecoder().decode(content);
		else if (type === ExtensionType.externalDataFile) found.dataFile = new TextDecoder().decode(content);
		else if (type === ExtensionType.bitmaps) found.bitmaps = BitmapsExtension.parse(content, 0, file, at);
		else if (type === ExtensionType.encryptionHeader) {
			found.encryptionHeader = EncryptionHeaderExtension.parse(content, 0, file, at);
		}
		at += Math.ceil(length / 8) * 8;
	}
	return found;
}
