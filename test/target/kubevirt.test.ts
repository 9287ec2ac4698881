import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { V1VirtualMachine } from "@kubevirt-ui-ext/kubevirt-api/kubevirt";
import { describe, expect, test } from "vitest";
import type { Machine } from "../../src/machine/machine.js";
import { because, missing, run, temporaryFolder } from "../support/tools.js";
import { machine, rawDisk, written } from "./appliance.js";
import { runScript, valueOf } from "./stand-ins.js";

const root = await temporaryFolder();
const disks = [
	await rawDisk(path.join(root, "a.img"), (5 << 20) + 1536),
	await rawDisk(path.join(root, "b.img"), 3 << 20, 2),
];
const BASE = "Web-server-No1";
const uuid = "7b10d7af-b932-4c66-b2c3-3996152ec465";
const secure: Machine = { ...machine, firmware: "uefi", secureBoot: true, uuid };
const bare: Machine = { ...machine, nics: [] };

/** The documents of a YAML stream, by PyYAML. */
async function yaml(file: string): Promise<readonly unknown[]> {
	const program = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
	return JSON.parse(await run("python3", "-c", program, file)) as unknown[];
}

async function packed(
	target: string,
	given: Machine = machine,
	attach = { disk: "virtio-blk", network: "virtio-net" },
) {
	const layout = target === "harvester" ? "harvester" : "kubevirt";
	const { folder } = await written(root, target, layout, { disks, machine: given, attach });
	const [vm] = (await yaml(path.join(folder, "vm.yaml"))) as V1VirtualMachine[];
	return { folder, vm };
}

/** What TypeScript says of documents as the type that KubeVirt's published OpenAPI makes of them. */
async function complaints(documents: readonly unknown[]): Promise<string> {
	const types = path.resolve("node_modules/@kubevirt-ui-ext/kubevirt-api/dist/kubevirt/index.js");
	const file = path.join(await temporaryFolder(), "check.mts");
	const constants = documents.map(
		(document, i) => `export const vm${i}: V1VirtualMachine = ${JSON.stringify(document)};`,
	);
	await writeFile(file, [`import type { V1VirtualMachine } from ${JSON.stringify(types)};`, ...constants].join("\n"));
	const options = [
		"--ignoreConfig",
		"--noEmit",
		"--strict",
		"--skipLibCheck",
		"--types",
		"",
		"--module",
		"nodenext",
		"--target",
		"esnext",
	];
	return run(process.execPath, path.resolve("node_modules/typescript/bin/tsc"), ...options, file).then(
		() => "",
		(error: unknown) => (error as { stdout: string }).stdout,
	);
}

describe.skipIf(missing("python3"))(`a VirtualMachine ${because("python3")}`, () => {
	test("is one by KubeVirt's OpenAPI", async () => {
		const machines = [
			await packed("kubevirt"),
			await packed("openshift", secure, { disk: "virtio-scsi", network: "e1000e" }),
			await packed("harvester", bare, { disk: "ahci", network: "rtl8139" }),
		].map(({ vm }) => vm);
		expect(await complaints(machines)).toBe("");
		const [good] = machines;
		expect(await complaints([{ ...good, spec: { ...good?.spec, runStrategie: "Halted" } }])).toContain("runStrategie");
	});

	test("has the machine's firmware, disks in order, and the first card's MAC", async () => {
		const { vm } = await packed("kubevirt", secure, { disk: "virtio-scsi", network: "virtio-net" });
		const { domain, volumes, networks } = vm?.spec.template.spec ?? {};
		expect(vm?.metadata).toEqual({ name: "web-server-no1" });
		expect(domain).toMatchObject({
			cpu: { cores: 2 },
			memory: { guest: "2048Mi" },
			features: { smm: { enabled: true } },
			firmware: { uuid, bootloader: { efi: { secureBoot: true } } },
		});
		expect(domain?.devices.disks).toEqual([
			{ name: "disk1", bootOrder: 1, disk: { bus: "scsi" } },
			{ name: "disk2", bootOrder: 2, disk: { bus: "scsi" } },
		]);
		expect(domain?.devices.interfaces).toEqual([
			{ name: "default", model: "virtio", masquerade: {}, macAddress: "00:15:5d:01:02:03" },
		]);
		expect(networks).toEqual([{ name: "default", pod: {} }]);
		expect(volumes).toEqual([
			{ name: "disk1", dataVolume: { name: "web-server-no1-disk1" } },
			{ name: "disk2", dataVolume: { name: "web-server-no1-disk2" } },
		]);
	});

	test("whose other cards are left out says so", async () => {
		const { folder } = await packed("kubevirt");
		expect(await readFile(path.join(folder, "IMPORT.md"), "utf8")).toContain("Add the others (any MAC address)");
	});
});

test("KubeVirt gets DataVolumes, then the machine", async () => {
	const { folder } = await written(root, "kubevirt", "kubevirt", { disks });
	const { calls } = await runScript(path.join(folder, "import.sh"), ["my ns"], { virtctl: ":", kubectl: ":" });
	expect(calls.map((call) => call.slice(0, 4).join(" "))).toEqual([
		"virtctl image-upload dv web-server-no1-disk1",
		"virtctl image-upload dv web-server-no1-disk2",
		"kubectl apply --namespace=my ns --filename=vm.yaml",
	]);
	expect([valueOf(calls[0], "--size"), valueOf(calls[0], "--image-path")]).toEqual(["6Mi", `${BASE}.qcow2`]);
	expect((await readdir(folder)).filter((name) => name.startsWith("Containerfile"))).toHaveLength(2);
	expect(await readFile(path.join(folder, "Containerfile.disk2"), "utf8")).toBe(
		`FROM scratch\nADD --chown=107:107 ${BASE}-disk2.qcow2 /disk/\n`,
	);
});

test.skipIf(missing("python3"))(
	`Harvester gets images, then volumes of their class ${because("python3")}`,
	async () => {
		const { folder } = await written(root, "harvester", "harvester", { disks });
		const kept = path.join(await temporaryFolder(), "applied.yaml");
		const kubectl = `case "$*" in *--filename=-*) cat >>'${kept}'; echo --- >>'${kept}' ;; get*) echo longhorn-x ;; esac`;
		const { calls } = await runScript(path.join(folder, "import.sh"), ["http://x", "ns"], { kubectl });
		expect(calls.map((call) => call[1]).join(" ")).toBe("apply wait get apply apply wait get apply apply");
		const applied = (await yaml(kept)).filter((document) => document !== null);
		expect(applied).toMatchObject([
			{
				kind: "VirtualMachineImage",
				metadata: { name: "web-server-no1-disk1" },
				spec: { sourceType: "download", url: `http://x/${BASE}.qcow2` },
			},
			{
				kind: "PersistentVolumeClaim",
				metadata: { annotations: { "harvesterhci.io/imageId": "ns/web-server-no1-disk1" } },
				spec: { storageClassName: "longhorn-x", resources: { requests: { storage: "1Gi" } } },
			},
			{ kind: "VirtualMachineImage", spec: { url: `http://x/${BASE}-disk2.qcow2` } },
			{ kind: "PersistentVolumeClaim", metadata: { name: "web-server-no1-disk2" } },
		]);
	},
);
