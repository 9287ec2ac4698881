import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { because, missing, temporaryFolder } from "../support/tools.js";
import { anyvisor, COMMAND } from "./support.js";

/** A pipe that does not wait, as whoever shares it may make it: its reader comes late, and the pipe holds 4 KiB. */
const SLOW_READER = `
import fcntl, os, subprocess, sys, time
there, here = os.pipe()
fcntl.fcntl(here, 1031, 4096)
os.set_blocking(here, False)
child = subprocess.Popen(sys.argv[1:], stdout=here)
os.close(here)
time.sleep(1)
while piece := os.read(there, 1000):
    sys.stdout.buffer.write(piece)
sys.exit(child.wait())
`;

describe.skipIf(process.platform === "win32")("standard streams", async () => {
	const shell = (script: string) =>
		promisify(execFile)("bash", ["-c", script, process.execPath, COMMAND], { maxBuffer: 1 << 26 });
	const folder = await temporaryFolder();
	const whole = await anyvisor(["models", "export"]);

	it("is the same in a file as in a pipe", async () => {
		expect(whole.stdout.length).toBeGreaterThan(10_000);
		const file = path.join(folder, "models.yaml");
		expect((await shell(`"$0" "$1" models export > "${file}" && cat "${file}"`)).stdout).toBe(whole.stdout);
	});

	it.skipIf(missing("python3"))(
		`goes on in a pipe that does not wait for its reader ${because("python3")}`,
		async () => {
			const command = [process.execPath, COMMAND, "models", "export"];
			const { stdout } = await promisify(execFile)("python3", ["-c", SLOW_READER, ...command], { maxBuffer: 1 << 26 });
			expect(stdout).toBe(whole.stdout);
		},
	);

	it("ends without a word when its reader has gone away", async () => {
		const { stderr } = await shell('{ sleep 1; "$0" "$1" models export; echo "code $?" >&2; } | true');
		expect(stderr).toBe("code 0\n");
	});

	it("say a failure to a file, and go on where nobody listens", async () => {
		const file = path.join(folder, "errors");
		await shell(`"$0" "$1" disk info "${folder}/none" 2> "${file}"; [ $? = 6 ]`);
		expect(await readFile(file, "utf8")).toContain(`${folder}/none`);
		// What it has to say comes last, when that reader is long gone.
		const image = path.join(folder, "image");
		await writeFile(`${image}.raw`, new Uint8Array(1 << 20));
		const { stdout } = await shell(`"$0" "$1" convert "${image}.raw" "${image}.qcow2" 2> >(exec true); echo "code $?"`);
		expect(stdout).toBe("code 0\n");
	});

	const there = existsSync("/dev/full");
	it.skipIf(!there).each(["models export", "--version"])("says when there is no room for %s", async (words) => {
		const { stderr } = await shell(`"$0" "$1" ${words} > /dev/full; echo "code $?" >&2`);
		expect(stderr).toMatch(/no space left[^]*code 8\n$/i);
	});
});
