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
import { computedOf, markdown, type Row } from "./verdicts/table.js";

const tools = [
	...["mkinitramfs", "dracut", "unshare", "grub-mkimage", "depmod", "cpio", "xz", "zstd", "busybox"],
	...["sfdisk", "losetup", "lvcreate", "mke2fs", "mkfs.xfs", "mkfs.btrfs", "mkfs.vfat", "mcopy"],
];
const root = process.platform === "linux" && process.getuid?.() === 0;
const skip = !root || missing(...tools);
const why = root ? because(...tools) : "(skipped: only root on Linux has loop devices and mounts)";

describe.skipIf(skip)(`guests of every family ${why}`, () => {
	const rows: Row[] = [];

	beforeAll(async () => {
		const options = { timeout: 900_000, maxBuffer: 1 << 20 };
		const { stdout } = await promisify(execFile)("node", ["scripts/guest/replicas.mjs"], options);
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

	it("each that is expected is made", () => {
		expect(rows.map(({ name }) => name).sort()).toEqual(Object.keys(expected).sort());
	});

	const cases = Object.entries(expected).map(([name, { why, ...want }]) => [`${name}: ${why}`, name, want] as const);

	it.each(cases)("%s", (_title, name, want) => {
		expect(rows.find((row) => row.name === name)?.computed).toEqual(want);
	});

	it("test/verdicts.md is what is computed; `npm run verdicts` writes it", async () => {
		const text = markdown(rows);
		if (process.env["WRITE_VERDICTS"]) await writeFile("test/verdicts.md", text);
		expect(await readFile("test/verdicts.md", "utf8")).toBe(text);
	});
});
