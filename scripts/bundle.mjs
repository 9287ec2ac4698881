// Bundles the command line, as tsc has compiled it, into few CommonJS files: see docs/adr/0004-bundled-command-line.md.
import { promises, readFileSync, writeFileSync } from "node:fs";
import { createRequire, isBuiltin } from "node:module";
import path from "node:path";
import { rolldown } from "rolldown";
import { command } from "./command.mjs";

const folder = path.dirname(command);
/** Packages whose code becomes part of the bundle; others are found in node_modules when they are needed. */
const bundled = ["commander"];

const FILE_PROMISES = "node:fs/promises";
const LATE_FILE_PROMISES = "\0late file promises";

/** Instead of reading package.json at every start. */
const fixedVersion = {
	name: "fixed version",
	load: {
		filter: { id: /dist[\\/]cli[\\/]version\.js$/ },
		handler() {
			const { version } = JSON.parse(readFileSync("package.json", "utf8"));
			return `export const version = () => ${JSON.stringify(version)};`;
		},
	},
};

/** Commander starts executable subcommands with it, which we have none of; to load it takes milliseconds. */
const withoutChildProcess = {
	name: "without child_process",
	transform: {
		filter: { id: /commander[\\/]lib[\\/]command\.js$/ },
		handler(code) {
			const without = code.replace("const childProcess = require('node:child_process');\n", "");
			if (without === code) this.error("commander does not load child_process as it used to");
			return without;
		},
	},
};

/** Node needs 3 ms to load it, and a command that only looks at a file never calls it. */
const lateFilePromises = {
	name: "late fs/promises",
	resolveId: {
		filter: { id: new RegExp(`^${FILE_PROMISES}$`) },
		handler: () => LATE_FILE_PROMISES,
	},
	load: {
		filter: { id: new RegExp(`^${LATE_FILE_PROMISES}$`) },
		handler() {
			const calls = Object.keys(promises).filter((name) => typeof promises[name] === "function");
			const late = calls.map((name) => `export const ${name} = (...args) => fs.promises.${name}(...args);`);
			return ['import fs, { constants } from "node:fs";', "export { constants };", ...late].join("\n");
		},
	},
};

/** Modules of CommonJS have it, and to load `node:module` takes Node 2 ms. */
const ownRequire = {
	name: "own require",
	transform: {
		filter: { code: "createRequire(import.meta.url)" },
		handler: (code) =>
			code
				.replace('import { createRequire } from "node:module";', "")
				.replaceAll("createRequire(import.meta.url)", "require"),
	},
};

const IMPORTER = "import.cjs";

/** V8 forgets how to import() in code that it has compiled before: a file whose compiled code is not kept does it. */
const importElsewhere = {
	name: "import elsewhere",
	renderChunk: (code) => code.replaceAll(/\bimport\((?="[^"]+"\))/g, `require("./${IMPORTER}")(`),
};

/** By their names in dist/. */
const modules =
	(...names) =>
	(id) =>
		names.includes(path.relative("dist", id).replaceAll("\\", "/").replace(/\.js$/, ""));

const sharedByFilesystems = /dist[\\/]filesystem[\\/]\w+(-\w+)*\.js$/;

/**
 * What is needed together is in one file, because each file costs half a millisecond to find and read. A group takes what
 * its modules import along; the first one that a module belongs to has it.
 */
const groups = [
	// What every command needs.
	{ name: "program", test: modules("cli/program", "cli/options", "cli/progress") },
	// How every command on disks begins.
	{
		name: "open",
		test: modules(
			...["open-disk", "cli/disk/index", "cli/disk/info", "cli/disk/info-text", "cli/disk/chain"],
			// What readers of several formats share: it would be in one of theirs, and drag that along.
			...["disk/mapped", "disk/cache", "disk/paged-runs", "disk/parent", "disk/sector-bitmap", "disk/raw/read"],
			...["bytes/cache", "bytes/checksum/index", "bytes/words"],
		),
	},
	// How every conversion begins, and what writers of several formats share.
	{
		name: "copying",
		test: modules(
			...[
				"cli/disk/convert",
				"cli/disk/size",
				"cli/disk/converting",
				"cli/disk/output",
				"cli/integrity",
				"cli/interrupt",
			],
			...["disk/resize", "disk/variant", "disk/copy", "disk/table-pages", "disk/without-holes", "cli/inputs"],
			...["source/partial", "source/partial-file", "source/sink"],
		),
	},
	// Archives need these, and no guest.
	{ name: "codec", test: modules("bytes/codec/index", "bytes/concat") },
	{ name: "shape", test: modules("machine/shape") },
	// How every command on guests begins, and what several file systems share.
	{
		name: "pipeline",
		test: (id) => modules("pipeline", "bytes/in-turn", "volume/mapping")(id) || sharedByFilesystems.test(id),
	},
	// Most guests have one, and exFAT a few things of it.
	{ name: "files-fat", test: modules("filesystem/fat/index") },
	// What is left of each file system, and of volumes that are assembled.
	{
		name: (id) => `files-${path.basename(path.dirname(id))}`,
		debugName: "file systems",
		test: /dist[\\/](filesystem|volume)[\\/]\w+[\\/]index\.js$/,
	},
	// What is left of each reader.
	{
		name: (id) => `read-${path.basename(path.dirname(id))}`,
		debugName: "readers",
		test: /dist[\\/]disk[\\/]\w+[\\/]read\.js$/,
	},
];

const isPackage = (id) => /^[^./\0]/.test(id) && !path.isAbsolute(id) && !bundled.includes(id);

/** What both bundles have in common. */
const input = {
	platform: "node",
	external: (id) => id !== FILE_PROMISES && (isBuiltin(id) || isPackage(id)),
	plugins: [fixedVersion, withoutChildProcess, lateFilePromises, ownRequire],
	// Modules are loaded when they are needed, whoever else needs them anyway.
	checks: { ineffectiveDynamicImport: false },
};
const output = {
	dir: folder,
	format: "cjs",
	entryFileNames: "[name].js",
	chunkFileNames: "[name].js",
	// Node reads ASCII faster, and keeps it in half the memory.
	charset: "ascii",
	comments: { legal: true, annotation: false, jsdoc: false },
};

async function write(entry, codeSplitting, plugins = []) {
	const build = await rolldown({ ...input, input: entry, plugins: [...input.plugins, ...plugins] });
	await build.write({ ...output, codeSplitting });
	await build.close();
}

export async function bundle() {
	await write({ anyvisor: "dist/cli/main.js" }, { groups }, [importElsewhere]);
	writeFileSync(path.join(folder, IMPORTER), "module.exports = (name) => import(name);\n");
	// Beside the file that starts it, and complete: what commands share would take each worker 50 ms to load.
	await write({ "bulk-worker": "dist/bytes/codec/node/bulk-worker.js" }, false);
	writeFileSync(path.join(folder, "package.json"), `${JSON.stringify({ type: "commonjs" })}\n`);
	writeFileSync(path.join(folder, "THIRD-PARTY-NOTICES"), bundled.map(notice).join("\n\n"));
}

function notice(name) {
	const home = path.dirname(createRequire(import.meta.url).resolve(name));
	return `This folder contains code of ${name}.\n\n${readFileSync(path.join(home, "LICENSE"), "utf8")}`;
}
