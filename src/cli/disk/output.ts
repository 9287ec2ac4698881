import { AnyvisorError } from "../../bytes/errors.js";
import type { ByteSink } from "../../bytes/sink.js";
import { type FileOutput, fileSink } from "../../source/sink.js";
import { streamSink } from "../../source/stream-sink.js";
import { refuseInput } from "../inputs.js";
import { stdout } from "../standard-streams.js";
import { streamedVariants } from "./formats.js";

interface OutputOptions {
	/** Format and variant, which standard output must suit: `vmdk/streamOptimized`. */
	readonly format: string;
	readonly overwrite: boolean;
	/** As {@link fileSink} takes it. */
	readonly sync?: boolean;
	/** Paths and URLs of what is read meanwhile: none of it is replaced, under whatever name. */
	readonly inputs: readonly string[];
}

/** What became of an output. */
interface Tally {
	/** What is complete, in bytes. */
	readonly files: { readonly name: string; readonly size: number }[];
	/** Bytes that share their blocks with the source instead of being copied. */
	shared: number;
}

/** What a conversion writes: a file, and perhaps others beside it. */
export interface Output extends ByteSink {
	readonly sibling?: FileOutput["sibling"];
	readonly tally: Readonly<Tally>;
}

/** @param name "-" is standard output */
export async function openOutput(name: string, { format, overwrite, sync, inputs }: OutputOptions): Promise<Output> {
	if (name === "-") return standardOutput(format);
	await refuseInput(name, inputs);
	const output = await fileSink(name, { overwrite, sync });
	const tally: Tally = { files: [], shared: 0 };
	return {
		...counted(output, tally),
		tally,
		async sibling(plain) {
			const sink = await output.sibling(plain);
			await refuseInput(sink.name, inputs);
			return counted(sink, tally);
		},
	};
}

function standardOutput(format: string): Output {
	if (!streamedVariants.includes(format)) {
		throw new AnyvisorError("usage", `${format} cannot be written in one pass, as standard output needs it`, {
			hint: `Write to a file, or choose one of ${streamedVariants.join(", ")}.`,
		});
	}
	if (stdout.isTTY) {
		throw new AnyvisorError("usage", "a disk would be written to the terminal", {
			hint: "Redirect standard output to a file or a pipe.",
		});
	}
	// Elsewhere a reader that goes away has seen enough; of a disk it has to have all.
	process.stdout.removeAllListeners("error");
	const tally: Tally = { files: [], shared: 0 };
	return { ...counted(streamSink(process.stdout, "standard output"), tally), tally };
}

function counted(sink: ByteSink, tally: Tally): ByteSink {
	const share = sink.share?.bind(sink);
	const reserve = sink.reserve?.bind(sink);
	return {
		name: sink.name,
		write: (at, bytes) => sink.write(at, bytes),
		...(share && {
			async share(at, source, from, length, holes = 0) {
				const done = await share(at, source, from, length, holes);
				if (done) tally.shared += length - holes;
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
