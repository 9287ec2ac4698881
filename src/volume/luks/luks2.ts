import { digester } from "../../bytes/checksum/index.js";
import { AnyvisorError } from "../../bytes/errors.js";
import { type ByteSource, readUpTo } from "../../bytes/source.js";
import type { Value } from "../../bytes/struct.js";
import { broken, type LuksHeader } from "./header.js";
import { BinaryHeader, HEADER_SIZES, MAGIC, SECOND_MAGIC } from "./layout.js";
import { parseMetadata } from "./metadata.js";

interface Copy {
	readonly header: Value<typeof BinaryHeader>;
	readonly json: string;
}

/** The header of version 2: the newer one of its two copies that are sound. `undefined` where there is none at all. */
export async function readLuks2(source: ByteSource): Promise<LuksHeader | undefined> {
	let newest: Copy | undefined;
	let failure: AnyvisorError | undefined;
	// Where the first copy is, the second one follows it; without it, any place is possible.
	const places = [0, ...HEADER_SIZES];
	for (const at of places) {
		if (at > 0 && newest !== undefined && newest.header.hdrSize !== at) continue;
		try {
			const copy = await readCopy(source, at);
			if (copy !== undefined && (newest === undefined || copy.header.seqid > newest.header.seqid)) newest = copy;
		} catch (error) {
			if (!(error instanceof AnyvisorError) || error.kind !== "damaged") throw error;
			failure ??= error;
		}
	}
	if (newest === undefined) {
		if (failure !== undefined) throw failure;
		return undefined;
	}
	const { hdrOffset, hdrSize, uuid } = newest.header;
	return parseMetadata(newest.json, {
		file: source.name,
		at: hdrOffset + BinaryHeader.size,
		size: source.size,
		hdrSize,
		uuid,
	});
}

async function readCopy(source: ByteSource, at: number): Promise<Copy | undefined> {
	const { name: file } = source;
	const bytes = await readUpTo(source, at, BinaryHeader.size);
	const magic = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
	if (magic !== (at === 0 ? MAGIC : SECOND_MAGIC)) return undefined;
	const header = BinaryHeader.parse(bytes, 0, file, at);
	if (header.version !== 2) return undefined;
	const { hdrSize, hdrOffset, csumAlg, csum } = header;
	if (hdrOffset !== at) throw broken(file, at, `its header belongs at byte ${hdrOffset}`);
	if (!HEADER_SIZES.includes(hdrSize) || (at > 0 && hdrSize !== at)) {
		throw broken(file, at, `its header claims ${hdrSize} bytes`);
	}
	const algorithm = (["sha1", "sha256", "sha512"] as const).find((known) => known === csumAlg);
	if (algorithm === undefined) throw broken(file, at, "the checksum of its header is of a kind that is not known");
	const whole = await readUpTo(source, at, hdrSize);
	const json = whole.subarray(BinaryHeader.size);
	const { csum: from } = BinaryHeader.offsets;
	const sum = (await digester(algorithm))(
		whole.subarray(0, from),
		new Uint8Array(csum.length),
		whole.subarray(from + csum.length),
	);
	if (!sum.every((byte, i) => byte === csum[i])) throw broken(file, at, "the checksum of its header is wrong");
	const end = json.indexOf(0);
	return { header, json: new TextDecoder().decode(end < 0 ? json : json.subarray(0, end)) };
}
