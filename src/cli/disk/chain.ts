import { AnyvisorError } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import type { Disk, DiskFormat, Neighbours } from "../../disk/disk.js";
import { confinedNeighbours } from "../../disk/neighbours.js";
import { diskFormat, openDisk, recognise } from "../../disk/registry.js";
import type { Origin } from "../../open.js";
import type { OpenNeighbour } from "../../source/confine.js";

/** A file that an image, or one that it refers to, asked for. */
export interface Asked {
	/** As the image mentions it, or where that led. */
	readonly name: string;
	/** Undefined where it could not be opened. */
	readonly source: ByteSource | undefined;
	/** Id of the format that it seems to have. */
	readonly format: string | undefined;
	/** Why it is of no use. */
	readonly problem: AnyvisorError | undefined;
}

/** An image opened as far as that is possible, and the files that it refers to. */
export interface Opened {
	readonly format: DiskFormat;
	/** Undefined where nothing can be made of it without a file that is missing. */
	readonly disk: Disk | undefined;
	/** In the order in which they were asked for. */
	readonly asked: readonly Asked[];
}

/**
 * Opens an image although files that it needs are missing: what is not there is replaced by something empty, so that the
 * disk must not be read.
 *
 * @throws what is wrong with the image itself
 */
export async function openWithoutMissing({ source, neighbour }: Origin, id: string | undefined): Promise<Opened> {
	const format = id === undefined ? await recognise(source) : diskFormat(id);
	const open = (neighbours: Neighbours) => openDisk(source, { format: format.id, neighbours });
	const chain = new Chain(neighbour);
	try {
		const disk = await open(chain.strict);
		// Names that led nowhere were others for what was found.
		return { format, disk, asked: once(chain.asked.filter(({ problem }) => problem === undefined)) };
	} catch (error) {
		if (!chain.isBehind(error)) throw error;
	}
	const tolerant = new Chain(neighbour);
	try {
		return { format, disk: await open(tolerant.withStandIns), asked: once(tolerant.asked) };
	} catch (error) {
		if (!(error instanceof AnyvisorError)) throw error;
		return { format, disk: undefined, asked: once(chain.asked) };
	}
}

/** A file may be opened to see whether it is the right one, and again to be read. */
const once = (asked: readonly Asked[]) => [
	...new Map(asked.map((each) => [each.source?.name ?? each.name, each])).values(),
];

/** Notes what images ask for. */
class Chain {
	readonly asked: Asked[] = [];
	readonly strict: Neighbours;
	readonly withStandIns: Neighbours;

	constructor(neighbour: OpenNeighbour) {
		const real = confinedNeighbours(this.#noting(neighbour));
		const failed = (name: string) => (error: unknown) => {
			this.#failed(name, error);
			throw error;
		};
		this.strict = {
			open: (name) => real.open(name).catch(failed(name)),
			openDisk: (name, format) => real.openDisk(name, format).catch(failed(name)),
		};
		this.withStandIns = {
			open: (name) => this.strict.open(name).catch(standIn(emptyFile(name))),
			openDisk: (name, format) => this.strict.openDisk(name, format).catch(standIn(emptyDisk(name))),
			standIn: emptyDisk,
		};
	}

	/** Whether an image does not open because of the files that it refers to. */
	isBehind(error: unknown): boolean {
		if (!(error instanceof AnyvisorError)) return false;
		const problems = this.asked.flatMap(({ problem }) => problem ?? []);
		// A format may put what it has tried into words of its own.
		return problems.some((problem) => problem === error || (isAbsence(error) && isAbsence(problem)));
	}

	#noting(neighbour: OpenNeighbour): OpenNeighbour {
		const { elsewhere } = neighbour;
		const noted = async (name: string, opening: Promise<ByteSource>) => {
			try {
				const source = await opening;
				this.asked.push({ name, source, format: await formatOf(source), problem: undefined });
				return source;
			} catch (error) {
				this.#failed(name, error);
				throw error;
			}
		};
		return Object.assign((name: string) => noted(name, neighbour(name)), {
			...(elsewhere && {
				elsewhere: (path: string, mention: string) => noted(mention, elsewhere(path, mention)),
			}),
		});
	}

	/** One failure passes through all the files that refer to each other; only the last of them has it. */
	#failed(name: string, error: unknown): void {
		if (!(error instanceof AnyvisorError) || this.asked.some(({ problem }) => problem === error)) return;
		const opened = this.asked.findIndex(({ source }) => source !== undefined && source.name === error.file);
		const known = this.asked[opened];
		if (known !== undefined) this.asked[opened] = { ...known, problem: error };
		else this.asked.push({ name, source: undefined, format: undefined, problem: error });
	}
}

const isAbsence = ({ kind }: AnyvisorError) => kind === "not-found" || kind === "refused";

const standIn =
	<T>(empty: T) =>
	(error: unknown): T => {
		if (error instanceof AnyvisorError) return empty;
		throw error;
	};

/** What an extent without a format of its own is, nobody needs to know. */
const formatOf = (source: ByteSource) =>
	recognise(source).then(
		({ id }) => id,
		() => undefined,
	);

/** As long as any image may expect it to be. */
const emptyFile = (name: string): ByteSource => ({
	name,
	size: Number.MAX_SAFE_INTEGER,
	read: (_, into) => Promise.resolve(void into.fill(0)),
});

const emptyDisk = (name: string): Disk => ({
	name,
	size: 0,
	format: "missing",
	sectorSize: 512,
	read: (_, into) => Promise.resolve(void into.fill(0)),
	async *extents() {},
});
