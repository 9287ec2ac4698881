import { execFileSync } from "node:child_process";
import { cp, mkdir, open, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type ByteSource, bytesSource } from "../../src/bytes/source.js";
import type { Initramfs } from "../../src/guest/guest.js";
import { cpioTrailer } from "../../src/guest/initramfs/cpio.js";
import { readInitramfs } from "../../src/guest/initramfs/initramfs.js";
import { Rootfs } from "../../src/guest/initramfs/rootfs.js";
import { unpackInitramfs } from "../../src/guest/initramfs/unpack.js";
import { KmodIndex } from "../../src/guest/linux/kmod-index.js";
import { indexedAliases, isModuleFile, moduleName } from "../../src/guest/linux/modules.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { processorTime } from "./support/cpu.js";
import { hostKernel, hostKernelReason } from "./support/host.js";

const judges = ["mkinitramfs", "cpio", "lsinitramfs", "unmkinitramfs", "gzip", "zstd", "xz", "lz4", "bzip2"];
const skip = hostKernel === undefined || missing(...judges);

const recompressed = [
	{ id: "xz", command: "xz -0 --check=crc32" },
	{ id: "lz4-legacy", command: "lz4 -l -q -1" },
	{ id: "bzip2", command: "bzip2 -1" },
] as const;

describe.skipIf(skip)(`initramfs of this machine ${hostKernelReason}${because(...judges)}`, () => {
	let folder: string;
	let gzipped: string;
	let unpacked: string;
	const version = hostKernel ?? "";

	/** One image by the generator itself, and what is in it in the other formats that it offers. */
	beforeAll(async () => {
		folder = await temporaryFolder();
		const configuration = path.join(folder, "conf");
		await cp("/etc/initramfs-tools", configuration, { recursive: true });
		await writeFile(path.join(configuration, "initramfs.conf"), "MODULES=list\nBUSYBOX=auto\nCOMPRESS=gzip\n");
		await writeFile(path.join(configuration, "modules"), "# for the test\nvirtio_blk\nvmw_pvscsi\n");
		gzipped = path.join(folder, "gzip.img");
		await run("/usr/sbin/mkinitramfs", "-d", configuration, "-c", "gzip", "-o", gzipped, version);
		execFileSync("sh", ["-c", `gzip -dc "$1" | zstd -q -1 > "$2"`, "sh", gzipped, path.join(folder, "zstd.img")]);

		// The rest without programs and libraries, which only take time here.
		unpacked = path.join(folder, "unpacked");
		await mkdir(unpacked);
		await run("unmkinitramfs", gzipped, unpacked);
		const select = "find . -not -path '*bin/*' -not -path '*.so*' | cpio -o -H newc --quiet";
		for (const { id, command } of recompressed) {
			execFileSync("sh", ["-c", `${select} | ${command} > "$1"`, "sh", path.join(folder, `${id}.img`)], {
				cwd: unpacked,
			});
		}
	}, 120_000);

	it.each(["gzip", "zstd", ...recompressed.map(({ id }) => id)])("lists in %s what lsinitramfs lists", async (id) => {
		const file = path.join(folder, `${id}.img`);
		const names = (await run("lsinitramfs", file)).trim().split("\n");
		const initramfs = await facts(file, version);
		const modules = names.filter((name) => name.includes(`/${version}/`) && isModuleFile(name)).map(moduleName);
		expect(new Set(initramfs.modules.keys())).toEqual(new Set(modules));
		expect([...initramfs.modules.keys()]).toContain("vmw_pvscsi");
		// Beside ours, what the hooks of this machine's packages (mdadm, for one) ask for.
		const lines = (await readFile(path.join(unpacked, "conf/modules"), "utf8")).split("\n");
		const listed = new Set(lines.flatMap((line) => /^[^#\s]+/.exec(line)?.[0].replaceAll("-", "_") ?? []));
		expect([...listed]).toEqual(expect.arrayContaining(["virtio_blk", "vmw_pvscsi"]));
		expect(initramfs).toMatchObject({
			generator: "initramfs-tools",
			forced: listed,
			modulesDirectory: `usr/lib/modules/${version}`,
			size: (await stat(file)).size,
			segments: [{ at: 0, length: (await stat(file)).size, compression: id, early: false }],
		});
	});

	it("unpacks the same files as unmkinitramfs", async () => {
		const listed = (await run("find", unpacked, "-type", "f", "-printf", "%P\\n")).trim().split("\n");
		const rootfs = new Rootfs();
		await unpackInitramfs(bytesSource(new Uint8Array(await readFile(gzipped))), rootfs, () => true);
		for (const name of listed) {
			const found = rootfs.find(name);
			const contents = found?.type === "file" ? (found.contents ?? new Uint8Array()) : undefined;
			const same = contents && (await readFile(path.join(unpacked, name))).equals(contents);
			expect({ name, same }).toEqual({ name, same: true });
		}
		const files = [...rootfs.filesBelow("/")].filter((name) => rootfs.findLink(name)?.type === "file");
		expect(files.sort()).toEqual(listed.sort());
		const index = new Uint8Array(await readFile(path.join(unpacked, `usr/lib/modules/${version}/modules.alias.bin`)));
		const { aliases } = await facts(gzipped, version);
		expect([...(aliases ?? [])]).toEqual([...indexedAliases(new KmodIndex(index, "judge"))]);
		expect(listed).not.toContain(cpioTrailer);
	});

	it("judges a zstd image of 10 MB in well under 0.5 s", async () => {
		const file = path.join(folder, "zstd.img");
		await facts(file, version);
		expect(await processorTime(() => facts(file, version))).toBeLessThan(400);
	});
});

async function facts(file: string, version: string): Promise<Initramfs> {
	const handle = await open(file);
	try {
		const source: ByteSource = {
			name: file,
			size: (await handle.stat()).size,
			async read(at, into) {
				await handle.read(into, 0, into.length, at);
			},
		};
		const initramfs = await readInitramfs([{ path: file, source }], version);
		if (!initramfs) throw new Error("no initramfs");
		return initramfs;
	} finally {
		await handle.close();
	}
}
