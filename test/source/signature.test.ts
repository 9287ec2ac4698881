import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { verifySignature } from "../../src/source/signature.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";

const MANIFEST = "SHA256(web.ovf)= 0123\n";

describe.skipIf(missing("openssl"))(`a signature by OpenSSL ${because("openssl")}`, () => {
	let folder = "";
	const at = (name: string) => path.join(folder, name);
	const encode = (text: string) => new TextEncoder().encode(text);
	const manifest = (text = MANIFEST) => ({ name: "web.mf", bytes: encode(text) });

	/** As signing tools write it: the signature in hexadecimal, and the certificate. */
	async function signed(key: string, algorithm: string, hash: string): Promise<string> {
		await run("openssl", "dgst", `-${hash}`, "-sign", at(`${key}.pem`), "-out", at("signature"), at("web.mf"));
		const hex = (await readFile(at("signature"))).toString("hex");
		return `${algorithm}(web.mf)= ${hex}\n${await readFile(at(`${key}.crt`), "utf8")}`;
	}
	const check = (cert: string, text?: string, now?: Date) =>
		verifySignature(manifest(text), { name: "web.cert", bytes: encode(cert) }, now);

	beforeAll(async () => {
		folder = await temporaryFolder();
		await writeFile(at("web.mf"), MANIFEST);
		const request = ["req", "-x509", "-nodes", "-days", "30", "-subj", "/O=Example/CN=Packager"];
		await run("openssl", ...request, "-newkey", "rsa:2048", "-keyout", at("rsa.pem"), "-out", at("rsa.crt"));
		const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
		await run("openssl", ...request, ...curve, "-keyout", at("ec.pem"), "-out", at("ec.crt"));
	});

	test.each([
		["rsa", "SHA1", "sha1"],
		["rsa", "SHA256", "sha256"],
		["rsa", "SHA2-512", "sha512"],
		["ec", "SHA256", "sha256"],
	])("with a key of %s over %s is verified, and no other manifest is", async (key, algorithm, hash) => {
		const cert = await signed(key, algorithm, hash);
		const signer = check(cert.replaceAll("\n", "\r\n"));
		expect(signer).toMatchObject({ subject: "O=Example, CN=Packager", selfSigned: true, expired: false });
		expect(check(cert, MANIFEST, new Date(Date.now() + 31 * 86_400_000)).expired).toBe(true);
		for (const other of ["", MANIFEST.slice(1), MANIFEST.replace("0123", "0124")]) {
			expect(() => check(cert, other)).toThrow(/web\.mf is not what web\.cert signs/);
		}
	});

	test("of another kind is a typed error", async () => {
		const cert = await signed("rsa", "SHA256", "sha256");
		const otherKey = cert.split("\n")[0] + "\n" + (await readFile(at("ec.crt"), "utf8"));
		expect(() => check(otherKey)).toThrow(expect.objectContaining({ kind: "damaged" }));
		expect(() => check(cert.replace("SHA256", "SHA1"))).toThrow(expect.objectContaining({ kind: "damaged" }));
		expect(() => check(cert.replace("SHA256", "MD5"))).toThrow(expect.objectContaining({ kind: "unsupported" }));
		expect(() => check(cert.replace(/-----BEGIN[^]*/, ""))).toThrow(/no certificate in it/);
		expect(() => check(cert.replace(/^.*\n/, ""))).toThrow(/no signature in it/);
		expect(() => check(cert.replace(/\nMII.{20}/, "\nMIIxxxxxxxxxxxxxxxxxxxx"))).toThrow(
			/certificate that cannot be read/,
		);
		expect(() => check("-----BEGIN CMS-----\n")).toThrow(expect.objectContaining({ kind: "unsupported" }));
	});
});
