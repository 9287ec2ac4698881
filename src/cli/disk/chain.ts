import { AnyvisorError } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import type { Disk, Neighbours } from "../../disk/disk.js";
import { confinedNeighbours } from "../../disk/neighbours.js";
import { recognise } from "../../disk/registry.js";
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

/**
 * Lets an image be opened although files that it needs are missing: notes what was asked for, and hands out empty
 * stand-ins for what is not there.
 */
export class Chain {
	/** In the order in which they were asked for. */
	readonly asked: Asked[] = [];
	readonly neighbours: Neighbours;

	constructor(neighbour: OpenNeighbour) {
		const real = confinedNeighbours(this.#noting(neighbour));
		this.neighbours = {
			open: (name) => this.#orStandIn(name, () => real.open(name), emptyFile),
			openDisk: (name, format) => this.#orStandIn(name, () => real.openDisk(name, format), emptyDisk),
		};
	}

	get broken(): boolean {
		return this.asked.some(({ problem }) => problem !== undefined);
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

	async #orStandIn<T>(name: string, open: () => Promise<T>, standIn: (name: string) => T): Promise<T> {
		try {
			return await open();
		} catch (error) {
			this.#failed(name, error);
			return standIn(name);
		}
	}

	/** One failure passes through all the files that refer to each other; only the last of them has it. */
	#failed(name: string, error: unknown): void {
		if (!(error instanceof AnyvisorError)) throw error;
		if (this.asked.some(({ problem }) => problem === error)) return;
		const opened = this.asked.findIndex(({ source }) => source !== undefined && source.name === error.file);
		const known = this.asked[opened];
		if (known !== undefined) this.asked[opened] = { ...known, problem: error };
		else this.asked.push({ name, source: undefined, format: undefined, problem: error });
	}
}

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
