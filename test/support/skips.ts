import type { Reporter, TestCase, TestModule } from "vitest/node";

/**
 * Ends the summary with the name of every test that was skipped, or that is expected to fail for a while: its title says
 * the reason.
 */
export default class Skips implements Reporter {
	onTestRunEnd(modules: readonly TestModule[]): void {
		const named = (tests: readonly TestCase[]) => tests.map((test) => test.fullName);
		const skipped = named(modules.flatMap((module) => [...module.children.allTests("skipped")]));
		print("Skipped", skipped, (name) => (name.includes("(skipped:") ? reasonOf(name) : name));
		const passed = named(modules.flatMap((module) => [...module.children.allTests("passed")]));
		const later = passed.filter((name) => name.includes("(expected after: "));
		print("Expected later", later, (name) => name.slice(0, name.lastIndexOf("): ") + 1));
	}
}

function print(what: string, names: readonly string[], short: (name: string) => string): void {
	if (names.length === 0) return;
	const shown = new Set(names.map(short));
	process.stdout.write(`\n${what} ${names.length}:\n${[...shown].map((line) => `  ${line}\n`).join("")}`);
}

/** Tests of one suite share its reason: the suite is named once. */
const reasonOf = (name: string) => name.slice(0, name.indexOf(")", name.indexOf("(skipped:")) + 1);
