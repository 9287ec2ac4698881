import { writeFile } from "node:fs/promises";
import path from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { AnyvisorError } from "../../src/bytes/errors.js";
import { readBytes } from "../../src/bytes/source.js";
import { BinaryHeader, Phdr } from "../../src/volume/luks/layout.js";
import { because, missing, run, temporaryFolder, trials } from "../support/tools.js";
import { emptyImage } from "./images.js";
import { bytesIn, cheap, encrypted, open, pbkdf2, secret, secretFile, withMetadata } from "./luks.js";

const mebibyte = 1 << 20;

describe.skipIf(missing("cryptsetup"))(`LUKS volumes ${because("cryptsetup")}`, async () => {
	const folder = await temporaryFolder();
	const at = (name: string) => path.join(folder, name);
	const plain = Uint8Array.from({ length: 3 * mebibyte }, (_, i) => (i % 251) ^ (i >> 12));
	beforeAll(() => writeFile(at("plain"), plain));

	it.each([
		["argon2id", ["--pbkdf", "argon2id", ...cheap]],
		["argon2i, large sectors, AES-128", ["--pbkdf", "argon2i", ...cheap, "--sector-size", "4096", "--key-size", "256"]],
		["ESSIV", [...pbkdf2, "--cipher", "aes-cbc-essiv:sha256", "--key-size", "128", "--hash", "sha512"]],
		["CBC, AES-192", [...pbkdf2, "--cipher", "aes-cbc-plain64", "--key-size", "192", "--sector-size", "1024"]],
	])("of version 2 are what cryptsetup encrypted: %s", async (name, options) => {
		const image = await bytesIn(await encrypted(at("plain"), at(name), ...options));
		const [volume, ...others] = await open(image, new TextEncoder().encode("wrong"), secret);
		expect(others).toEqual([]);
		const uuid = (await run("cryptsetup", "luksUUID", at(name))).trim();
		expect(volume).toMatchObject({
			scheme: "luks",
			assembled: { devices: [`/dev/mapper/luks-${uuid}`, expect.anything()] },
		});
		if (volume === undefined) return;
		expect(Buffer.compare(await readBytes(volume.source, 0, plain.length), plain)).toBe(0);
		// No part depends on where a read begins or ends.
		await fc.assert(
			fc.asyncProperty(fc.nat(plain.length), fc.nat(9000), async (from, length) => {
				const to = Math.min(from + length, plain.length);
				expect(Buffer.compare(await readBytes(volume.source, from, to - from), plain.subarray(from, to))).toBe(0);
			}),
			{ numRuns: trials(30) },
		);
	});

	it.skipIf(missing("qemu-img")).each([
		["aes-xts-plain64", "256", "sha256"],
		["aes-xts-plain", "512", "sha1"],
		["aes-cbc-essiv:sha256", "256", "sha512"],
	])(`of version 1 are what qemu-img encrypted: %s, %s bits, %s ${because("qemu-img")}`, async (cipher, bits, hash) => {
		const to = await emptyImage(at(cipher), plain.length + 4 * mebibyte);
		const options = ["--cipher", cipher, "--key-size", bits, "--hash", hash, ...pbkdf2];
		await run("cryptsetup", "luksFormat", "-q", "--type", "luks1", ...options, to, await secretFile(folder));
		const key = `secret,id=s,file=${await secretFile(folder)}`;
		const target = `driver=luks,key-secret=s,file.filename=${to}`;
		await run("qemu-img", "convert", "-n", "--object", key, "-f", "raw", "--target-image-opts", at("plain"), target);
		const [volume] = await open(await bytesIn(to), secret);
		expect(volume && Buffer.compare(await readBytes(volume.source, 0, plain.length), plain)).toBe(0);
	});

	describe("with a header as cryptsetup makes them", () => {
		const small = ["--luks2-metadata-size", "16k", "--luks2-keyslots-size", "1m"];
		const headers = new Map<string, Uint8Array>();
		const header = (name: string) => headers.get(name)?.slice() ?? new Uint8Array();
		const binary = Uint8Array.of(0, 10, 13, 255, 10);

		beforeAll(async () => {
			const key = await secretFile(folder);
			await writeFile(at("binary"), binary);
			for (const type of ["luks1", "luks2"]) {
				const image = await emptyImage(at(type), 4 * mebibyte);
				const options = [...pbkdf2, ...(type === "luks2" ? small : [])];
				await run("cryptsetup", "luksFormat", "-q", "--type", type, ...options, image, key);
				await run("cryptsetup", "luksAddKey", "-q", ...pbkdf2, "--key-file", key, image, at("binary"));
				headers.set(type, await bytesIn(image));
			}
		});

		it.each(["luks1", "luks2"])("%s: any of its keys opens it, and no other", async (type) => {
			expect(await open(header(type))).toEqual([]);
			expect(await open(header(type), binary)).toHaveLength(1);
			expect(await open(header(type), secret)).toHaveLength(1);
			await expect(open(header(type), binary.subarray(1))).rejects.toMatchObject({
				kind: "refused",
				message: expect.stringContaining("does not open it"),
			});
			await run("cryptsetup", "luksKillSlot", "-q", "--key-file", await secretFile(folder), at(type), "1");
			await expect(open(await bytesIn(at(type)), binary)).rejects.toMatchObject({ kind: "refused" });
		});

		it("either copy of a LUKS2 header does, and the newer one counts", async () => {
			const { seqid, hdrSize } = BinaryHeader.parse(header("luks2"));
			for (const place of [0, hdrSize]) {
				const damaged = header("luks2");
				damaged.fill(0xff, place + BinaryHeader.size, place + BinaryHeader.size + 16);
				expect(await open(damaged, secret)).toHaveLength(1);
				damaged.fill(0, place, place + 8);
				expect(await open(damaged, secret)).toHaveLength(1);
			}
			const neither = header("luks2")
				.fill(0xff, 5000, 5016)
				.fill(0xff, hdrSize + 5000, hdrSize + 5016);
			await expect(open(neither, secret)).rejects.toMatchObject({ kind: "damaged" });
			// The second key was added in a later write than the first copy is set back to here.
			expect(seqid).toBeGreaterThan(1);
		});

		it.each([
			["integrity", /"sector_size"/, '"integrity":{"type":"hmac(sha256)"},"sector_size"', "integrity"],
			["serpent", /aes-xts-plain64(?=","sector_size)/, "serpent-xts-plain64", "serpent-xts-plain64"],
			[
				"reencryption",
				/"config":\{/,
				'"config":{"requirements":{"mandatory":["online-reencrypt-v2"]},',
				"being reencrypted",
			],
			["something new", /"config":\{/, '"config":{"requirements":{"mandatory":["no-such"]},', "no-such"],
			["another volume's data", /"offset":"\d+"(?=,"size":"dynamic")/, '"offset":"0"', "another volume"],
			["hardware encryption", /"type":"crypt"/, '"type":"hw-opal-crypt"', "hw-opal-crypt"],
		])("%s is refused by name", async (_, from, to, told) => {
			const image = withMetadata(header("luks2"), (text) => text.replace(from, to));
			await expect(open(image, secret)).rejects.toMatchObject({
				kind: "unsupported",
				message: expect.stringContaining(told),
			});
		});

		it("a reencryption that cryptsetup has begun is refused by name", async () => {
			const image = await emptyImage(at("begun"), 20 * mebibyte);
			const more = [
				"--init-only",
				"--luks2-metadata-size",
				"16k",
				"--luks2-keyslots-size",
				"1m",
				"--reduce-device-size",
				"8M",
			];
			const options = ["--encrypt", "--type", "luks2", ...pbkdf2, ...more, "--key-file", await secretFile(folder)];
			await run("cryptsetup", "reencrypt", "-q", ...options, image);
			await expect(open(await bytesIn(image), secret)).rejects.toMatchObject({
				kind: "unsupported",
				message: expect.stringContaining("being reencrypted"),
			});
		});

		it.each(["luks1", "luks2"])("%s: a detached header is refused by name", async (type) => {
			const image = await emptyImage(at(`data of ${type}`), mebibyte);
			const options = [
				"-q",
				"--type",
				type,
				...pbkdf2,
				...(type === "luks2" ? small : []),
				"--header",
				at(`header of ${type}`),
			];
			await emptyImage(at(`header of ${type}`), 4 * mebibyte);
			await run("cryptsetup", "luksFormat", ...options, image, await secretFile(folder));
			await expect(open(await bytesIn(at(`header of ${type}`)), secret)).rejects.toMatchObject({
				kind: "unsupported",
				message: expect.stringContaining("another volume"),
			});
		});

		it("costs that no honest header has are refused before they are paid", async () => {
			const kdf = (fields: string) =>
				withMetadata(header("luks2"), (text) =>
					text.replaceAll(/"kdf":\{"type":"pbkdf2","hash":"sha256","iterations":\d+/g, `"kdf":{${fields}`),
				);
			const hostile = [
				kdf('"type":"argon2id","time":1,"memory":4194305,"cpus":1'),
				kdf('"type":"argon2id","time":4294967295,"memory":1048576,"cpus":1'),
				kdf('"type":"pbkdf2","hash":"sha256","iterations":4294967295'),
			];
			const first = header("luks1");
			new DataView(first.buffer).setUint32(Phdr.offsets.keySlots + 4, 2 ** 32 - 1);
			for (const image of [...hostile, first]) {
				const begin = performance.now();
				await expect(open(image, binary.subarray(2))).rejects.toMatchObject({
					kind: "refused",
					message: expect.stringContaining("more work"),
				});
				expect(performance.now() - begin).toBeLessThan(2000);
			}
		});

		it("a volume is read or refused, however its header is changed", async () => {
			const outcomes = { opened: 0, refused: 0 };
			const attempt = async (image: Uint8Array) => {
				const begin = performance.now();
				try {
					const [volume] = await open(image, secret);
					if (volume) await readBytes(volume.source, 0, Math.min(5000, volume.size));
					outcomes.opened++;
				} catch (error) {
					if (!(error instanceof AnyvisorError)) throw error;
					outcomes.refused++;
				}
				expect(performance.now() - begin).toBeLessThan(2000);
			};
			const bytes = fc.array(fc.tuple(fc.nat(Phdr.size - 9), fc.nat(255)), { minLength: 1, maxLength: 4 });
			await fc.assert(
				fc.asyncProperty(bytes, async (changes) => {
					const image = header("luks1");
					for (const [place, byte] of changes) image[8 + place] = byte;
					// How long a key takes is bounded above, by minutes.
					const view = new DataView(image.buffer);
					for (let slot = 0; slot < 8; slot++) view.setUint16(Phdr.offsets.keySlots + 48 * slot + 4, 0);
					view.setUint16(Phdr.offsets.mkDigestIterations, 0);
					await attempt(image);
				}),
				{ numRuns: trials(30) },
			);
			// Values of the metadata, each in turn something else.
			const value = fc.constantFrom(
				"0",
				'"0"',
				'"18446744073709551615"',
				"-1",
				"1e9",
				"null",
				"[]",
				"{}",
				'"x"',
				'"AAAA"',
			);
			await fc.assert(
				fc.asyncProperty(fc.nat(200), value, async (which, to) => {
					let seen = 0;
					await attempt(
						withMetadata(header("luks2"), (text) =>
							text.replaceAll(/(?<=:)("[^"]*"|\d+)/g, (from) => (seen++ === which ? to : from)),
						),
					);
				}),
				{ numRuns: trials(50) },
			);
			await fc.assert(
				fc.asyncProperty(fc.nat(4095), fc.nat(255), async (place, byte) => {
					const image = header("luks2");
					image[place] = byte;
					await attempt(image);
				}),
				{ numRuns: trials(15) },
			);
			expect(outcomes.opened).toBeGreaterThan(5);
			expect(outcomes.refused).toBeGreaterThan(5);
		});
	});
});
