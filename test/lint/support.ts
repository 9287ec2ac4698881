import { writeFile } from "node:fs/promises";
import path from "node:path";
import { notFound } from "../../src/bytes/errors.js";
import { bytesSource } from "../../src/bytes/source.js";
import { type Importer, importers, lint, openSubject, type RuleOptions } from "../../src/lint/index.js";
import { run } from "../support/tools.js";

const nothingBeside = (name: string) => Promise.reject(notFound(`${name} is not here`));

/** The rules that an OVF without its files breaks, by importer; the missing files are left out. */
export async function broken(
	name: string,
	bytes: Uint8Array,
	options: RuleOptions & { readonly asked?: readonly Importer[] } = {},
): Promise<readonly string[]> {
	const opened = await openSubject({ source: bytesSource(bytes, name), neighbour: nothingBeside });
	if (opened === undefined) throw new Error(`${name} is no package`);
	const found = lint(opened.subject, options.asked ?? importers, options).flatMap(({ findings }) => findings);
	return [...new Set(found.map(({ rule }) => rule))].filter((rule) => !/\/(?:missing-file|kind)$/.test(rule));
}

/** A streamOptimized VMDK of some MiB, made by QEMU. */
export async function diskFile(folder: string, name: string, variant = "streamOptimized"): Promise<string> {
	const raw = path.join(folder, `${name}.raw`);
	await writeFile(raw, new Uint8Array(2 << 20).fill(7, 4096, 70_000));
	await run(
		"qemu-img",
		"convert",
		"-f",
		"raw",
		"-O",
		"vmdk",
		"-o",
		`subformat=${variant}`,
		raw,
		path.join(folder, name),
	);
	await run("rm", raw);
	return path.join(folder, name);
}

/** Packs files of a folder with tar, in this order. */
export async function packed(folder: string, archive: string, names: readonly string[]): Promise<string> {
	const file = path.join(folder, archive);
	await run("tar", "--format=ustar", "-cf", file, "-C", folder, ...names);
	return file;
}
