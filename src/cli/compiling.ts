import {
	closeSync,
	fstatSync,
	mkdirSync,
	openSync,
	readSync,
	renameSync,
	rmSync,
	statSync,
	writeFileSync,
} from "node:fs";
import { createRequire } from "node:module";
import { homedir } from "node:os";
import path from "node:path";
import type V8 from "node:v8";
import { Script } from "node:vm";

const load = createRequire(import.meta.url);
const bundle = import.meta.dirname;
/** What Node gives to each CommonJS module: https://nodejs.org/docs/latest-v20.x/api/modules.html#the-module-wrapper */
const BEGIN = Buffer.from("(function (exports, require, module, __filename, __dirname) { ");
const END = Buffer.from("\n})");

/**
 * Says how V8 compiles the bundle.
 *
 * @param command the first word after the command's name
 * @param version of this package: in a package from a registry, files of all versions bear the same time
 */
export function prepareCompiler(command: string | undefined, version: string): void {
	const late = command === "inspect";
	// Most of what it runs, it runs for some milliseconds: to optimise that costs more than it gives. What runs for long
	// still is, somewhat later. In V8's units, 15 times the usual.
	if (late) (load("node:v8") as typeof V8).setFlagsFromString("--interrupt-budget=2000000");
	if (process.env["NODE_DISABLE_COMPILE_CACHE"] || process.env["NODE_COMPILE_CACHE"]) return;
	const caches = process.env["XDG_CACHE_HOME"] || homeCaches();
	// V8 takes back only what it made with the same flags.
	if (caches) keepCompiledCode(path.join(caches, "anyvisor", late ? "compiled-late" : "compiled"), version);
}

function homeCaches(): string | undefined {
	try {
		return path.join(homedir(), ".cache");
	} catch {
		// A user without a name, as in containers, has no home.
		return undefined;
	}
}

/**
 * Keeps what V8 compiles of the bundle for the next run: nearly half of a short command's time goes into that. From Node 22
 * on Node does the same when asked to, but in a folder for everybody's temporary files; see
 * docs/adr/0004-bundled-command-line.md. Whatever goes wrong, code is compiled as usual.
 */
function keepCompiledCode(folder: string, version: string): void {
	const kept = new Map<string, () => Buffer>();
	const usual = load.extensions[".js"];
	load.extensions[".js"] = (module, file) => {
		if (path.dirname(file) !== bundle || !file.endsWith(".js")) return usual?.(module, file);
		const { size, mtimeMs } = statSync(file);
		const name = path.join(folder, `${path.basename(file)}.${process.arch}`);
		const key = `${version} ${size} ${mtimeMs} ${process.version}`;
		const code = wrapped(file);
		const cachedData = codeIn(name, key);
		const script = new Script(code, {
			filename: file,
			...(cachedData && { cachedData }),
		});
		if (script.cachedDataRejected ?? true) kept.set(name, () => sealed(key, script.createCachedData()));
		const run = script.runInThisContext() as (...args: unknown[]) => void;
		run.call(module.exports, module.exports, (name: string) => module.require(name), module, file, bundle);
	};
	// By then the functions that ran have been compiled as well.
	process.on("exit", () => {
		if (kept.size > 0) keep(folder, kept);
	});
}

/** One after the other read into it: memory that is touched for the first time costs more than reading. */
let room = Buffer.allocUnsafeSlow(1 << 19);

/** Until the next one is read. */
function read(file: string, before = 0, after = 0): Buffer {
	const fd = openSync(file, "r");
	try {
		const length = before + fstatSync(fd).size + after;
		if (room.length < length) room = Buffer.allocUnsafeSlow(length);
		let end = before;
		for (let got = 1; got > 0 && end < length - after; end += got)
			got = readSync(fd, room, end, length - after - end, null);
		return room.subarray(0, end + after);
	} finally {
		closeSync(fd);
	}
}

/** The bundle is ASCII. */
function wrapped(file: string): string {
	const code = read(file, BEGIN.length, END.length);
	BEGIN.copy(code);
	END.copy(code, code.length - END.length);
	return code.toString("latin1");
}

/** V8 runs whatever it is given: it has to be whole, and nobody else's. */
function codeIn(file: string, key: string): Buffer | undefined {
	try {
		const { uid, mode } = statSync(file);
		if (process.geteuid && (uid !== process.geteuid() || (mode & 0o022) !== 0)) return undefined;
		const bytes = read(file);
		const middle = bytes.length >> 1;
		const content = bytes.subarray(0, middle);
		const end = middle - Buffer.byteLength(key);
		if (content.toString("latin1", end) !== key || !content.equals(bytes.subarray(middle))) return undefined;
		return content.subarray(0, end);
	} catch {
		return undefined;
	}
}

/** Twice: to compare takes a hundredth of the time in which Node loads a checksum. */
function sealed(key: string, code: Buffer): Buffer {
	// First, because V8 copies what does not begin at a whole word.
	const content = [code, Buffer.from(key)];
	return Buffer.concat([...content, ...content]);
}

function keep(folder: string, kept: ReadonlyMap<string, () => Buffer>): void {
	try {
		mkdirSync(folder, { recursive: true, mode: 0o700 });
		for (const [file, code] of kept) {
			const partial = `${file}.${process.pid}`;
			try {
				writeFileSync(partial, code(), { mode: 0o600, flag: "wx" });
				renameSync(partial, file);
			} catch {
				rmSync(partial, { force: true });
			}
		}
	} catch {
		// The next run compiles again.
	}
}
