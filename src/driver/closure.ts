import { aliasIndex } from "../device/alias-index.js";
import type { ModuleIndex } from "../guest/guest.js";

export interface Closure {
	/** Names of all modules to load, each after the modules it needs. Built-in ones are left out: they need no file. */
	readonly order: string[];
	/** Names that the kernel has neither built in nor as a file, though a module asks for them. */
	readonly missing: string[];
}

/**
 * The modules with all they depend on, as modprobe would load them. Soft dependencies are included where the kernel has
 * them, since modprobe passes over the others: one may name an alias, such as `crct10dif`, and then means every module
 * behind it. (Of several softdep lines for one module modprobe heeds the first; here all count.) The same modules in the same order give the same answer; a cycle is broken where it closes.
 */
export function closure(modules: readonly string[], index: ModuleIndex): Closure {
	return walk(modules, index, (name) => {
		const softdep = index.softdeps.get(name);
		return {
			pre: softdep?.pre.flatMap((soft) => behind(soft, index)) ?? [],
			post: softdep?.post.flatMap((soft) => behind(soft, index)) ?? [],
		};
	});
}

/** As {@link closure}, but only what the modules cannot be loaded without. */
export function requirements(modules: readonly string[], index: ModuleIndex): Closure {
	return walk(modules, index, () => ({ pre: [], post: [] }));
}

/** Modules behind the name of a module or an alias; none where the kernel has none as a file. */
function behind(name: string, index: ModuleIndex): readonly string[] {
	if (index.builtin.has(name)) return [];
	return index.paths.has(name)
		? [name]
		: aliasIndex(index.aliases)
				.modules(name)
				.filter((one) => index.paths.has(one));
}

type SoftDependencies = (name: string) => { readonly pre: readonly string[]; readonly post: readonly string[] };

/** Depth first, with a stack of its own: a hostile modules.dep may be a chain of any length. */
function walk(modules: readonly string[], index: ModuleIndex, soft: SoftDependencies): Closure {
	const order: string[] = [];
	const missing: string[] = [];
	const seen = new Set<string>();
	/** Work ahead, next one last: a module to visit, or one whose dependencies have been visited. */
	const ahead: { readonly name: string; readonly visited: boolean }[] = [];
	const visitLater = (names: readonly string[]) => {
		for (let at = names.length - 1; at >= 0; at--) {
			const name = names[at];
			if (name !== undefined) ahead.push({ name, visited: false });
		}
	};

	visitLater(modules);
	for (let next = ahead.pop(); next !== undefined; next = ahead.pop()) {
		const { name, visited } = next;
		if (visited) {
			order.push(name);
			continue;
		}
		if (seen.has(name) || index.builtin.has(name)) continue;
		seen.add(name);
		if (!index.paths.has(name)) {
			missing.push(name);
			continue;
		}
		const { pre, post } = soft(name);
		visitLater(post);
		ahead.push({ name, visited: true });
		visitLater(index.dependencies.get(name) ?? []);
		visitLater(pre);
	}
	return { order, missing };
}
