import { describe, expect, test } from "vitest";
import { readMachine } from "../../src/machine/registry.js";
import { boxDescriptor, readBox } from "../../src/machine/vagrant.js";
import { encode, outcome } from "./samples.js";

const read = (text: string) => readMachine({ name: "x", bytes: encode(text) });

/** Every object has these: tables of words must not. */
describe.each(["constructor", "toString", "__proto__", "hasOwnProperty"])("the word %s", (word) => {
	test.each([
		[
			"vbox",
			`<VirtualBox><Machine name="x"><Hardware><Memory RAMSize="64"/><TrustedPlatformModule type="WORD"/><Network>
			<Adapter slot="0" enabled="true" type="WORD"/></Network></Hardware><StorageControllers>
			<StorageController name="c" type="WORD"><AttachedDevice type="WORD" port="0" device="0"/></StorageController>
			</StorageControllers></Machine></VirtualBox>`,
		],
		[
			"vmx",
			'config.version = "8"\nmemsize = "64"\nscsi0.present = "TRUE"\nscsi0.virtualDev = "WORD"\nscsi0:0.present = "TRUE"\nscsi0:0.fileName = "a.vmdk"\nethernet0.present = "TRUE"\nethernet0.virtualDev = "WORD"\nWORD0.present = "TRUE"\n',
		],
		[
			"libvirt",
			`<domain><name>x</name><memory>65536</memory><devices><controller type="scsi" index="0" model="WORD"/>
			<disk device="WORD"><source file="/a"/><target dev="sda" bus="WORD"/></disk>
			<interface><model type="WORD"/></interface></devices></domain>`,
		],
		["proxmox", "scsihw: WORD\nscsi0: local:100/a.raw\nnet0: WORD=00:16:3e:00:00:01\n"],
		["xl", "name = 'x'\nmemory = 64\ndisk = [ '/a,raw,xvda' ]\nvif = [ 'model=WORD' ]\nWORD = 'x'\n"],
	])("in %s is one like any other that nobody knows", async (id, text) => {
		const [odd, plain] = await Promise.all([word, "nosuchword"].map((each) => read(text.replaceAll("WORD", each))));
		expect(odd?.origin).toBe(id);
		const told = (machine: typeof odd) =>
			JSON.stringify(machine).replaceAll(word.toLowerCase(), "nosuchword").replaceAll(word, "nosuchword");
		expect(told(odd)).toBe(told(plain));
	});

	test("as a Vagrant provider is one that is not read", async () => {
		const box = readBox({ name: "metadata.json", bytes: encode(JSON.stringify({ provider: word })) });
		expect(box?.provider).toBe(word);
		expect(await outcome(Promise.resolve().then(() => box && boxDescriptor(box, [], "x.box")))).toBe("unsupported");
	});
});

describe("what could be looked through again and again", () => {
	const timeOf = async (reading: Promise<unknown>) => {
		const began = performance.now();
		await outcome(reading);
		return performance.now() - began;
	};

	test("is read in one go: empty lines of a .vmx, spaces of a .conf", async () => {
		expect(await timeOf(read(`config.version = "8"\n${"\n".repeat(4 << 20)}`))).toBeLessThan(2000);
		expect(await timeOf(read(`scsihw: pvscsi\nname: x${" ".repeat(4 << 20)}y\n`))).toBeLessThan(2000);
	});
});
