import { damaged } from "../bytes/errors.js";
import type { ByteSource } from "../bytes/source.js";
import type { Run } from "./mapped.js";

/** A table that is read a page at a time. */
export interface PagedTable {
	/** Has the data that the table places. */
	readonly source: ByteSource;
	/** Bytes of the disk that a page is about. */
	readonly span: number;
	readonly page: (index: number) => Promise<DataView>;
	/** The run that begins at `at`, and goes no further than `end`; both are on that page. */
	readonly run: (page: DataView, at: number, end: number) => Run;
}

/**
 * What the table says of `[start, end)`.
 *
 * @throws `damaged` where entries lie over each other: they would make a small file a disk without end
 */
export async function* pagedRuns(start: number, end: number, table: PagedTable): AsyncGenerator<Run> {
	const { source, span, page, run } = table;
	let told = 0;
	for (let at = start; at < end; ) {
		const view = await page(Math.floor(at / span));
		const pageEnd = Math.min(end, at - (at % span) + span);
		while (at < pageEnd) {
			const found = run(view, at, pageEnd);
			if (found.kind === "data") told += found.length;
			if (told > source.size) throw tooMuch(source);
			yield found;
			at += found.length;
		}
	}
}

export const tooMuch = ({ name }: ByteSource) =>
	damaged(`${name}: its table places more data than the file can hold`, {
		file: name,
		hint: "The file was cut off or its table is damaged: fetch it again.",
	});
