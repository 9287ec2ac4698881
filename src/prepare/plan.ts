import type { Change, Rule } from "./change.js";
import type { Planning } from "./planning.js";
import { planDropIns } from "./rules/drop-in.js";
import { planEspFallback } from "./rules/esp-fallback.js";
import { planInitramfs } from "./rules/initramfs.js";
import { planNetwork } from "./rules/network.js";
import { planCommandLine, planFstab } from "./rules/stable-names.js";

const planners: Record<Rule, (planning: Planning) => Promise<readonly Change[]>> = {
	initramfs: planInitramfs,
	"drop-in": planDropIns,
	fstab: planFstab,
	cmdline: planCommandLine,
	"esp-fallback": planEspFallback,
	network: planNetwork,
};

/**
 * All that a guest lacks to boot on `planning.targets`, as data; nothing is written. A guest that lacks nothing has an
 * empty plan, so planning after {@link apply} gives one.
 */
export async function plan(planning: Planning, skip: ReadonlySet<Rule> = new Set()): Promise<readonly Change[]> {
	const changes: Change[] = [];
	for (const [rule, planner] of Object.entries(planners)) {
		if (!skip.has(rule as Rule)) changes.push(...(await planner(planning)));
	}
	return changes;
}
