import { damaged, refused, unsupported } from "./bytes/errors.js";
import { readBytes } from "./bytes/source.js";
import { confinedNeighbours } from "./disk/neighbours.js";
import { openDisk } from "./disk/registry.js";
import type { FixId } from "./lint/fix/fixes.js";
import {
	importersOf,
	lint,
	type Opened,
	openSubject,
	type Parts,
	repaired,
	type Verdict,
	writeArchive,
	writeFolder,
} from "./lint/index.js";
import type { Importer, RuleOptions } from "./lint/rule.js";
import { type DiskView, kinds, type Subject } from "./lint/subject.js";
import { DESCRIPTOR_LIMIT, findImages, type Origin } from "./open.js";
import { type NamedOptions, openNamedOrigin } from "./open-disk.js";

export interface LintOptions extends RuleOptions, Pick<NamedOptions, "allowExternal" | "spoolLimit"> {
	/** Those that import such packages where left out. */
	readonly importers?: readonly Importer[] | undefined;
	/** Compare files with the manifest's digests, which reads all of them. */
	readonly verify?: boolean;
	readonly signal?: AbortSignal;
}

export interface Linted extends AsyncDisposable {
	readonly subject: Subject;
	readonly verdicts: readonly Verdict[];
	/** What it is made of, where a corrected copy can be written. */
	readonly parts?: Parts;
}

/** Opens what a user named, as it is, and asks importers about it. */
export async function lintNamed(name: string, options: LintOptions = {}): Promise<Linted> {
	const opened = await openLinted(name, options);
	const { subject, parts } = opened;
	const verdicts = lint(subject, options.importers ?? importersOf(subject.kind), options);
	return { subject, verdicts, ...(parts && { parts }), [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose]() };
}

async function openLinted(name: string, options: LintOptions): Promise<Opened> {
	const { allowExternal, spoolLimit } = options;
	// As raw: what archives hold is looked at by lint itself.
	const file = await openNamedOrigin(name, { format: "raw", allowExternal, spoolLimit });
	try {
		const opened = (await openSubject(file, options)) ?? (await described(file));
		if (opened !== undefined) return closing(opened, file);
	} catch (error) {
		await file[Symbol.asyncDispose]();
		throw error;
	}
	await file[Symbol.asyncDispose]();
	const origin = await openNamedOrigin(name, { allowExternal, spoolLimit });
	try {
		return closing(
			(await openSubject(origin, options)) ?? (await described(origin)) ?? (await bareDisk(origin)),
			origin,
		);
	} catch (error) {
		await origin[Symbol.asyncDispose]();
		throw error;
	}
}

const closing = (opened: Opened, origin: AsyncDisposable): Opened => ({
	...opened,
	async [Symbol.asyncDispose]() {
		await opened[Symbol.asyncDispose]();
		await origin[Symbol.asyncDispose]();
	},
});

/** A descriptor of another kind, with the disks that it names. */
async function described(origin: Origin): Promise<Opened | undefined> {
	if (origin.source.size > DESCRIPTOR_LIMIT) return undefined;
	const { kind, described: machine, images } = await findImages(origin);
	if (machine === undefined) return undefined;
	const text = new TextDecoder().decode(await readBytes(origin.source, 0, origin.source.size));
	const version = kind === "vmx" ? /^\s*virtualHW\.version\s*=\s*"(\d{1,3})"/im.exec(text)?.[1] : undefined;
	const disks = await Promise.all(images.map(({ source, neighbour }) => diskView({ source, neighbour })));
	const subject: Subject = {
		name: origin.source.name,
		kind: kinds.find((each) => each === kind) ?? "disk",
		members: [],
		machine,
		disks,
		hardwareVersion: version === undefined ? undefined : Number(version),
	};
	return {
		subject,
		async [Symbol.asyncDispose]() {
			for (const { source } of images) await source[Symbol.asyncDispose]?.();
		},
	};
}

async function bareDisk(origin: Origin): Promise<Opened> {
	const disk = await diskView(origin);
	if (disk.problem !== undefined) {
		throw unsupported(`${origin.source.name} is no package, and no disk that can be opened: ${disk.problem}`, {
			file: origin.source.name,
			hint: "Name an OVA, an OVF, an XVA, a disk image, or a folder with one of these.",
		});
	}
	return {
		subject: { name: origin.source.name, kind: "disk", members: [], disks: [disk] },
		[Symbol.asyncDispose]: () => Promise.resolve(),
	};
}

async function diskView({ source, neighbour }: Origin): Promise<DiskView> {
	const name = source.name.replace(/^.*[\\/]/, "");
	try {
		const disk = await openDisk(source, { neighbours: confinedNeighbours(neighbour) });
		const { format, size } = disk;
		await disk[Symbol.asyncDispose]?.();
		return { name, format, size };
	} catch (error) {
		return { name, problem: error instanceof Error ? error.message : String(error) };
	}
}

export interface FixOptions extends LintOptions {
	readonly overwrite?: boolean;
	/** Seconds since 1970. */
	readonly now: number;
	readonly onProgress?: (bytes: number) => void;
}

/**
 * Writes a corrected copy: of an OVA or XVA a file, of an OVF a folder, or an OVA where `output` is called so. It appears when it is complete; the original is
 * only read.
 *
 * @throws `refused` for what is no package of several files, `damaged` for one that its manifest contradicts
 */
export async function fixNamed(
	{ subject, verdicts, parts }: Linted,
	output: string,
	options: FixOptions,
): Promise<void> {
	if (parts === undefined) {
		throw refused(`${subject.name} is not a package that can be corrected`, {
			file: subject.name,
			hint: "OVA, OVF and XVA can; the fixes that are listed say what to do with others.",
		});
	}
	const [wrong] = subject.manifest?.wrong ?? [];
	if (wrong !== undefined) {
		// A new manifest would vouch for what is broken.
		throw damaged(`${subject.name}: ${wrong} is not what its manifest says`, {
			file: subject.name,
			hint: "Get the package again; --no-verify corrects it as it is.",
		});
	}
	const wanted = new Set<FixId>();
	const becomesOva = parts.kind === "ovf" && /\.ova$/i.test(output);
	// It is judged as what it becomes.
	const asked = options.importers ?? importersOf(becomesOva ? "ova" : subject.kind);
	const told = becomesOva && options.importers === undefined ? lint(subject, asked, options) : verdicts;
	const found = new Set(told.flatMap(({ findings }) => findings.map(({ rule }) => rule)));
	for (const { id, repair } of asked.flatMap(({ rules }) => rules)) {
		if (repair !== undefined && found.has(id)) wanted.add(repair);
	}
	const corrected = await repaired(parts, subject, wanted, options);
	if (parts.kind === "ovf" && !becomesOva) {
		const { outputFolder } = await import("./source/folder.js");
		await using folder = await outputFolder(output, { overwrite: options.overwrite });
		await writeFolder(corrected, folder, options);
		await folder.commit();
		return;
	}
	const { fileSink } = await import("./source/sink.js");
	await using sink = await fileSink(output, { overwrite: options.overwrite });
	await sink.commit(await writeArchive(corrected, sink, options));
}
