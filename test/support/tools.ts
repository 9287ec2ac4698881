import { execFile, execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

const exec = promisify(execFile);

/** Runs an independent judge; a non-zero exit throws with what it printed. */
export async function run(command: string, ...args: string[]): Promise<string> {
	const { stdout } = await exec(command, args, { maxBuffer: 64 << 20, timeout: 300_000 });
	return stdout;
}

/**
 * For `describe.skipIf(missing("qemu-img"))(\`… ${because("qemu-img")}\`)`: the judge's absence is a skip whose title
 * says which package brings it.
 */
export function missing(...commands: string[]): boolean {
	return commands.some((command) => !onPath(command));
}

function onPath(command: string): boolean {
	try {
		execFileSync("sh", ["-c", `command -v "$1"`, "sh", command], { stdio: "ignore" });
		return true;
	} catch {
		return false;
	}
}

/** The part of a skipped suite's title that names its reason. */
export function because(...commands: string[]): string {
	const absent = commands.filter((command) => !onPath(command));
	return absent.length === 0 ? "" : `(skipped: ${absent.join(", ")} not installed; see scripts/system-packages.sh)`;
}

/**
 * How often a property is tried: `usual` times, or as many times as much as FC_RUNS says. CI has 40 minutes; by hand, mutants
 * may be looked for all night: `FC_RUNS=100 FC_SEED=$RANDOM npx vitest run --project unit test/disk/mutation`.
 */
export const trials = (usual: number): number => usual * Math.max(1, Number(process.env["FC_RUNS"] ?? 1));

/** A folder that disappears after the test file. */
export async function temporaryFolder(): Promise<string> {
	const folder = await mkdtemp(path.join(tmpdir(), "anyvisor-test-"));
	folders.push(folder);
	return folder;
}

/** Also those that a test asks for while it runs, where it is too late for a hook of its own. */
const folders: string[] = [];

/** Called at the end of each test file. */
export async function removeTemporaryFolders(): Promise<void> {
	for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
}

/** Folder of real files from other projects, read in place; undefined where this checkout has none. */
export const corpus: string | undefined = [process.env["ANYVISOR_CORPUS"], path.resolve("../shared/corpus")].find(
	(folder) => folder !== undefined && existsSync(path.join(folder, "MANIFEST.tsv")),
);

/** The part of a corpus suite's title that names the reason of a skip. */
export const corpusReason = corpus === undefined ? "(skipped: no corpus; set ANYVISOR_CORPUS to its folder)" : "";
