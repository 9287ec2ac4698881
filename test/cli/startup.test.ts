import { readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { anyvisor, COMMAND } from "./support.js";

interface Loaded {
	/** Modules of this package, as `cli/main.js`. */
	readonly own: readonly string[];
	readonly packages: readonly string[];
}

/** As tsc compiles it, file by file: what one module takes along shows here. */
const COMPILED = path.resolve("dist/cli/main.js");

/** The scripts that a run of the command loads, by V8's own account. */
async function scriptsOf(folder: string, command: string, args: readonly string[]): Promise<readonly string[]> {
	const coverage = path.join(folder, "coverage");
	const { code, stderr } = await anyvisor(args, { command, env: { NODE_V8_COVERAGE: coverage } });
	expect(code, stderr).toBe(0);
	const urls: string[] = [];
	for (const name of await readdir(coverage)) {
		const { result } = JSON.parse(await readFile(path.join(coverage, name), "utf8")) as { result: { url: string }[] };
		urls.push(...result.map(({ url }) => url));
	}
	await rm(coverage, { recursive: true });
	return urls;
}

async function loadedBy(folder: string, ...args: readonly string[]): Promise<Loaded> {
	const urls = await scriptsOf(folder, COMPILED, args);
	const matched = (pattern: RegExp) => [...new Set(urls.flatMap((url) => pattern.exec(url)?.[1] ?? []))].toSorted();
	return {
		own: matched(/^file:(?!.*\/node_modules\/).*\/dist\/(.*)$/),
		packages: matched(/.*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//),
	};
}

interface Bundled {
	/** Files of the bundle, as `open.js`. */
	readonly files: readonly string[];
	/** What lies in them, as in {@link Loaded}. */
	readonly own: readonly string[];
}

async function bundledFilesOf(folder: string, ...args: readonly string[]): Promise<Bundled> {
	const scripts = (await scriptsOf(folder, COMMAND, args)).filter((url) => url.startsWith("file:"));
	const files: string[] = [];
	const own: string[] = [];
	for (const file of scripts.map((url) => fileURLToPath(url))) {
		files.push(path.relative(path.dirname(COMMAND), file));
		// The bundler names each module where it begins.
		for (const [, name = ""] of (await readFile(file, "utf8")).matchAll(/^\/\/ dist\/(.*)$/gm)) own.push(name);
	}
	return { files: files.toSorted(), own };
}

const commandModule =
	/^cli\/(disk\/)?(inspect|pack|expand|convert|models|completion|check|compare|map|snapshot|faces)\.js$/;

describe("a run loads what it needs and nothing else", async () => {
	const folder = await temporaryFolder();

	it.each(["--version", "-V"])("%s loads no command and no package", async (option) => {
		expect(await loadedBy(folder, option)).toEqual({ own: ["cli/main.js", "cli/version.js"], packages: [] });
	});

	it("--help, which is about all of them, loads the commands but not what they do", async () => {
		const { own, packages } = await loadedBy(folder, "--help");
		expect(own).toEqual(expect.arrayContaining(["cli/inspect.js", "cli/disk/convert.js", "cli/models.js"]));
		expect(own.filter((name) => !/^(cli|prepare\/change\.js|bytes\/errors\.js)/.test(name))).toEqual([]);
		expect(packages).toEqual(["commander"]);
	});

	it.each([
		[["convert", "--help"], "cli/disk/convert.js"],
		[["inspect", "--help"], "cli/inspect.js"],
		[["disk", "map", "--help"], "cli/disk/map.js"],
	])("%j loads the module of no other command", async (args, module) => {
		const { own } = await loadedBy(folder, ...args);
		expect(own.filter((name) => commandModule.test(name))).toEqual([module]);
	});

	it.each(["--version", "-V"])("%s loads one file of the bundle", async (option) => {
		const { files, own } = await bundledFilesOf(folder, option);
		expect(files).toEqual(["anyvisor.js"]);
		expect(own.toSorted()).toEqual(["cli/main.js", "cli/version.js"]);
	});

	it.each([
		[["convert", "--help"], "cli/disk/convert.js"],
		[["inspect", "--help"], "cli/inspect.js"],
	])("%j loads the command and no other from the bundle", async (args, module) => {
		const { own } = await bundledFilesOf(folder, ...args);
		expect(own.filter((name) => commandModule.test(name))).toEqual([module]);
	});

	describe.skipIf(missing("qemu-img"))(`disk info ${because("qemu-img")}`, () => {
		it.each([
			["raw", "raw"],
			["qcow2", "qcow2"],
			["vmdk", "vmdk"],
			["vpc", "vhd"],
			["vhdx", "vhdx"],
			["vdi", "vdi"],
		])("of %s", async (driver, format) => {
			const image = path.join(folder, `image.${driver}`);
			await run("qemu-img", "create", "-q", "-f", driver, image, "64M");
			const { own, packages } = await loadedBy(folder, "disk", "info", image);
			// Neither koffi nor XML, YAML or schema libraries.
			expect(packages).toEqual(["commander"]);
			expect(own).toContain(`disk/${format}/read.js`);
			expect(own.filter((name) => /^disk\/\w+\/(write|check)/.test(name))).toEqual([]);
			expect(own.filter((name) => /^disk\/(?!raw)\w+\/read\.js/.test(name) && !name.includes(format))).toEqual([]);
			expect(
				own.filter((name) =>
					/^(volume|filesystem|guest|hypervisor|driver|prepare\/(?!change)|target|certify)/.test(name),
				),
			).toEqual([]);
			// About 0.7 ms each: this is a budget, to be raised with a reason only.
			expect(own.length).toBeLessThanOrEqual(100);

			const bundled = await bundledFilesOf(folder, "disk", "info", image);
			expect(bundled.own).toContain(`disk/${format}/read.js`);
			expect(bundled.files).toContain("open.js");
			expect(bundled.files.filter((name) => name.startsWith("read-"))).toEqual(
				format === "raw" ? [] : [`read-${format}.js`],
			);
			expect(bundled.own.filter((name) => /^disk\/\w+\/(write|check)/.test(name))).toEqual([]);
			expect(bundled.own.filter((name) => commandModule.test(name))).toEqual([]);
			expect(bundled.files).not.toContain("pipeline.js");
			// Each costs half a millisecond; the one that keeps compiled code saves ten times that.
			expect(bundled.files.length).toBeLessThanOrEqual(format === "raw" ? 11 : 6);
		});
	});
});
