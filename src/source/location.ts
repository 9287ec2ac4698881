import path from "node:path";
import type { Readable } from "node:stream";
import type { ByteSource } from "../bytes/source.js";
import type { Likeness } from "./archive.js";
import type { OpenNeighbour } from "./confine.js";
import { openFile } from "./file.js";
import type { HttpOptions } from "./http.js";
import { folderNeighbours } from "./neighbours.js";
import type { SpoolOptions } from "./spool.js";

export interface LocationOptions {
	/** Looks into archives and compressed files for what is most like this; without it, they are files like any other. */
	readonly likeness?: Likeness | undefined;
	/** What may be followed though it lies outside of the image's folder; see {@link folderNeighbours}. */
	readonly allow?: readonly string[] | undefined;
	/** What "-" stands for; without it, "-" is a `usage` error. */
	readonly stdin?: Readable | undefined;
	readonly http?: Omit<HttpOptions, "spool" | "signal"> | undefined;
	readonly spool?: Omit<SpoolOptions, "signal"> | undefined;
	readonly signal?: AbortSignal | undefined;
}

/** A file that a user named, and a way to those beside it. */
export interface Location {
	readonly source: ByteSource;
	/** Closed together with the location. */
	readonly neighbour: OpenNeighbour;
	[Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens what a user named: a file, an `http://` or `https://` URL, "-", and of any of them a member of an archive:
 * `app.ova:disk1.vmdk`, `https://example.org/app.zip#disk1.vmdk`.
 */
export async function openLocation(named: string, { allow = [] }: LocationOptions = {}): Promise<Location> {
	const source = await openFile(named);
	return {
		source,
		neighbour: folderNeighbours(path.dirname(named), { allow }),
		[Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
	};
}
