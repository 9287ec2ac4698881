import { AnyvisorError } from "../bytes/errors.js";
import type { Verdict } from "../driver/verdict.js";
import type { Hypervisor } from "../hypervisor/hypervisor.js";
import { groupNames } from "../hypervisor/registry.js";
import type { Machine } from "../machine/machine.js";
import type { Overrides } from "../machine/override.js";
import { type interfacesOn, type Prepared, prepare, type Wanted } from "../packaging.js";
import type { Rule } from "../prepare/change.js";
import { ExternalEditing } from "../prepare/external-editing.js";
import type { FilesystemJob } from "../source/guestfish.js";
import { layoutNamed, layouts, layoutsFor, targetsFor } from "../target/registry.js";
import { describeChanges } from "./changes.js";
import { selectHypervisors, timeStamp } from "./context.js";
import { deviceTable, factLines, remark } from "./machine/text.js";
import { type Progress, type ProgressMode, progress } from "./progress.js";
import { stderr, stdout } from "./standard-streams.js";
import { type Paint, painter, printable, table, wantsColour } from "./terminal.js";
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

/** A package that was written, or that would be. */
interface Output {
	readonly hypervisor?: string;
	readonly layout: string;
	readonly path?: string;
	/** As the package has it. */
	readonly machine?: Machine | undefined;
	/** What becomes there of the guest's interfaces. */
	readonly interfaces?: ReturnType<typeof interfacesOn>;
}

export interface Work extends AsyncDisposable {
	readonly prepared: Prepared;
	/** Paths and URLs of what it is read from. */
	readonly opened: readonly string[];
	readonly progress: Progress;
	/** Virtual size of all disks: what one package passes through. */
	readonly bytes: number;
	/** Time stamp of everything that is written, seconds since 1970. */
	readonly now: number;
	/** For --dry-run: the plan on standard output, and what would be written. */
	tellPlan(outputs?: readonly Output[], blocked?: readonly Verdict[]): void;
	/** What was written where, and what could not be, on standard output. */
	tellResult(outputs: readonly Output[], blocked: readonly Verdict[]): void;
}

/** Opens the VM that the user named, and makes the prepared view of it that pack and expand write out. */
export async function prepareNamed(
	name: string,
	targets: readonly Hypervisor[],
	given: PreparingOptions,
	overrides: Overrides = {},
): Promise<Work> {
	const vm = Object.assign(await openNamed(name, given, given.dryRun !== true), { overrides });
	try {
		const now = timeStamp();
		const editing = new ExternalEditing(given.dryRun ? () => Promise.resolve() : editExternally);
		const rules = { skip: new Set(given.skip), also: new Set(given.with) };
		const prepared = await prepare(vm, targets, { ...rules, now, editing });
		const paint = painter(wantsColour(stdout));
		const print = (document: unknown, text: () => string) =>
			stdout.write(given.json ? `${JSON.stringify(document, undefined, 2)}\n` : text());
		return {
			prepared,
			opened: vm.opened,
			progress: progress(given.progress),
			bytes: prepared.vm.disks.reduce((sum, { size }) => sum + size, 0),
			now,
			tellPlan(outputs = [], blocked = []) {
				const { changes } = prepared;
				print({ source: name, changes, outputs, blocked }, () =>
					[describeChanges(changes, paint), refusals(blocked), ...outputs.map((one) => outputText(one, paint))].join(
						"",
					),
				);
			},
			tellResult(outputs, blocked) {
				print({ source: name, changes: prepared.changes, outputs, blocked }, () => {
					const changes = `Changed in the copy: ${prepared.changes.map(({ path }) => printable(path)).join(", ") || "nothing"}\n`;
					return [changes, refusals(blocked), ...outputs.map((one) => outputText(one, paint))].join("");
				});
			},
			[Symbol.asyncDispose]: () => vm[Symbol.asyncDispose](),
		};
	} catch (error) {
		await vm[Symbol.asyncDispose]();
		throw error;
	}
}

const refusals = (blocked: readonly Verdict[]) =>
	blocked.map(({ title, reasons }) => `Not for ${title}: ${printable(reasons.join(" "))}\n`).join("");

/** A package for a person: where it is, and which machine is in it. */
function outputText({ hypervisor = "any", layout, path, machine, interfaces = [] }: Output, paint: Paint): string {
	const changed = interfaces.filter(({ state }) => state !== "kept");
	const lines = [
		...(machine === undefined ? [] : [...factLines(machine), deviceTable(machine, paint)]),
		...[...(machine?.lost ?? []), ...changed.map(({ text }) => text)].map((sentence) => remark(sentence, paint)),
	];
	return `${paint("bold", hypervisor)}  ${path ?? layout}\n${lines.join("").replaceAll(/^(?=.)/gm, "  ")}`;
}

async function editExternally(jobs: readonly FilesystemJob[]): Promise<void> {
	const { editByGuestfish } = await import("../source/guestfish.js");
	if (stderr.isTTY) stderr.write("Editing with libguestfs: a minute or two where there is no KVM …\n");
	await editByGuestfish(jobs);
}

/** The packages that `--for` of expand names: those of hypervisors, as everywhere, and single ones by their own name. */
export function selectPackages(
	among: readonly Hypervisor[],
	names: string,
	chosen: (found: readonly Hypervisor[]) => readonly Hypervisor[],
): readonly Wanted[] {
	const words = [...new Set(names.split(",").map((word) => word.trim()))];
	const named = words.includes("every") ? layouts.map(({ id }) => id) : words;
	const own = named.flatMap((word) => layoutNamed(word) ?? []);
	const rest = words.filter((word) => layoutNamed(word) === undefined).join(",");
	const hypervisors = own.length > 0 && rest === "" ? [] : chosen(selectHypervisors(among, rest));
	const alone = hypervisors.find(({ id }) => rest.split(",").includes(id) && layoutsFor(id).length === 0);
	if (alone !== undefined) {
		throw new AnyvisorError("usage", `there is no package for ${alone.title}`, {
			hint: `It can be judged, by inspect --for ${alone.id}. anyvisor expand --for list shows what can be written.`,
		});
	}
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
	const all = targetsFor(hypervisors);
	if (json) {
		stdout.write(`${JSON.stringify(all, undefined, 2)}\n`);
		return;
	}
	const paint = painter(wantsColour(stdout));
	const paragraphs = all.map(({ id, title, group, folder, holds, imported, judged }) => {
		const rows = [
			["group", group],
			["folder", folder],
			["holds", holds],
			["imported", imported],
			["judged", judged],
		].map(([name = "", text = ""]) => [{ text: `  ${name}`, style: "dim" as const }, { text }]);
		return `${paint("bold", id)}: ${title}\n${table(rows, paint, 140)}`;
	});
	stdout.write(`${paragraphs.join("\n")}\n--for takes ids, families (hyperv) and groups: ${groupNames.join(", ")}.\n`);
}
