#!/usr/bin/env node
// Boots images under device models, two at a time, and prints a line for each.
//
//   node scripts/boot.mjs FORMAT:FILE=MODEL...     a disk, or an OVA or tar that holds one
//
// FORMAT is QEMU's name (raw, qcow2, vmdk, vpc, vhdx); the models are those of src/certify/models.ts. Exits with 1 when one
// of them does not come up. The guest has to print the line of scripts/guest/init.
import { boot, bootModel, bootModels } from "../dist/certify/index.js";
import { isTar, openFile, readTar } from "../dist/source/index.js";

const jobs = process.argv.slice(2).map((argument) => {
	const [, format, file, id] = /^(\w+):(.+)=([\w-]+)$/.exec(argument) ?? [];
	const model = bootModel(id ?? "");
	if (!model) {
		console.error(`Not FORMAT:FILE=MODEL: ${argument}. Models: ${bootModels.map((known) => known.id).join(", ")}`);
		process.exit(2);
	}
	return { format, file, model };
});

let failures = 0;
async function worker() {
	for (let job = jobs.shift(); job; job = jobs.shift()) {
		const { format, file, model } = job;
		const image = { format, file, ...(await memberRange(file)) };
		const { result, seconds, evidence } = await boot(image, model, { marker: /GUEST-UP [^\r\n]*uptime=[\d.]+/ });
		if (result !== "up") failures++;
		const facts = result === "up" ? evidence.replace(/^GUEST-UP |kernel=.*$/g, "") : evidence;
		console.log(
			`${result === "up" ? "✔ up  " : "✘ fails"}  ${model.title}  (${Math.round(seconds)} s)\n         ${facts}`,
		);
	}
}

async function memberRange(file) {
	const source = await openFile(file);
	try {
		const head = new Uint8Array(512);
		await source.read(0, head);
		if (!isTar(head)) return {};
		const disk = (await readTar(source)).find(({ name }) => name.endsWith(".vmdk"));
		return { range: { at: disk.at, size: disk.size } };
	} finally {
		await source[Symbol.asyncDispose]();
	}
}

await Promise.all([worker(), worker()]);
process.exitCode = failures === 0 ? 0 : 1;
