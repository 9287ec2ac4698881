import { IV_UNIT, sectorCipher } from "../../bytes/cipher/index.js";
import { inTurn } from "../../bytes/in-turn.js";
import { type ByteSource, checkRange, isStore } from "../../bytes/source.js";
import type { LuksHeader } from "./header.js";

/** How much is decrypted at once: a multiple of every sector size. */
const PIECE = 1 << 20;

/** Whole sectors from byte `from` on, and what of them the caller's bytes are. */
interface Piece {
	readonly from: number;
	readonly length: number;
	/** Where the caller's part begins in the sectors. */
	readonly skip: number;
	readonly part: Uint8Array;
}

/** The data of a LUKS volume in the clear; a store where the volume is one. */
export async function decrypted(
	name: string,
	below: ByteSource,
	{ data, firstNumber }: LuksHeader,
	key: Uint8Array,
): Promise<ByteSource> {
	const { sectorSize } = data;
	const cipher = await sectorCipher(data.mode, key, sectorSize);
	const numberAt = (at: number) => firstNumber + at / IV_UNIT;
	const readSectors = async (at: number, into: Uint8Array) => {
		await below.read(data.at + at, into);
		cipher.decrypt(into, numberAt(at));
	};
	const wholeSectors = async ({ from, length }: Piece) => {
		const whole = new Uint8Array(length);
		await readSectors(from, whole);
		return whole;
	};
	const source = {
		name,
		size: data.size,
		async read(at: number, into: Uint8Array) {
			checkRange(source, at, into.length);
			for (const piece of pieces(at, into, sectorSize)) {
				const { from, length, skip, part } = piece;
				if (part.length === length) await readSectors(from, part);
				else part.set((await wholeSectors(piece)).subarray(skip, skip + part.length));
			}
		},
	};
	if (!isStore(below)) return source;
	// Two writes may each change a part of one sector.
	const turn = inTurn();
	return Object.assign(source, {
		async write(at: number, bytes: Uint8Array) {
			checkRange(source, at, bytes.length);
			await turn(async () => {
				for (const piece of pieces(at, bytes, sectorSize)) {
					const { from, length, skip, part } = piece;
					const sectors = part.length === length ? part.slice() : await wholeSectors(piece);
					sectors.set(part, skip);
					cipher.encrypt(sectors, numberAt(from));
					await below.write(data.at + from, sectors);
				}
			});
		},
	});
}

function* pieces(at: number, bytes: Uint8Array, sectorSize: number): Generator<Piece, void> {
	const end = Math.ceil((at + bytes.length) / sectorSize) * sectorSize;
	for (let done = 0; done < bytes.length; ) {
		const from = Math.floor((at + done) / sectorSize) * sectorSize;
		const length = Math.min(end - from, PIECE);
		const skip = at + done - from;
		const part = bytes.subarray(done, done + length - skip);
		yield { from, length, skip, part };
		done += part.length;
	}
}
