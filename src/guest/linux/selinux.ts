import type { RE2JS } from "re2js";
import { refused } from "../../bytes/errors.js";
import type { FileType } from "../../filesystem/filesystem.js";
import type { GuestTree } from "../../filesystem/tree.js";

/** In bytes: a policy's `file_contexts` has about half a MiB. */
const LONGEST_FILE = 8 << 20;
/** Characters of patterns that are compiled to label the files of one guest; all of a real policy has less. */
const MOST_COMPILED = 384 << 10;
const LONGEST_PATTERN = 4096;

/** What the security policy of a guest says about its files. */
export interface FileContexts {
	/**
	 * The context that a file at `path` is to have; `undefined` where the policy gives it none, or says so in a pattern
	 * that is not understood here. `path` is absolute and free of links.
	 */
	contextOf(path: string, type: FileType): string | undefined;
}

/**
 * The file contexts of a guest with SELinux, found and matched as libselinux does; `undefined` where it is switched off
 * or not there: https://man7.org/linux/man-pages/man5/selinux_config.5.html and
 * https://man7.org/linux/man-pages/man5/selabel_file.5.html
 */
export async function readFileContexts(tree: GuestTree): Promise<FileContexts | undefined> {
	const settings = new Map<string, string>();
	for (const line of (await tree.readText("/etc/selinux/config"))?.split("\n") ?? []) {
		const [, key = "", value = ""] = /^\s*(SELINUX|SELINUXTYPE)=\s*(\S*)/.exec(line) ?? [];
		if (key !== "") settings.set(key, value);
	}
	const type = settings.get("SELINUXTYPE") ?? "targeted";
	if (!settings.has("SELINUX") || settings.get("SELINUX")?.toLowerCase().startsWith("disabled")) return undefined;
	if (!/^\w[\w.-]*$/.test(type)) return undefined;
	const file = `/etc/selinux/${type}/contexts/files/file_contexts`;
	const lines = async (suffix: string) => {
		const found = await tree.stat(file + suffix);
		return found?.type === "file" ? linesOf(await tree.readFile(file + suffix, LONGEST_FILE)) : undefined;
	};
	const base = await lines("");
	if (base === undefined) return undefined;
	const more = [...((await lines(".homedirs")) ?? []), ...((await lines(".local")) ?? [])];
	const substitutions = { own: (await lines(".subs")) ?? [], shipped: (await lines(".subs_dist")) ?? [] };
	const { RE2JS } = await import("re2js");
	// Anchored as libselinux does it, so that an alternative outside of brackets is anchored on one side only.
	const compile = (pattern: string) => RE2JS.compile(`^${pattern}$`, RE2JS.DOTALL);
	return new Policy([...base, ...more], substitutions, compile);
}

/** Patterns see bytes, so that each is one character. */
const bytesAsText = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);

const linesOf = (bytes: Uint8Array): readonly (readonly string[])[] =>
	bytesAsText(bytes)
		.split("\n")
		.map((line) => line.trim().split(/\s+/))
		.filter(([first = ""]) => first !== "" && !first.startsWith("#"));

/** What a line of `file_contexts` says. */
interface Spec {
	readonly pattern: string;
	/** Files of this type only. */
	readonly type: string | undefined;
	readonly context: string;
	/** What each path that the pattern fits begins with. */
	readonly prefix: string;
}

const NO_CONTEXT = "<<none>>";
const typeFlags: Readonly<Record<FileType, string | undefined>> = {
	file: "--",
	directory: "-d",
	link: "-l",
	other: undefined,
};

type Lines = readonly (readonly string[])[];

class Policy implements FileContexts {
	/** By path, patterns that fit nothing but one path: these come first. */
	readonly #exact = new Map<string, Spec[]>();
	readonly #patterns: Spec[] = [];
	readonly #substitutions: readonly (readonly Substitution[])[];
	readonly #compile: (pattern: string) => RE2JS;
	readonly #compiled = new Map<Spec, RE2JS | undefined>();
	#length = 0;

