import { type Change, optionalRules, type Rule, rules } from "./change.js";
import type { Planning } from "./planning.js";
import { planCommandLines } from "./rules/command-lines.js";
import { planDropIns } from "./rules/drop-in.js";
import { planEspFallback } from "./rules/esp-fallback.js";
import { planInitramfs } from "./rules/initramfs.js";
import { planNetwork } from "./rules/network.js";
import { planFstab } from "./rules/stable-names.js";

interface Planner {
	/** One of which is wanted at least. */
	readonly rules: readonly Rule[];
	plan(planning: Planning, wanted: ReadonlySet<Rule>): Promise<readonly Change[]>;
}

const planners: readonly Planner[] = [
	{ rules: ["initramfs"], plan: planInitramfs },
	{ rules: ["drop-in"], plan: planDropIns },
	{ rules: ["fstab"], plan: planFstab },
	{ rules: ["cmdline", "console"], plan: planCommandLines },
	{ rules: ["esp-fallback"], plan: planEspFallback },
	{ rules: ["network"], plan: planNetwork },
];

/**
 * All that a guest lacks to boot on `planning.targets`, as data; nothing is written. A guest that lacks nothing has an
 * empty plan, so planning after {@link apply} gives one.
 *
 * @param skip rules to leave out
 * @param also rules that do nothing unless they are asked for
 */
export async function plan(
	planning: Planning,
	skip: ReadonlySet<Rule> = new Set(),
	also: ReadonlySet<Rule> = new Set(),
): Promise<readonly Change[]> {
	const asked = (rule: Rule) => also.has(rule) || !optionalRules.includes(rule);
	const wanted = new Set(rules.filter((rule) => asked(rule) && !skip.has(rule)));
	const changes: Change[] = [];
	for (const planner of planners) {
		if (planner.rules.some((rule) => wanted.has(rule))) changes.push(...(await planner.plan(planning, wanted)));
	}
	return withLinkFiles(changes, planning);
}

/** As generators do that put udev into an initramfs. What is there already stays: drivers are all that others lack. */
function withLinkFiles(changes: readonly Change[], { guest }: Planning): readonly Change[] {
	const files = changes
		.filter(({ rule, path }) => rule === "network" && path.endsWith(".link"))
		.map(({ path }) => path);
	return changes.map((change) => {
		if (files.length === 0 || change.action !== "append-modules") return change;
		const initramfs = guest.kernels.find(({ version }) => version === change.kernel)?.initramfs;
		return initramfs?.udev ? { ...change, files } : change;
	});
}
