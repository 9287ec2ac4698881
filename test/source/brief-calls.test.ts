import { describe, expect, test } from "vitest";
import { BriefCalls } from "../../src/source/brief-calls.js";

const MIB = 1 << 20;

/** Keeps this thread busy, as a call that waits for a disk does. */
function block(ms: number): void {
	for (const end = performance.now() + ms; performance.now() < end; );
}

/** Where each of `count` calls of 1 MiB was made, when those that `slow` names take 40 ms on this thread. */
async function places(calls: BriefCalls, count: number, slow: (call: number) => boolean): Promise<string> {
	let made = "";
	for (let i = 0; i < count; i++) {
		made += await calls.make(
			MIB,
			() => {
				if (slow(i)) block(40);
				return "h";
			},
			async () => "e",
		);
	}
	return made;
}

/** With its first calls behind it, which may be slow. */
async function seasoned(): Promise<BriefCalls> {
	const calls = new BriefCalls({ call: 20, mebibyte: 0 });
	expect(await places(calls, 8, () => true)).toBe("h".repeat(8));
	return calls;
}

describe("BriefCalls", () => {
	test("stays on this thread while calls are brief", async () => {
		expect(await places(new BriefCalls({ call: 20, mebibyte: 0 }), 40, () => false)).toBe("h".repeat(40));
	});

	test("leaves it for 16 MiB after a call that had to wait, then for twice as many each time", async () => {
		const made = await places(await seasoned(), 70, () => true);
		expect(made).toBe(`h${"e".repeat(16)}h${"e".repeat(32)}h${"e".repeat(19)}`);
	});

	test("forgets it after a brief one", async () => {
		const made = await places(await seasoned(), 36, (call) => call === 0 || call === 18);
		expect(made).toBe(`h${"e".repeat(16)}hh${"e".repeat(16)}h`);
	});

	test("lets others have the thread meanwhile", async () => {
		let turns = 0;
		const timer = setInterval(() => turns++, 1);
		const calls = new BriefCalls({ call: 1000, mebibyte: 0 });
		for (let i = 0; i < 20; i++)
			await calls.make(
				1,
				() => block(10),
				async () => {},
			);
		clearInterval(timer);
		expect(turns).toBeGreaterThanOrEqual(5);
	});

	test("passes failures on", async () => {
		const calls = new BriefCalls({ call: 20, mebibyte: 0 });
		const failing = () => {
			throw new Error("EIO");
		};
		await expect(calls.make(1, failing, async () => {})).rejects.toThrow("EIO");
	});
});
