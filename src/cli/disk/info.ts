import { statSync } from "node:fs";
import { Command } from "commander";
import type { DiskDetails, Snapshot } from "../../disk/disk.js";
import { type ImageOptions, imageOptions, options, withOptions } from "../options.js";
import { stdout } from "../standard-streams.js";
import type { Asked } from "./chain.js";

interface InfoOptions extends ImageOptions {
	readonly json?: true;
	readonly format?: string;
}

export function infoCommand(): Command {
	const command = new Command("info")
		.summary("say what an image is, how large, and which files it needs")
		.description(
			`Tells the format of a disk image and its variant, the size of the disk and of the file, what the format has to say
of itself, the files it refers to, and the snapshots inside. Files that are missing, or that lie outside of the image's
folder, are named.`,
		)
		.argument("<image>", "disk image, or what holds one");
	return withOptions(command, options.json(), options.format(), ...imageOptions()).action(run);
}

/** What `--json` prints. */
export interface DiskInfo {
	readonly file: string;
	readonly format: string;
	readonly variant: string | null;
	/** In bytes; null where the image cannot be opened without the files that it misses. */
	readonly virtualSize: number | null;
	readonly sectorSize: number | null;
	readonly fileSize: number;
	/** What the file takes up where it lies; null where that cannot be known. */
	readonly allocated: number | null;
	readonly details: DiskDetails;
	/** The files it refers to, and those that they refer to. */
	readonly files: readonly ReferredFile[];
	readonly snapshots: readonly Snapshot[];
}

export interface ReferredFile {
	readonly name: string;
	/** `external`: outside of the image's folder, and not followed. */
	readonly state: "ok" | "missing" | "external" | "unusable";
	readonly format: string | null;
	readonly size: number | null;
	readonly allocated: number | null;
	readonly problem: string | null;
	readonly hint: string | null;
}

async function run(name: string, given: InfoOptions): Promise<void> {
	const [{ openNamedImage }, { openWithoutMissing }, { infoText }] = await Promise.all([
		import("../../open-disk.js"),
		import("./chain.js"),
		import("./info-text.js"),
	]);
	await using origin = await openNamedImage(name, given);
	const { source } = origin;
	const { format, disk, asked } = await openWithoutMissing(origin, given.format ?? origin.format);
	try {
		const [id, variant] = (disk?.format ?? format.id).split("/");
		const info: DiskInfo = {
			file: source.name,
			format: id ?? format.id,
			variant: variant ?? null,
			virtualSize: disk?.size ?? null,
			sectorSize: disk?.sectorSize ?? null,
			fileSize: source.size,
			allocated: allocatedOf(source.name),
			details: disk?.details ?? {},
			files: await Promise.all(asked.map(referred)),
			snapshots: disk?.snapshots ?? [],
		};
		stdout.write(given.json ? `${JSON.stringify(info, undefined, 2)}\n` : infoText(info));
	} finally {
		await disk?.[Symbol.asyncDispose]?.();
	}
}

async function referred({ name, source, format, problem }: Asked): Promise<ReferredFile> {
	return {
		name: source?.name ?? name,
		state: stateOf(problem),
		format: format ?? null,
		size: source?.size ?? null,
		allocated: source === undefined ? null : allocatedOf(source.name),
		problem: problem?.message ?? null,
		hint: problem?.kind === "not-found" ? MISSING : (problem?.hint ?? null),
	};
}

const MISSING = "Put the file where the image expects it, under that name.";

function stateOf(problem: Asked["problem"]): ReferredFile["state"] {
	if (problem === undefined) return "ok";
	if (problem.kind === "not-found") return "missing";
	return problem.kind === "refused" ? "external" : "unusable";
}

/** Of a file of this computer, in bytes. */
function allocatedOf(file: string): number | null {
	try {
		const found = statSync(file);
		return found.isFile() ? found.blocks * 512 : null;
	} catch {
		return null;
	}
}
