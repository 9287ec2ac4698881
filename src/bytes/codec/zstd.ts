import { onNode } from "../platform.js";
import { type ByteSource, readUpTo } from "../source.js";
import { struct, u32 } from "../struct.js";
import { codecOf, collect, type EncodingEngine, type Engine, truncated } from "./engine.js";
import { isZstdFrame, isZstdSkippable } from "./mark.js";

/** https://www.rfc-editor.org/rfc/rfc8878#name-skippable-frames */
const SkippableFrame = struct("zstd skippable frame", "little", { magicNumber: u32, frameSize: u32 });

/** Returns the offset of the first byte after the skippable frames at `at`. */
async function afterSkippable(source: ByteSource, at: number): Promise<number> {
	for (let next = at; ; ) {
		const head = await readUpTo(source, next, SkippableFrame.size);
		if (!isZstdSkippable(head)) return next;
		next += SkippableFrame.size + SkippableFrame.parse(head).frameSize;
		if (next > source.size) throw truncated("zstd", { file: source.name, offset: at });
	}
}

/** Any skippable frames first: parallel writers put one before each frame, and they hold no content. */
function withoutSkippable(engine: EncodingEngine): EncodingEngine {
	const behind: Engine = {
		about: engine.about,
		async *stream(source, at, options) {
			const frame = await afterSkippable(source, at);
			// Skippable frames alone are a stream without content, whatever follows them.
			if (frame > at && !isZstdFrame(await readUpTo(source, frame, SkippableFrame.size))) return frame;
			return yield* engine.stream(source, frame, options);
		},
	};
	return {
		...engine,
		...behind,
		decode: (input, options) =>
			engine.decode !== undefined && isZstdFrame(input)
				? engine.decode(input, options)
				: collect(behind, "zstd", input, options),
	};
}

/** One Zstandard frame (RFC 8878) and the skippable frames before it. */
export const zstd = codecOf("zstd", async () =>
	withoutSkippable(
		(onNode ? await (await import("./node/zstd.js")).libzstd() : undefined) ??
			(await import("./portable/zstd.js")).zstdEngine,
	),
);
