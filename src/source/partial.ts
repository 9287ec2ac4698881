import { readFileSync, readlinkSync, rmSync } from "node:fs";
import { lstat, readdir, rm } from "node:fs/promises";
import path from "node:path";
import { crc32 } from "../bytes/checksum/index.js";
import { refused } from "../bytes/errors.js";

/** What is being written: the path of each partial file or folder, and the name it is meant for, where it is an output. */
const partial = new Map<string, string | undefined>();

/**
 * Where an output grows until it is complete: beside its target, so that the last step is a rename.
 *
 * @param part of an output of several files: 0 for the one that gives the others their place, then 1, 2, …
 */
export function partialPath(target: string, part = 0): string {
	const own = `partial-${process.pid}-${origin()}${part === 0 ? "" : `.${part}`}`;
	return path.join(path.dirname(target), `.${path.basename(target)}.${own}`);
}

let known: string | undefined;

/**
 * Where process ids mean what they mean to this process: this start of this system, and the container. Eight digits; all
 * systems but Linux are one.
 */
function origin(): string {
	known ??= digest(`${read(() => readFileSync(BOOT, "latin1"))} ${read(() => readlinkSync(CONTAINER))}`);
	return known;
}

const BOOT = "/proc/sys/kernel/random/boot_id";
const CONTAINER = "/proc/self/ns/pid";

function read(reading: () => string): string {
	try {
		return reading();
	} catch {
		return "";
	}
}

const digest = (text: string) => crc32(new TextEncoder().encode(text)).toString(16).padStart(8, "0");

/** Milliseconds after which what another system or container has not written to is left over: nothing else tells. */
const ABANDONED = 600_000;

/**
 * Removes what a run that was killed outright (SIGKILL, a power cut) left of an output of this name. A partial output of
 * a process that still lives stays, and so does one of our own. Of another system, or another container, only what has
 * not been written to for ten minutes is removed.
 */
export async function removeAbandoned(target: string): Promise<void> {
	const folder = path.dirname(target);
	const prefix = `.${path.basename(target)}.partial-`;
	for (const name of await readdir(folder).catch(() => [])) {
		const rest = name.startsWith(prefix) ? name.slice(prefix.length) : "";
		const [, pid, from] = /^([1-9]\d{0,9})-([0-9a-f]{8})(?:\.\d+)?$/.exec(rest) ?? [];
		if (pid === undefined) continue;
		const file = path.join(folder, name);
		const stays = from === origin() ? isUnderWay(file, Number(pid)) : await isFresh(file);
		if (!stays) await rm(file, { recursive: true, force: true });
	}
}

/** Of a folder, its newest file counts. */
async function isFresh(file: string): Promise<boolean> {
	const names = await readdir(file).catch(() => []);
	for (const each of [file, ...names.map((name) => path.join(file, name))]) {
		const found = await lstat(each).catch(() => undefined);
		if (found !== undefined && Date.now() - found.mtimeMs < ABANDONED) return true;
	}
	return false;
}

const isUnderWay = (file: string, pid: number) => (pid === process.pid ? partial.has(file) : isAlive(pid));

function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		// EPERM: it is somebody else's.
		return !(error instanceof Error && "code" in error && error.code === "ESRCH");
	}
}

/**
 * Creates a partial file or folder, which {@link removePartialOutputs} knows from the first moment on.
 *
 * @throws `refused` where this process is writing that output already; and what `create` throws
 */
export async function startPartial<T>(file: string, target: string, create: () => Promise<T>): Promise<T> {
	if (partial.has(file)) {
		throw refused(`${target} is being written already`, { file: target, hint: "Choose another name for one of them." });
	}
	partial.set(file, target);
	try {
		return await create();
	} catch (error) {
		partial.delete(file);
		throw error;
	}
}

export function forgetPartial(file: string): void {
	partial.delete(file);
}

/** Has {@link removePartialOutputs} remove a folder of temporary files as well, until it is forgotten. */
export function startScratch(folder: string): void {
	partial.set(folder, undefined);
}

/**
 * Removes every output that is not complete, at once and synchronously: for a signal handler that is about to end the
 * process. Returns the names that they were meant for.
 */
export function removePartialOutputs(): string[] {
	const removed: string[] = [];
	for (const [file, target] of partial) {
		try {
			rmSync(file, { recursive: true, force: true });
			if (target !== undefined) removed.push(target);
		} catch {
			// The process ends now; the others still deserve their removal.
		}
	}
	partial.clear();
	return removed;
}
