import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { beforeAll, describe, expect, it } from "vitest";
import type { LintDocument } from "../../src/lint/schema.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { anyvisor } from "./support.js";

describe.skipIf(missing("qemu-img", "tar"))(`lint ${because("qemu-img", "tar")}`, () => {
	let folder = "";
	const at = (...names: string[]) => path.join(folder, ...names);

	beforeAll(async () => {
		folder = await temporaryFolder();
		const right = await readFile("test/golden/vmware-lsilogic.ovf", "utf8");
		const [, base = ""] = /ovf:href="([^"]*)-disk1\.vmdk"/.exec(right) ?? [];
		await writeFile(at("vm.ovf"), right.replaceAll(/ ovf:size="…"/g, "").replace(/vmx-11/, "virtualbox-2.2"));
		await writeFile(at("raw"), new Uint8Array(1 << 20).fill(5));
		for (const number of [1, 2]) {
			const file = at(`${base}-disk${number}.vmdk`);
			await run("qemu-img", "convert", "-O", "vmdk", "-o", "subformat=streamOptimized", "-f", "raw", at("raw"), file);
		}
		const disks = (await readdir(folder)).filter((name) => name.endsWith(".vmdk"));
		await mkdir(at("vm"));
		await run("tar", "--format=ustar", "-cf", at("vm.ova"), "-C", folder, "vm.ovf", ...disks);
	});

	it("ends with 1 where one that is asked would refuse, and says why, where from, and what to do", async () => {
		const { code, stdout, stderr } = await anyvisor(["lint", at("vm.ova"), "--for", "vmware,virtualbox"]);
		expect({ code, stderr }).toEqual({ code: 1, stderr: "" });
		expect(stdout).toMatch(
			/✘ VMware .* would refuse it\n {2}refuses vmware\/hardware-family: .*"virtualbox-2\.2" \(vm\.ovf:\d+\)/,
		);
		expect(stdout).toContain("https://github.com/owncloud-archive/vm/issues/53");
		expect(stdout).toMatch(/Fix: Write vmx-11 .* Or let --fix do it\./);
		expect(stdout).toContain("✔ VirtualBox (virtualbox) nothing to say");
		expect(await anyvisor(["lint", at("vm.ova"), "--for", "virtualbox"])).toMatchObject({ code: 0 });
	});

	it("--fix writes a copy, once, of which it then speaks", async () => {
		const args = ["lint", at("vm.ova"), "--for", "vmware", "--fix", "-o", at("copy.ova")];
		const first = await anyvisor(args);
		expect(first).toMatchObject({ code: 0 });
		expect(first.stdout).toMatch(/copy\.ova \(corrected copy\)\n✔ VMware .* nothing to say\n$/);
		expect(await anyvisor(args)).toMatchObject({ code: 5 });
		expect(await run("tar", "-xOf", at("copy.ova"), "vm.ovf")).toContain(">vmx-11<");
	});

	it("--fix does not vouch for what its manifest contradicts, and never replaces what it reads", async () => {
		const disks = (await readdir(folder)).filter((name) => name.endsWith(".vmdk"));
		const digest = (await run("sha256sum", at("vm.ovf"))).slice(0, 64);
		const manifest = [`SHA256(vm.ovf)= ${digest}`, ...disks.map((name) => `SHA256(${name})= ${"0".repeat(64)}`)];
		await writeFile(at("vm.mf"), `${manifest.join("\n")}\n`);
		await run("tar", "--format=ustar", "-cf", at("rotten.ova"), "-C", folder, "vm.ovf", "vm.mf", ...disks);
		const fix = (...more: string[]) => anyvisor(["lint", at("rotten.ova"), "--for", "vmware", "--fix", ...more]);
		const refused = await fix("-o", at("fresh.ova"));
		expect(refused).toMatchObject({ code: 3 });
		expect(refused.stderr).toContain("is not what its manifest says");
		expect(await readdir(folder)).not.toContain("fresh.ova");
		expect(await fix("-o", at("fresh.ova"), "--no-verify")).toMatchObject({ code: 0 });
		const before = await readFile(at("rotten.ova"));
		expect(await fix("-o", at("rotten.ova"), "--no-verify", "--force")).toMatchObject({ code: 5 });
		expect(before.equals(await readFile(at("rotten.ova")))).toBe(true);
		await rm(at("vm.mf"));
	});

	it("--fix of an OVF that becomes an OVA repairs what importers of those refuse", async () => {
		const { code, stdout } = await anyvisor(["lint", at("vm.ovf"), "--fix", "-o", at("becomes.ova")]);
		expect(code).toBe(0);
		expect(stdout.split("(corrected copy)")[1]).not.toContain("Or let --fix do it.");
	});

	it("--json is valid against its published schema", async () => {
		const schema: unknown = JSON.parse(await readFile("schemas/lint.schema.json", "utf8"));
		const validate = new Ajv2020({ strict: false }).compile(schema as object);
		const fixed = ["--fix", "-o", at("json.ova")];
		for (const more of [[at("vm.ovf")], [at("vm.ova"), ...fixed]]) {
			const { stdout } = await anyvisor(["lint", "--json", ...more]);
			const document = JSON.parse(stdout) as LintDocument;
			expect([validate(document), validate.errors]).toEqual([true, null]);
			expect(document.verdicts.length).toBeGreaterThan(0);
		}
	});

	it("tells what it cannot do", async () => {
		expect(await anyvisor(["lint", at("vm.ova"), "--fix"])).toMatchObject({ code: 2 });
		expect(await anyvisor(["lint", at("vm.ova"), "--for", "qemu"])).toMatchObject({ code: 2 });
		expect(await anyvisor(["lint", at("raw"), "--for", "aws", "--fix", "-o", at("x")])).toMatchObject({ code: 5 });
	});
});
