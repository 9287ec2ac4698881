import { expect, it } from "vitest";
import { damaged } from "../../src/bytes/errors.js";
import { report } from "../../src/cli/failure.js";
import { painter, table } from "../../src/cli/terminal.js";

const EVIL = "a\u001b[31mb\u009b1m\u0007";
const SHOWN = "a\\x1b[31mb\\x9b1m\\x07";

it("what comes out of images cannot speak to the terminal, in tables and in failures", () => {
	expect(table([[{ text: EVIL }, { text: EVIL }]], painter(false), 80)).toBe(`${SHOWN}  ${SHOWN}\n`);
	const written: string[] = [];
	const stream = { isTTY: false, write: (text: string) => written.push(text) > 0 };
	report(damaged(`${EVIL} is wrong`, { file: `${EVIL}.img`, offset: 1, hint: `Look at ${EVIL}\nagain` }), stream);
	expect(written.join("")).toBe(
		`anyvisor: ${SHOWN} is wrong\n  At: file ${SHOWN}.img, byte 1 (0x1)\n  Next: Look at ${SHOWN}\nagain\n`,
	);
});
