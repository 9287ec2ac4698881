import type { Run } from "./mapped.js";

/** A table that is read a page at a time. */
export interface PagedTable {
	/** Bytes of the disk that a page is about. */
	readonly span: number;
	readonly page: (index: number) => Promise<DataView>;
	/** The run that begins at `at`, and goes no further than `end`; both are on that page. */
	readonly run: (page: DataView, at: number, end: number) => Run;
}

/** What the table says of `[start, end)`. */
export async function* pagedRuns(start: number, end: number, { span, page, run }: PagedTable): AsyncGenerator<Run> {
	for (let at = start; at < end; ) {
		const view = await page(Math.floor(at / span));
		const pageEnd = Math.min(end, at - (at % span) + span);
		while (at < pageEnd) {
			const found = run(view, at, pageEnd);
			yield found;
			at += found.length;
		}
	}
}
