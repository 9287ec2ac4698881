#!/usr/bin/env node
// Builds the guests that test/verdicts.md is about, as root and in the cache: Debian's in its combinations, and replicas
// of other distributions' layouts. Prints a line for each: its name, a tab, the path of its image.
//
//   node scripts/guest/replicas.mjs [name ...]
//
// Without names, Debian's are those that have each pair of generator, root and boot loader; --every makes all.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { parseArgs } from "node:util";
import { workFolder } from "./parts.mjs";
import { guestNames, imageOf, makeGuest, usualNames } from "./replica/guests.mjs";
import { existingInitramfs, generators, initramfs } from "./replica/initramfs.mjs";

const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: { initramfs: { type: "string" }, every: { type: "boolean" } },
});
const unknown = positionals.filter((name) => !guestNames.includes(name));
if (unknown.length > 0) throw new Error(`No such guest: ${unknown.join(", ")}. There are ${guestNames.join(", ")}.`);

const names = positionals.length > 0 ? positionals : values.every ? guestNames : usualNames;

if (values.initramfs !== undefined) {
	initramfs(values.initramfs, workFolder());
	process.exit(0);
}
if (positionals.length > 0) {
	const work = workFolder();
	for (const name of positionals) makeGuest(name, work);
} else {
	// What takes longest by far: generators are thousands of small programs, one after the other.
	await besideEachOther(generators.filter((kind) => !existingInitramfs(kind)).map((kind) => ["--initramfs", kind]));
	const missing = names.filter((name) => !existsSync(imageOf(name)));
	const isDebian = (name) => name.startsWith("debian-");
	const groups = [missing.filter(isDebian), missing.filter((name) => !isDebian(name))];
	await besideEachOther(groups.filter((names) => names.length > 0));
}
for (const name of names) console.log(`${name}\t${imageOf(name)}`);

/** Runs this program with each of these arguments, two at a time. */
async function besideEachOther(jobs) {
	const worker = async () => {
		for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
			const options = { stdio: ["ignore", "ignore", "inherit"] };
			const child = spawn(process.execPath, [import.meta.filename, ...job], options);
			const code = await new Promise((resolve) => child.on("exit", resolve));
			if (code !== 0) process.exit(1);
		}
	};
	await Promise.all([worker(), worker()]);
}
