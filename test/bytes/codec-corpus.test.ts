import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { hasher } from "../../src/bytes/checksum/index.js";
import { recogniseCodec } from "../../src/bytes/codec/index.js";
import { readUpTo } from "../../src/bytes/source.js";
import { openFile } from "../../src/source/index.js";
import { because, corpus, corpusReason, missing } from "../support/tools.js";

const tools: Record<string, string> = { ".gz": "gzip", ".bz2": "bzip2", ".xz": "xz" };
const LARGEST_FILE = 100_000;

const files = (corpus === undefined ? [] : readdirSync(corpus, { recursive: true, encoding: "utf8" })).filter(
	(file) => path.extname(file) in tools && statSync(path.join(corpus ?? "", file)).size <= LARGEST_FILE,
);

/** What the format's own tool makes of a file, as far as its first 8 MiB; undefined where it complains. */
function judge(tool: string, file: string): string | undefined {
	const script = `set -o pipefail; ${tool} -dc "$1" | head -c 8388608 | sha256sum; [ "\${PIPESTATUS[0]}" -eq 0 -o "\${PIPESTATUS[0]}" -eq 141 ]`;
	try {
		return execFileSync("bash", ["-c", script, "bash", file], {
			encoding: "utf8",
			stdio: ["ignore", "pipe", "ignore"],
		}).slice(0, 64);
	} catch {
		return undefined;
	}
}

/** The same by our codec. */
async function decode(name: string): Promise<string | undefined> {
	await using file = await openFile(name);
	const codec = recogniseCodec(await readUpTo(file, 0, 16));
	if (codec === undefined) return undefined;
	const hash = await hasher("sha256");
	let left = 8 << 20;
	try {
		for (let at = 0; at < file.size && left > 0; ) {
			const stream = codec.stream(file, at);
			for (let step = await stream.next(); left > 0; step = await stream.next()) {
				if (step.done === true) {
					at = step.value;
					break;
				}
				hash.update(step.value.subarray(0, left));
				left -= Math.min(left, step.value.length);
			}
			await stream.return(0);
		}
		return hash.digest();
	} catch {
		return undefined;
	}
}

describe.skipIf(corpus === undefined || missing("bash", "gzip", "bzip2", "xz"))(
	`compressed files of other projects ${corpusReason}${because("bash", "gzip", "bzip2", "xz")}`,
	() => {
		test("there are some", () => {
			expect(files.length).toBeGreaterThan(50);
		});

		test.each(files)("%s", async (file) => {
			const name = path.join(corpus ?? "", file);
			expect(await decode(name)).toBe(judge(tools[path.extname(file)] ?? "", name));
		});
	},
);