	constructor(
		lines: Lines,
		{ own, shipped }: { readonly own: Lines; readonly shipped: Lines },
		compile: (pattern: string) => RE2JS,
	) {
		this.#compile = compile;
		this.#substitutions = [parseSubstitutions(own), parseSubstitutions(shipped)];
		for (const fields of lines) {
			const [pattern = "", ...rest] = fields;
			const context = rest.pop();
			const [type] = rest;
			if (context === undefined || rest.length > 1) continue;
			const { prefix, whole } = literalPrefix(pattern);
			const spec = { pattern, type, context, prefix };
			if (!whole) this.#patterns.push(spec);
			else this.#exact.set(prefix, [...(this.#exact.get(prefix) ?? []), spec]);
		}
	}

	contextOf(path: string, type: FileType): string | undefined {
		const flag = typeFlags[type];
		const suits = (spec: Spec) => spec.type === undefined || flag === undefined || spec.type === flag;
		const key = this.#substitute(bytesAsText(new TextEncoder().encode(path)));
		const exact = this.#exact.get(key)?.findLast(suits);
		// The last line that fits counts.
		const found = exact ?? this.#patterns.findLast((spec) => suits(spec) && this.#fits(spec, key));
		if (found === undefined || found.context === NO_CONTEXT) return undefined;
		if (found !== exact && this.#compiled.get(found) === undefined) return undefined;
		return /^[\x21-\x7e]+$/.test(found.context) ? found.context : undefined;
	}

	/** At most one substitution of each file is made. */
	#substitute(path: string): string {
		let result = path;
		for (const list of this.#substitutions) {
			const found = list.find(({ from }) => result === from || result.startsWith(`${from}/`));
			if (!found) continue;
			const rest = result.slice(found.from.length);
			result = found.to === "/" ? rest || "/" : found.to + rest;
		}
		return result;
	}

	/** Also where the pattern is not understood: then what it says of the path is not known, nor what lines before it say. */
	#fits(spec: Spec, path: string): boolean {
		if (!path.startsWith(spec.prefix)) return false;
		if (!this.#compiled.has(spec)) this.#compiled.set(spec, this.#tryToCompile(spec.pattern));
		// Linear in the length of the path, whatever the pattern.
		return this.#compiled.get(spec)?.matcher(path).find() ?? true;
	}

	#tryToCompile(pattern: string): RE2JS | undefined {
		this.#length += pattern.length;
		if (this.#length > MOST_COMPILED) {
			throw refused("The SELinux policy of this guest has more patterns than can be matched in reasonable time", {
				file: "/etc/selinux",
				hint: "Label the guest's files where it runs, with restorecon.",
			});
		}
		if (pattern.length > LONGEST_PATTERN) return undefined;
		try {
			return this.#compile(pattern);
		} catch {
			return undefined;
		}
	}
}

interface Substitution {
	readonly from: string;
	readonly to: string;
}

/** Later lines come first, as libselinux has it. */
function parseSubstitutions(lines: Lines): readonly Substitution[] {
	return lines.flatMap(([from = "", to]) => (to === undefined ? [] : [{ from, to }])).toReversed();
}

/** What a pattern begins with, as far as every character means itself; `whole` where that is all of it. */
function literalPrefix(pattern: string): { readonly prefix: string; readonly whole: boolean } {
	const quantifiers = "?*+{";
	if (alternatesOutside(pattern)) return { prefix: "", whole: false };
	let prefix = "";
	for (let at = 0; at < pattern.length; ) {
		const escaped = pattern[at] === "\\";
		const letter = pattern[at + (escaped ? 1 : 0)] ?? "";
		const next = pattern[at + (escaped ? 2 : 1)] ?? "";
		const plain = escaped ? /^[^\w]$/.test(letter) : !".^$?*+|[(){".includes(letter);
		if (!plain || (next !== "" && quantifiers.includes(next))) return { prefix, whole: false };
		prefix += letter;
		at += escaped ? 2 : 1;
	}
	return { prefix, whole: true };
}

/** Whether a `|` stands outside of all groups. */
function alternatesOutside(pattern: string): boolean {
	let depth = 0;
	for (const letter of pattern.replace(/\\./gs, "").replace(/\[\^?\]?[^\]]*\]/g, "")) {
		if (letter === "(") depth++;
		else if (letter === ")") depth--;
		else if (letter === "|" && depth <= 0) return true;
	}
	return false;
}
