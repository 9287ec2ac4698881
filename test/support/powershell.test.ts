import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { parsePowerShell } from "./powershell.js";

const GOLDEN = "test/golden";
const scripts = (await readdir(GOLDEN)).filter((name) => name.endsWith(".ps1"));

test("there are scripts to judge", () => {
	expect(scripts.length).toBeGreaterThanOrEqual(3);
});

test.each(scripts)("%s is PowerShell, and runs what it says and nothing else", async (name) => {
	const script = await readFile(path.join(GOLDEN, name), "utf8");
	const { errors, commands } = parsePowerShell(script);
	expect(errors).toEqual([]);
	expect(commands).toContain("New-VM");
	expect(commands.filter((command) => !/^[A-Z][a-z]+-[A-Za-z]+$/.test(command))).toEqual([]);
});

test.each([
	["a parenthesis that nothing closes", "New-VM -Name (Get-Content x"],
	["a string that nothing ends", "$name = 'x"],
	["a block that nothing closes", "if ($true) { Get-VM"],
	["a hash without a value", "@{ Path = }"],
])("finds %s", (_, script) => {
	expect(parsePowerShell(script).errors).not.toEqual([]);
});

test("reads what is in single quotes as PowerShell does", () => {
	expect(parsePowerShell("$a = 'it''s'; Write-Output '$(Remove-Item x)'")).toEqual({
		errors: [],
		verbatim: ["it's", "$(Remove-Item x)"],
		commands: ["Write-Output"],
	});
});
