import type { Reporter, TestModule } from "vitest/node";

/** Ends the summary with the name of every test that was skipped: a skip says its reason in its title. */
export default class Skips implements Reporter {
	onTestRunEnd(modules: readonly TestModule[]): void {
		const skipped = modules.flatMap((module) => [...module.children.allTests("skipped")].map((test) => test.fullName));
		if (skipped.length === 0) return;
		const shown = new Set(skipped.map((name) => (name.includes("(skipped:") ? reasonOf(name) : name)));
		process.stdout.write(`\nSkipped ${skipped.length}:\n${[...shown].map((line) => `  ${line}\n`).join("")}`);
	}
}

/** Tests of one suite share its reason: the suite is named once. */
const reasonOf = (name: string) => name.slice(0, name.indexOf(")", name.indexOf("(skipped:")) + 1);
