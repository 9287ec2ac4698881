import { onNode } from "../platform.js";
import { type ByteSource, readUpTo } from "../source.js";
import { struct, u32 } from "../struct.js";
import { codecOf, collect, type EncodingEngine, type Engine, truncated } from "./engine.js";

/** https://www.rfc-editor.org/rfc/rfc8878#name-skippable-frames */
const SkippableFrame = struct("zstd skippable frame", "little", { magicNumber: u32, frameSize: u32 });

/** https://www.rfc-editor.org/rfc/rfc8878#name-zstandard-frames */
const ZSTD_MAGIC = 0xfd2fb528;

const magicOf = (head: Uint8Array) => (head.length < SkippableFrame.size ? 0 : SkippableFrame.parse(head).magicNumber);
const isFrame = (head: Uint8Array) => magicOf(head) === ZSTD_MAGIC;
const isSkippable = (head: Uint8Array) => magicOf(head) >= 0x184d2a50 && magicOf(head) <= 0x184d2a5f;

const matches = (head: Uint8Array) => isFrame(head) || isSkippable(head);

/** Returns the offset of the first byte after the skippable frames at `at`. */
async function afterSkippable(source: ByteSource, at: number): Promise<number> {
	for (let next = at; ; ) {
		const head = await readUpTo(source, next, SkippableFrame.size);
		if (!isSkippable(head)) return next;
		next += SkippableFrame.size + SkippableFrame.parse(head).frameSize;
		if (next > source.size) throw truncated("zstd", { file: source.name, offset: at });
	}
}

/** Any skippable frames first: parallel writers put one before each frame, and they hold no content. */
function withoutSkippable(engine: EncodingEngine): EncodingEngine {
	const behind: Engine = {
		implementation: engine.implementation,
		async *stream(source, at, options) {
			const frame = await afterSkippable(source, at);
			// Skippable frames alone are a stream without content, whatever follows them.
			if (frame > at && !isFrame(await readUpTo(source, frame, SkippableFrame.size))) return frame;
			return yield* engine.stream(source, frame, options);
		},
	};
	return {
		...engine,
		...behind,
		decode: (input, options) =>
			engine.decode !== undefined && isFrame(input)
				? engine.decode(input, options)
				: collect(behind, "zstd", input, options),
	};
}

/** One Zstandard frame (RFC 8878) and the skippable frames before it. */
export const zstd = codecOf("zstd", matches, async () =>
	withoutSkippable(
		(onNode ? await (await import("./node/zstd.js")).libzstd() : undefined) ??
			(await import("./portable/zstd.js")).zstdEngine,
	),
);
