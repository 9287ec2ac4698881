import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { ovf } from "../../src/machine/ovf/ovf.js";
import { sample } from "../machine/samples.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { anyvisor } from "./support.js";

const tools = ["openssl", "tar", "sha512sum"];

describe.skipIf(missing(...tools))(`a package with a manifest ${because(...tools)}`, () => {
	let folder = "";
	const at = (name: string) => path.join(folder, name);
	const convert = (...options: string[]) => anyvisor(["convert", at("web.ova"), at("out.raw"), "--force", ...options]);

	/** Packs what is there, with a manifest by coreutils of the files that are listed, signed by OpenSSL. */
	async function pack(...listed: string[]): Promise<void> {
		const sums = await run("sh", "-c", 'cd "$0" && sha512sum "$@"', folder, ...listed);
		await writeFile(at("web.mf"), sums.replaceAll(/^(\w+) {2}(.*)$/gm, "SHA512($2)= $1"));
		await run("openssl", "dgst", "-sha256", "-sign", at("key.pem"), "-out", at("signature"), at("web.mf"));
		const hex = (await readFile(at("signature"))).toString("hex");
		await writeFile(at("web.cert"), `SHA256(web.mf)= ${hex}\n${await readFile(at("key.crt"), "utf8")}`);
	}
	const archive = (...names: string[]) => run("tar", "-C", folder, "-cf", at("web.ova"), ...names);

	beforeAll(async () => {
		folder = await temporaryFolder();
		const disks = [{ id: "disk1", kind: "disk" as const, file: "web.raw", capacity: 1 << 20 }];
		await writeFile(at("web.ovf"), ovf.write?.({ ...sample, controllers: [], disks }) ?? "");
		await writeFile(at("web.raw"), new Uint8Array(1 << 20).fill(7));
		const request = ["req", "-x509", "-nodes", "-days", "30", "-subj", "/CN=Packager", "-newkey", "rsa:2048"];
		await run("openssl", ...request, "-keyout", at("key.pem"), "-out", at("key.crt"));
	});

	it("is verified before all of it is read, and says who signed it", async () => {
		await pack("web.ovf", "web.raw");
		await archive("web.cert", "web.raw", "web.mf", "web.ovf");
		const { code, stderr } = await convert();
		expect(stderr).toContain(
			"web.mf is signed by CN=Packager, certified by its own key; whether to trust that is up to",
		);
		expect(code).toBe(0);
		expect(await readFile(at("out.raw"))).toEqual(await readFile(at("web.raw")));
	});

	it("is damaged where a member is another, unless it is taken as it is, which is said", async () => {
		await writeFile(at("web.raw"), new Uint8Array(1 << 20).fill(8));
		await archive("web.ovf", "web.mf", "web.raw");
		const refused = await convert();
		expect(refused).toMatchObject({ code: 3, stdout: "" });
		expect(refused.stderr).toContain("web.raw does not have the digest that web.mf lists");
		const taken = await convert("--no-verify");
		expect(taken.code).toBe(0);
		expect(taken.stderr).toContain("WARNING:");
		expect(await readFile(at("out.raw"))).toEqual(await readFile(at("web.raw")));
		// What does not read all of it checks when it is asked to.
		expect(await anyvisor(["machine", "show", at("web.ova")])).toMatchObject({ code: 0, stderr: "" });
		expect(await anyvisor(["machine", "show", "--verify", at("web.ova")])).toMatchObject({ code: 3, stdout: "" });
	});

	it("is damaged where a signed manifest leaves a disk out, or is gone", async () => {
		await pack("web.ovf");
		await archive("web.ovf", "web.mf", "web.cert", "web.raw");
		expect((await convert()).stderr).toContain("web.mf is signed, and does not list web.raw");
		await archive("web.ovf", "web.cert", "web.raw");
		expect(await convert()).toMatchObject({ code: 3, stdout: "" });
		await archive("web.ovf", "web.raw");
		expect(await convert()).toMatchObject({ code: 0 });
		expect(await convert("--verify")).toMatchObject({ code: 6 });
	});
});
