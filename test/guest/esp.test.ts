import { existsSync, readFileSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { GuestTree } from "../../src/filesystem/tree.js";
import { findEsp } from "../../src/guest/linux/firmware.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { type Contents, memoryFilesystem } from "./support/memory.js";
import { systemdBoot, systemdBootReason } from "./support/uki.js";

const shimFile = "/usr/lib/shim/shimx64.efi";
const shim = existsSync(shimFile) ? new Uint8Array(readFileSync(shimFile)) : undefined;
const shimReason = shim === undefined ? "(skipped: shim-unsigned not installed; see scripts/system-packages.sh)" : "";

const espOf = (files: Readonly<Record<string, Contents>>) =>
	findEsp(
		new GuestTree([
			{ mount: "/", filesystem: memoryFilesystem({ "/boot/efi/": "" }) },
			{ mount: "/boot/efi", filesystem: memoryFilesystem(files, { kind: "fat32" }) },
		]),
		"x86_64",
	);

describe("the ESP", () => {
	it.skipIf(shim === undefined)(`has no fallback where shim is there alone ${shimReason}`, async () => {
		const fallback = async (...beside: string[]) => {
			const others = Object.fromEntries(beside.map((name) => [`/EFI/BOOT/${name}`, "MZ"]));
			return (await espOf({ "/EFI/BOOT/BOOTX64.EFI": shim ?? "", ...others }))?.fallback;
		};
		expect(await fallback()).toBe(false);
		expect(await fallback("mmx64.efi")).toBe(false);
		expect(await fallback("grubx64.efi")).toBe(true);
		expect(await fallback("fbx64.efi")).toBe(true);
	});

	it.skipIf(systemdBoot === undefined || missing("sbsign", "openssl"))(
		`tells what is signed ${systemdBootReason}${because("sbsign", "openssl")}`,
		async () => {
			const folder = await temporaryFolder();
			const at = (name: string) => path.join(folder, name);
			const subject = ["-subj", "/CN=test", "-days", "2"];
			const key = ["-keyout", at("key"), "-out", at("crt")];
			await run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", ...subject, ...key);
			await writeFile(at("plain"), systemdBoot ?? "");
			await run("sbsign", "--key", at("key"), "--cert", at("crt"), "--output", at("signed"), at("plain"));
			const esp = await espOf({
				"/EFI/a/plain.efi": systemdBoot ?? "",
				"/EFI/a/signed.efi": new Uint8Array(await readFile(at("signed"))),
				"/EFI/a/none.efi": "no program",
			});
			expect(esp?.signed).toEqual(["/boot/efi/EFI/a/signed.efi"]);
		},
	);
});
