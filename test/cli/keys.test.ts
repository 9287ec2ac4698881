import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { exitCodes } from "../../src/cli/exit-codes.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { emptyImage } from "../volume/images.js";
import { encrypted, pbkdf2, secretFile } from "../volume/luks.js";
import { anyvisor, COMMAND } from "./support.js";

const tools = ["cryptsetup", "mke2fs"];

describe.skipIf(missing(...tools))(`keys of encrypted volumes ${because(...tools)}`, async () => {
	const folder = await temporaryFolder();
	const disk = path.join(folder, "disk.raw");
	let key = "";

	beforeAll(async () => {
		key = await secretFile(folder);
		await mkdir(path.join(folder, "tree"));
		await writeFile(path.join(folder, "tree", "text"), "hello\n");
		const image = await emptyImage(path.join(folder, "fs"), 4 << 20);
		await run("mke2fs", "-q", "-F", "-t", "ext4", "-d", path.join(folder, "tree"), image);
		await encrypted(image, disk, ...pbkdf2);
	});

	it("come from a file, byte for byte", async () => {
		const cat = ["fs", "cat", disk, "/text", "--format", "raw"];
		expect(await anyvisor([...cat, "--key-file", key])).toMatchObject({ code: 0, stdout: "hello\n" });
		await writeFile(path.join(folder, "with newline"), "correct horse\n");
		const wrong = await anyvisor([...cat, "--key-file", path.join(folder, "with newline")]);
		expect(wrong).toMatchObject({ code: exitCodes.refused, stdout: "" });
		expect(wrong.stderr).toContain("the key that was given does not open it");
		// Any of several.
		expect(await anyvisor([...cat, "--key-file", disk.replace(/[^/]*$/, "fs"), "--key-file", key])).toMatchObject({
			code: 0,
		});
	});

	it("come from a descriptor, up to a newline", async () => {
		const script =
			'printf "correct horse\\nmore" | "$0" "$1" volumes --json --format raw --key-fd 3 "$2" 3<&0 0</dev/null';
		const volumes = JSON.parse(await run("sh", "-c", script, process.execPath, COMMAND, disk)) as object[];
		expect(volumes).toMatchObject([{ filesystem: "LUKS2 encryption" }, { scheme: "luks", filesystem: "ext4" }]);
	});

	it.each([
		["--key-fd", "x", "number of an open file descriptor"],
		["--key-fd", "99", "cannot be read"],
		["--key-file", "/no/such/key", "cannot be read"],
		["--key-file", "/dev/null", "is empty"],
	])("%s %s is refused", async (option, value, told) => {
		const { code, stderr } = await anyvisor(["volumes", disk, option, value]);
		expect(code).toBe(exitCodes.usage);
		expect(stderr).toContain(told);
	});

	it("are asked for where there are none", async () => {
		const { code, stderr } = await anyvisor(["inspect", disk, "--format", "raw"]);
		expect(code).toBe(exitCodes.refused);
		expect(stderr).toMatch(/is encrypted .*LUKS2[\s\S]*--key-file <file>/);
		expect((await anyvisor(["inspect", disk])).stderr).toContain("--format raw");
	});
});
