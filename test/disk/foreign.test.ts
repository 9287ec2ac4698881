import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { bytesSource } from "../../src/bytes/source.js";
import { foreignFormat } from "../../src/disk/foreign.js";
import { openDisk } from "../../src/disk/registry.js";
import { because, corpus, corpusReason, missing, run, temporaryFolder } from "../support/tools.js";

const folder = await temporaryFolder();

/** As the registry looks at a file. */
const foreign = (name: string, bytes: Uint8Array) => foreignFormat(name, bytes.subarray(0, 4096));

describe("what is no disk", () => {
	const marks: readonly (readonly [what: RegExp, kind: string, magic: string])[] = [
		[/VMA/, "unsupported", "VMA\0\0\0\0\x01"],
		[/ASIF/, "unsupported", "shdw"],
		[/UDSP/, "unsupported", "sprs"],
		[/encrypted Apple/, "refused", "encrcdsa"],
		[/EnCase/, "unsupported", "EVF\t\r\n\xff\0\x01"],
		[/Ex01/, "unsupported", "EVF2\r\n\x81\0"],
		[/\(AFF\)/, "unsupported", "AFF10\r\n\0"],
		[/AFF4/, "unsupported", `PK\x03\x04${"\0".repeat(26)}container.description`],
		[/Acronis/, "unsupported", "\xce\x24\xb9\xa2\x20"],
		[/Partclone/, "unsupported", "partclone-image"],
		[/Android/, "unsupported", "\x3a\xff\x26\xed\x01\0\0\0"],
		[/WIM/, "unsupported", "MSWIM\0\0\0"],
		[/LUKS/, "refused", "LUKS\xba\xbe\0\x02"],
		[/BitLocker/, "refused", "\xeb\x58\x90-FVE-FS-"],
	];

	for (const [what, kind, magic] of marks) {
		it(`is named: ${what.source}`, async () => {
			const bytes = Buffer.alloc(8192);
			bytes.write(magic, "latin1");
			await expect(openDisk(bytesSource(bytes, "disk.img"))).rejects.toMatchObject({
				kind,
				message: expect.stringMatching(what),
				file: "disk.img",
				hint: expect.stringMatching(/^[A-Z].*\.$/),
			});
		});
	}

	it("leaves to others what bears no mark, or bears it elsewhere", () => {
		for (const text of ["", "xVMA\0", "\0".repeat(4096), "PK\x05\x06"]) {
			expect(foreign("disk", Buffer.from(text, "latin1")), JSON.stringify(text.slice(0, 8))).toBeUndefined();
		}
	});
});

describe.skipIf(missing("gzip", "xz", "zstd", "bzip2", "lz4", "tar", "7zz"))(
	`what other programs make ${because("gzip", "xz", "zstd", "bzip2", "lz4", "tar", "7zz")}`,
	() => {
		const raw = path.join(folder, "disk.raw");
		const made: readonly (readonly [what: RegExp, command: string])[] = [
			[/gzip/, "gzip -c $in >$out"],
			[/xz/, "xz -c $in >$out"],
			[/zstd/, "zstd -q -c $in >$out"],
			[/bzip2/, "bzip2 -c $in >$out"],
			[/lz4/, "lz4 -q -c $in >$out"],
			[/tar/, "tar -C $(dirname $in) -cf $out disk.raw"],
			[/zip archive/, "7zz a -bso0 -tzip $out.zip $in && mv $out.zip $out"],
			[/7z archive/, "7zz a -bso0 -t7z $out.7z $in && mv $out.7z $out"],
		];

		for (const [what, command] of made) {
			it(`is named: ${what.source}`, async () => {
				await writeFile(raw, Buffer.alloc(100_000, "disk"));
				const out = path.join(folder, "out");
				await run("sh", "-c", `rm -f $2; in=$1; out=$2; ${command}`, "sh", raw, out);
				expect(foreign("disk.img", await readFile(out))).toMatchObject({
					kind: "unsupported",
					message: expect.stringMatching(what),
				});
			});
		}
	},
);

describe.skipIf(corpus === undefined)(`a Proxmox backup of the corpus ${corpusReason}`, () => {
	it("is named", async () => {
		const file = path.join(corpus ?? "", "fox-it+dissect.hypervisor/tests/data/test.vma.gz");
		const bytes = gunzipSync(await readFile(file));
		await expect(openDisk(bytesSource(bytes, "test.vma"))).rejects.toMatchObject({
			kind: "unsupported",
			message: expect.stringMatching(/Proxmox/),
			hint: expect.stringMatching(/vma extract/),
		});
	});
});
