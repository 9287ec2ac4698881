import type { Verdict } from "../driver/verdict.js";
import type { Hypervisor } from "../hypervisor/hypervisor.js";
import { type Prepared, prepare, type Wanted } from "../packaging.js";
import type { Rule } from "../prepare/change.js";
import { ExternalEditing } from "../prepare/external-editing.js";
import type { FilesystemJob } from "../source/guestfish.js";
import { layoutNamed, layouts, layoutsFor } from "../target/registry.js";
import { describeChanges } from "./changes.js";
import { selectHypervisors, timeStamp } from "./context.js";
import { type Progress, type ProgressMode, progress } from "./progress.js";
import { painter, table, wantsColour } from "./terminal.js";
import { openNamed, type VmOptions } from "./vm.js";

/** What {@link withPreparingOptions} gives. */
export interface PreparingOptions extends VmOptions {
	readonly for: string;
	readonly dryRun?: true;
	readonly force?: true;
	readonly json?: true;
	readonly skip: readonly Rule[];
	readonly with: readonly Rule[];
	readonly models: readonly string[];
	readonly level?: number;
	readonly progress: ProgressMode;
}

/** A file or folder that was written. */
interface Output {
	readonly hypervisor?: string;
	readonly layout: string;
	readonly path: string;
}

export interface Work extends AsyncDisposable {
	readonly prepared: Prepared;
	readonly progress: Progress;
	/** Virtual size of all disks: what one package passes through. */
	readonly bytes: number;
	/** Time stamp of everything that is written, seconds since 1970. */
	readonly now: number;
	/** For --dry-run: the plan on standard output. */
	tellPlan(): void;
	/** What was written where, and what could not be, on standard output. */
	tellResult(outputs: readonly Output[], blocked: readonly Verdict[]): void;
}

/** Opens the VM that the user named, and makes the prepared view of it that pack and expand write out. */
export async function prepareNamed(
	name: string,
	targets: readonly Hypervisor[],
	given: PreparingOptions,
): Promise<Work> {
	const vm = await openNamed(name, given);
	try {
		const now = timeStamp();
		const editing = new ExternalEditing(given.dryRun ? () => Promise.resolve() : editExternally);
		const rules = { skip: new Set(given.skip), also: new Set(given.with) };
		const prepared = await prepare(vm, targets, { ...rules, now, editing });
		const paint = painter(wantsColour(process.stdout));
		const print = (document: unknown, text: () => string) =>
			process.stdout.write(given.json ? `${JSON.stringify(document, undefined, 2)}\n` : text());
		return {
			prepared,
			progress: progress(given.progress),
			bytes: prepared.vm.disks.reduce((sum, { size }) => sum + size, 0),
			now,
			tellPlan() {
				const { changes } = prepared;
				print({ source: name, changes }, () => describeChanges(changes, paint));
			},
			tellResult(outputs, blocked) {
				print({ source: name, changes: prepared.changes, outputs, blocked }, () => {
					const changes = `Changed in the copy: ${prepared.changes.map(({ path }) => path).join(", ") || "nothing"}\n`;
					const rows = outputs.map(({ hypervisor, path }) => [{ text: hypervisor ?? "any" }, { text: path }]);
					const refusals = blocked.map(({ title, reasons }) => `Not for ${title}: ${reasons.join(" ")}\n`);
					return `${changes}${refusals.join("")}${table(rows, paint, 200)}`;
				});
			},
			[Symbol.asyncDispose]: () => vm[Symbol.asyncDispose](),
		};
	} catch (error) {
		await vm[Symbol.asyncDispose]();
		throw error;
	}
}

async function editExternally(jobs: readonly FilesystemJob[]): Promise<void> {
	const { editByGuestfish } = await import("../source/guestfish.js");
	if (process.stderr.isTTY) process.stderr.write("Editing with libguestfs: a minute or two where there is no KVM …\n");
	await editByGuestfish(jobs);
}

/** The packages that `--for` of expand names: those of hypervisors, as everywhere, and single ones by their own name. */
export function selectPackages(among: readonly Hypervisor[], names: string): readonly Wanted[] {
	const words = [...new Set(names.split(",").map((word) => word.trim()))];
	const own = words.flatMap((word) => layoutNamed(word) ?? []);
	const rest = words.filter((word) => layoutNamed(word) === undefined).join(",");
	const hypervisors = own.length > 0 && rest === "" ? [] : selectHypervisors(among, rest);
	const known = (ids: readonly string[]) => among.filter(({ id }) => ids.includes(id));
	return [
		...hypervisors.flatMap((hypervisor) =>
			layoutsFor(hypervisor.id).map((layout) => ({ hypervisors: [hypervisor], layout })),
		),
		...own.map((layout) => ({ hypervisors: known(layout.hypervisors), layout })),
	];
}

/** `expand --for list` */
export function listTargets(hypervisors: readonly Hypervisor[], json: true | undefined): void {
	const suited = hypervisors.flatMap((hypervisor) =>
		layoutsFor(hypervisor.id).map(({ id, summary, folder }) => ({
			hypervisor: hypervisor.id,
			layout: id,
			folder,
			summary,
		})),
	);
	const own = layouts.filter(({ onRequest }) => onRequest);
	const all = [...suited, ...own.map(({ id, summary }) => ({ hypervisor: id, layout: id, folder: id, summary }))];
	const rows = all.map((row) => [{ text: row.hypervisor }, { text: row.folder }, { text: row.summary }]);
	const head = ["--for", "folder", "what it holds"].map((text) => ({ text, style: "bold" as const }));
	const paint = painter(wantsColour(process.stdout));
	process.stdout.write(json ? `${JSON.stringify(all, undefined, 2)}\n` : table([head, ...rows], paint, 140));
}
