import { Command, InvalidArgumentError } from "commander";
import type { LintDocument } from "../lint/schema.js";
import { type OpeningOptions, openingOptions, options, withOptions } from "./options.js";
import type { ProgressMode } from "./progress.js";
import { stdout } from "./standard-streams.js";

interface LintOptions extends OpeningOptions {
	readonly for?: string;
	readonly hardwareVersion?: number;
	readonly verify: boolean;
	readonly fix?: true;
	readonly output?: string;
	readonly force?: true;
	readonly json?: true;
	readonly progress: ProgressMode;
}

export function lintCommand(): Command {
	const command = new Command("lint")
		.summary("tell what importers would refuse in a package, and correct a copy of it")
		.description(
			`Asks the importers of VMware, VirtualBox, Proxmox VE, Xen Orchestra, XenCenter, XenServer, AWS, Azure, Google Cloud,
oVirt and virt-v2v, each by its own rules, what they would do with a package: refuse it, lose a part of it, complain, or
accept it. Each finding has its reason, where that can be read, and the fix; docs/lint.md has all of them.

It ends with 1 if one that was asked would refuse. --fix writes a corrected copy, and what is then said of it counts.`,
		)
		.argument("<package>", "OVA, OVF, XVA, disk image, a folder with one of these, or another descriptor")
		.option("--for <importers>", "ask only these, separated by commas; those that import such packages by default")
		.option("--hardware-version <number>", "the newest that the VMware host has: 11 for vmx-11", hardwareVersion)
		.option("--no-verify", "do not read the files to compare them with the manifest")
		.option("--fix", "write a corrected copy; the package itself is never changed")
		.option("-o, --output <path>", "the copy: a file; of an OVF a folder, or an .ova");
	return withOptions(command, options.force(), options.json(), options.progress(), ...openingOptions()).action(run);
}

function hardwareVersion(text: string): number {
	const digits = /^(?:vmx-)?(\d{1,3})$/.exec(text)?.[1];
	if (digits === undefined) throw new InvalidArgumentError("It is a number such as 11, or vmx-11.");
	return Number(digits);
}

async function run(name: string, given: LintOptions): Promise<void> {
	const [{ AnyvisorError }, { fixNamed, lintNamed }, { importersNamed }, { timeStamp }, { progress }, text, codes] =
		await Promise.all([
			import("../bytes/errors.js"),
			import("../linting.js"),
			import("../lint/registry.js"),
			import("./context.js"),
			import("./progress.js"),
			import("./lint-text.js"),
			import("./exit-codes.js"),
		]);
	const { output } = given;
	if ((given.fix === undefined) !== (output === undefined)) {
		throw new AnyvisorError("usage", "--fix and -o belong together", { hint: "Add --fix -o <copy>." });
	}
	const asked = {
		importers: given.for === undefined ? undefined : importersNamed(given.for),
		hardwareVersion: given.hardwareVersion,
		verify: given.verify,
		allowExternal: given.allowExternal,
		spoolLimit: given.spoolLimit,
	};
	await using linted = await lintNamed(name, asked);
	const { subject } = linted;
	let { verdicts } = linted;
	let fixed: LintDocument["fixed"];
	if (output !== undefined) {
		const { removeOutputsWhenInterrupted } = await import("./interrupt.js");
		removeOutputsWhenInterrupted();
		const { refuseFolderOfInput, refuseInput } = await import("./inputs.js");
		await refuseInput(output, [name]);
		await refuseFolderOfInput(output, [name]);
		const shown = progress(given.progress);
		const bytes = linted.parts?.files.reduce((sum, { source: { size } }) => sum + size, 0) ?? 0;
		shown.start(`writing ${output}`, bytes);
		await fixNamed(linted, output, {
			...asked,
			overwrite: given.force === true,
			now: timeStamp(),
			onProgress: (done) => shown.advance(done),
		});
		shown.finish();
		await using copy = await lintNamed(output, asked);
		({ verdicts } = copy);
		fixed = { output, verdicts: text.plain(verdicts) };
	}
	const document: LintDocument = {
		name: subject.name,
		kind: subject.kind,
		unread: subject.disks.flatMap(({ name: disk, problem }) =>
			problem === undefined ? [] : [{ name: disk, problem }],
		),
		verdicts: text.plain(linted.verdicts),
		...(fixed && { fixed }),
	};
	stdout.write(given.json ? `${JSON.stringify(document, undefined, 2)}\n` : text.lintText(document));
	if (verdicts.some(({ verdict }) => verdict === "refuses")) process.exitCode = codes.exitCodes["would-refuse"];
}
