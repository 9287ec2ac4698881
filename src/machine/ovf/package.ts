import { damaged, notFound, refused } from "../../bytes/errors.js";
import type { ByteSource } from "../../bytes/source.js";
import type { DescriptorFile, Machine, ReadOptions } from "../machine.js";
import { type Decompress, type Open, openContent } from "./files.js";
import { type Manifest, type PackageFiles, readManifest, readSmall } from "./manifest.js";
import { readOvfPackage } from "./read.js";

/** A file of a package: a member of an OVA, or a file beside an OVF. */
export interface PackageMember {
	readonly name: string;
	/** As a tar has it; what is not a `file` is passed over. */
	readonly type?: string;
	readonly source: ByteSource;
}

export interface PackageOptions extends ReadOptions {
	/** Without it, disks that are compressed as a whole are `unsupported`. */
	readonly decompress?: Decompress | undefined;
}

/** An OVF machine with what it is made of. */
export interface OvfPackage {
	readonly machine: Machine;
	/** One for each disk of the machine that has a file, in the machine's order. */
	readonly disks: readonly { readonly id: string; readonly source: ByteSource }[];
	/** The digests of its files; undefined where there are none. */
	readonly manifest: () => Promise<Manifest | undefined>;
}

/**
 * Reads an OVA from the members of its tar ({@link readTar}), which may stand in any order. The first `.ovf` describes
 * the machine. `name` is the archive's, for messages.
 */
export const readOva = async (members: readonly PackageMember[], name: string, options: PackageOptions = {}) =>
	assemble(await openOva(members, name), options);

/** The machine of an OVA, whose disks need not be there. */
export const readOvaMachine = async (members: readonly PackageMember[], name: string, options: ReadOptions = {}) =>
	(await readOvfPackage((await openOva(members, name)).descriptor, options)).machine;

/** Reads an OVF whose files lie beside it; `open` opens one of them by the name the descriptor uses. */
export function readOvfFolder(
	descriptor: DescriptorFile,
	open: Open,
	options: PackageOptions = {},
): Promise<OvfPackage> {
	const own = descriptor.name.replace(/^.*\//, "");
	return assemble(
		{ descriptor, open, manifestName: besides(own, "mf"), certificateName: besides(own, "cert") },
		options,
	);
}

const besides = (descriptor: string, suffix: string) => descriptor.replace(/\.ovf$/i, `.${suffix}`);

async function openOva(members: readonly PackageMember[], name: string): Promise<PackageFiles> {
	const sources = new Map<string, PackageMember>();
	for (const member of members) {
		if (member.type === "folder") continue;
		const path = member.name.replace(/^\.\//, "");
		if (sources.has(path)) throw damaged(`${name} has two members named ${path}`, { file: name });
		sources.set(path, member);
	}
	const path = [...sources.keys()].find((each) => /\.ovf$/i.test(each));
	if (path === undefined) {
		throw notFound(`${name} has no .ovf in it, so it is no OVA`, {
			file: name,
			hint: "List its members with tar -tf.",
		});
	}
	const folder = path.slice(0, path.lastIndexOf("/") + 1);
	const open: Open = async (wanted) => {
		const found = sources.get(folder + wanted) ?? sources.get(wanted);
		if (found === undefined) {
			throw notFound(`${name} has no member ${wanted}, which its descriptor needs`, {
				file: name,
				hint: "The archive is incomplete: download or export it again.",
			});
		}
		if (found.type === undefined || found.type === "file") return found.source;
		throw refused(`${name} has ${wanted} as a ${found.type}, where only files are followed`, { file: name });
	};
	// They should be named like the descriptor, and mostly are.
	const named = (suffix: string) => {
		const usual = besides(path, suffix);
		const found = sources.has(usual)
			? usual
			: [...sources.keys()].find((each) => each.toLowerCase().endsWith(`.${suffix}`));
		return (found ?? usual).replace(/^.*\//, "");
	};
	const descriptor = await readSmall(path, await open(path));
	return { descriptor, open, manifestName: named("mf"), certificateName: named("cert") };
}

async function assemble(files: PackageFiles, { decompress, system }: PackageOptions): Promise<OvfPackage> {
	const { descriptor, open } = files;
	const { machine, references } = await readOvfPackage(descriptor, { system });
	const disks: { id: string; source: ByteSource }[] = [];
	const made: string[] = [];
	// All of its chunks, too.
	const noting: Open = async (name) => {
		const source = await open(name);
		made.push(name);
		return source;
	};
	for (const { id, kind, file } of machine.disks) {
		const reference = file === undefined ? undefined : references.get(file);
		if (kind !== "disk" || reference === undefined) continue;
		disks.push({ id, source: await openContent(reference, descriptor.name, noting, decompress) });
	}
	return { machine, disks, manifest: () => readManifest(files, made) };
}
