import type { ByteSink } from "../../bytes/sink.js";
import { type FileOutput, fileSink } from "../../source/sink.js";

interface OutputOptions {
	readonly overwrite: boolean;
	/** Throws where a file of this name must not be written, whether it may be replaced or not. */
	readonly check: (file: string) => Promise<void>;
}

/** What became of an output. */
interface Tally {
	/** What is complete, in bytes. */
	readonly files: { readonly name: string; readonly size: number }[];
	/** Bytes that share their blocks with the source instead of being copied. */
	shared: number;
}

/** What a conversion writes: a file, and perhaps others beside it. */
export interface Output extends FileOutput {
	readonly tally: Readonly<Tally>;
}

export async function openOutput(name: string, { overwrite, check }: OutputOptions): Promise<Output> {
	await check(name);
	const output = await fileSink(name, { overwrite });
	const tally: Tally = { files: [], shared: 0 };
	return {
		...counted(output, tally),
		tally,
		async sibling(plain) {
			const sink = await output.sibling(plain);
			await check(sink.name);
			return counted(sink, tally);
		},
	};
}

function counted(sink: ByteSink, tally: Tally): ByteSink {
	const share = sink.share?.bind(sink);
	const reserve = sink.reserve?.bind(sink);
	return {
		name: sink.name,
		write: (at, bytes) => sink.write(at, bytes),
		...(share && {
			async share(at, source, from, length) {
				const done = await share(at, source, from, length);
				if (done) tally.shared += length;
				return done;
			},
		}),
		...(reserve && { reserve }),
		async commit(size) {
			await sink.commit(size);
			tally.files.push({ name: sink.name, size });
		},
		[Symbol.asyncDispose]: () => sink[Symbol.asyncDispose](),
	};
}
