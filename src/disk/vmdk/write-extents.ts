import { AnyvisorError, refused } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import type { ByteSource } from "../../bytes/source.js";
import { copyUnits } from "../copy.js";
import type { Written } from "../disk.js";
import { withoutHoles } from "../without-holes.js";
import { EXTENTS_LIMIT } from "./descriptor.js";
import { buildDescriptor, type CreateType, type NewExtent } from "./descriptor-text.js";
import { SECTOR } from "./layout.js";
import { type Job, plainName, refusePreallocation } from "./write-options.js";
import { beginSparseExtent, type ExtentWriter, FILE_LIMIT } from "./write-sparse.js";

/** How a disk of a descriptor and other files lies in those. */
interface Arrangement {
	readonly type: NewExtent["type"];
	/** Split into files of {@link SPLIT} bytes of the disk; otherwise there is one. */
	readonly split: boolean;
	/** What comes behind the descriptor's name, as VMware has it. */
	readonly suffix: (index: number) => string;
}

const numbered = (letter: string) => (index: number) => `${letter}${String(index + 1).padStart(3, "0")}`;

export const ARRANGEMENTS = {
	monolithicFlat: { type: "FLAT", split: false, suffix: () => "flat" },
	twoGbMaxExtentSparse: { type: "SPARSE", split: true, suffix: numbered("s") },
	twoGbMaxExtentFlat: { type: "FLAT", split: true, suffix: numbered("f") },
	vmfs: { type: "VMFS", split: false, suffix: () => "flat" },
} as const satisfies Partial<Record<CreateType, Arrangement>>;

/** 2047 MiB, as VMware has it: the file stays below 2 GiB with its tables, too. */
const SPLIT = 4_192_256 * SECTOR;

/** Writes a disk whose data lies in files beside its descriptor, which comes last. */
export async function writeExtents(createType: keyof typeof ARRANGEMENTS, job: Job): Promise<Written> {
	const { disk, sink, grainSize, options } = job;
	const { type, split, suffix }: Arrangement = ARRANGEMENTS[createType];
	if (type === "SPARSE") refusePreallocation(job);
	const span = split ? SPLIT : disk.size;
	const count = Math.ceil(disk.size / span);
	if (count > EXTENTS_LIMIT) {
		throw refused(`${disk.name}: the disk would be split into ${count} files; ${EXTENTS_LIMIT} are the most`, {
			file: disk.name,
			hint: "Choose the variant monolithicSparse or monolithicFlat.",
		});
	}
	const base = plainName(sink).replace(/\.vmdk$/i, "");
	const extents = Array.from({ length: count }, (_, i) => ({
		type,
		size: Math.min(span, disk.size - i * span),
		fileName: `${base}-${suffix(i)}.vmdk`,
	}));
	const descriptor = new TextEncoder().encode(buildDescriptor(createType, extents, job.descriptor));

	await using files = new ExtentFiles(sink.name, split ? FILE_LIMIT : Number.MAX_SAFE_INTEGER);
	for (const { size, fileName } of extents) {
		const file = await sibling(job, fileName);
		if (type === "SPARSE") files.add(file, await beginSparseExtent(file, size, grainSize));
		else {
			const owned = options.preallocation === "full" ? await withoutHoles(file, 0, size) : undefined;
			const finish = async () => {
				await owned?.finish();
				return size;
			};
			files.add(owned?.sink ?? file, { place: () => 0, finish });
		}
	}
	// A flat extent takes the bytes as they are.
	const unit = type === "SPARSE" ? grainSize : Math.max(1, span);
	const perFile = Math.ceil(span / unit);
	const place = (index: number) => files.place(Math.floor(index / perFile), index % perFile);
	await copyUnits(disk, files, { unit, place }, options);
	await files.commit();
	await sink.write(0, descriptor);
	return { size: descriptor.length };
}

function sibling({ options }: Job, name: string): Promise<ByteSink> {
	if (options.siblings !== undefined) return options.siblings(name);
	throw new AnyvisorError(
		"usage",
		`this kind of VMDK has its data in a second file, ${name}, which has no place here`,
		{
			hint: "Write it into a folder, or choose the variant streamOptimized or monolithicSparse, which are one file.",
		},
	);
}

/** Several files under one numbering: each begins at a multiple of `stride`, which is more than any of them has. */
class ExtentFiles implements ByteSink {
	readonly name: string;
	readonly #stride: number;
	readonly #files: ByteSink[] = [];
	readonly #writers: ExtentWriter[] = [];

	constructor(name: string, stride: number) {
		this.name = name;
		this.#stride = stride;
	}

	add(file: ByteSink, writer: ExtentWriter): void {
		this.#files.push(file);
		this.#writers.push(writer);
	}

	place(file: number, unit: number): number | Promise<number> {
		const writer = this.#writers[file];
		if (writer === undefined) throw new RangeError(`there is no extent ${file}`);
		const before = file * this.#stride;
		const place = writer.place(unit);
		return typeof place === "number" ? before + place : place.then((at) => before + at);
	}

	#at(at: number): { file: ByteSink; offset: number } {
		const file = this.#files[Math.floor(at / this.#stride)];
		if (file === undefined) throw new RangeError(`there is no extent at ${at}`);
		return { file, offset: at % this.#stride };
	}

	write(at: number, bytes: Uint8Array): Promise<void> {
		const { file, offset } = this.#at(at);
		return file.write(offset, bytes);
	}

	async share(at: number, source: ByteSource, from: number, length: number, holes?: number): Promise<boolean> {
		const { file, offset } = this.#at(at);
		return (await file.share?.(offset, source, from, length, holes)) === true;
	}

	async commit(): Promise<void> {
		for (const [i, file] of this.#files.entries()) await file.commit((await this.#writers[i]?.finish()) ?? 0);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		for (const file of this.#files) await file[Symbol.asyncDispose]();
	}
}
