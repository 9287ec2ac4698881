import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { hypervisors } from "../../src/hypervisor/index.js";
import { openVm } from "../../src/open.js";
import { inspect } from "../../src/pipeline.js";
import { openFile } from "../../src/source/index.js";
import { because, missing } from "../support/tools.js";
import { expected } from "./verdicts/expected.js";
import { computedOf, markdown, type Row, sectionsOf } from "./verdicts/table.js";

const tools = [
	...["mkinitramfs", "dracut", "unshare", "grub-mkimage", "depmod", "cpio", "xz", "zstd", "busybox"],
	...["sfdisk", "losetup", "lvcreate", "mke2fs", "mkfs.xfs", "mkfs.btrfs", "mkfs.vfat", "mcopy"],
];
const root = process.platform === "linux" && process.getuid?.() === 0;
const skip = !root || missing(...tools);
const why = root ? because(...tools) : "(skipped: only root on Linux has loop devices and mounts)";

/** Of a Debian guest's name. */
function pairs(name: string): readonly string[] {
	const [, generator, root, loader] = /^debian-(\w+)-(.*?)-(grub-\w+|systemd-boot)$/.exec(name) ?? [];
	return generator === undefined ? [] : [`${generator} ${root}`, `${generator} ${loader}`, `${root} ${loader}`];
}

/** With all guests, of which the tests make a part. */
const write = process.env["WRITE_VERDICTS"] !== undefined;

describe.skipIf(skip)(`guests of every family ${why}`, () => {
	const rows: Row[] = [];

	beforeAll(async () => {
		const options = { timeout: 900_000, maxBuffer: 1 << 20 };
		const { stdout } = await promisify(execFile)(
			"node",
			["scripts/guest/replicas.mjs", ...(write ? ["--every"] : [])],
			options,
		);
		const { stdout: kernels } = await promisify(execFile)("sh", ["-c", "cd /lib/modules && ls -1v"]);
		for (const line of stdout.trim().split("\n")) {
			const [name = "", image = ""] = line.split("\t");
			const want = expected[name];
			if (want === undefined) throw new Error(`${name} is not in expected.ts`);
			await using file = await openFile(image);
			const vm = await openVm({ source: file, neighbour: () => Promise.reject(new Error("it is one file")) });
			const document = await inspect(vm, hypervisors);
			rows.push({ name, expected: want, computed: computedOf(document, kernels.trim().split("\n").at(-1) ?? "") });
		}
	}, 900_000);

	it("each is as expected", () => {
		for (const { name, computed, expected } of rows) {
			const { why, ...want } = expected;
			expect(computed, `${name}: ${why}`).toEqual(want);
		}
	});

	it("each pair of generator, root and boot loader is there, and every other system", () => {
		const made = rows.map(({ name }) => name);
		const pairsOf = (names: readonly string[]) => new Set(names.flatMap(pairs));
		expect(pairsOf(made)).toEqual(pairsOf(Object.keys(expected)));
		const others = (names: readonly string[]) => names.filter((name) => !name.startsWith("debian-"));
		expect(others(made)).toEqual(others(Object.keys(expected)));
	});

	it("test/verdicts.md is what is computed; `npm run verdicts` writes it", async () => {
		if (write) await writeFile("test/verdicts.md", markdown(rows));
		const written = sectionsOf(await readFile("test/verdicts.md", "utf8"));
		expect([...written.keys()]).toEqual(Object.keys(expected));
		for (const [name, section] of sectionsOf(markdown(rows))) expect(written.get(name)).toBe(section);
	});
});
