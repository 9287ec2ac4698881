// How long `anyvisor inspect` takes on the 1 GiB test guests, as a whole process and inside it, and how much it reads.
// Where libguestfs' virt-inspector is installed it runs on the same image in turn, and the ratio is printed.
import { execFileSync, spawnSync } from "node:child_process";
import { hypervisors } from "../dist/hypervisor/index.js";
import { openVm } from "../dist/open.js";
import { inspect } from "../dist/pipeline.js";
import { openFile } from "../dist/source/index.js";
import { command } from "../scripts/command.mjs";

const runs = 7;
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const peer = spawnSync("virt-inspector", ["--version"]).status === 0;

function timed(command, args, env = {}) {
	const began = performance.now();
	const { status, stderr } = spawnSync(command, args, { env: { ...process.env, ...env }, maxBuffer: 64 << 20 });
	if (status !== 0) throw new Error(`${command}: ${stderr}`);
	return performance.now() - began;
}

for (const generator of ["initramfs-tools", "dracut"]) {
	const image = execFileSync("node", ["scripts/guest/build.mjs", "--generator", generator], {
		encoding: "utf8",
	}).trim();
	const whole = [];
	const inside = [];
	const other = [];
	let read = 0;
	for (let i = 0; i < runs; i++) {
		whole.push(timed("node", [command, "inspect", "--json", image]));
		if (peer) {
			const direct = { LIBGUESTFS_BACKEND: "direct", LIBGUESTFS_BACKEND_SETTINGS: "force_tcg" };
			other.push(timed("virt-inspector", ["-a", image], direct));
		}
		const file = await openFile(image);
		read = 0;
		const counting = {
			name: file.name,
			size: file.size,
			read(at, into) {
				read += into.length;
				return file.read(at, into);
			},
		};
		const began = performance.now();
		await inspect(await openVm({ source: counting, neighbour: () => Promise.reject(new Error("none")) }), hypervisors);
		inside.push(performance.now() - began);
		await file[Symbol.asyncDispose]();
	}
	const ratio = peer
		? `, virt-inspector ${Math.round(median(other))} ms, ratio ${(median(other) / median(whole)).toFixed(1)}`
		: "";
	console.log(
		`${generator}: whole process ${Math.round(median(whole))} ms, inside ${Math.round(median(inside))} ms (medians of ${runs}), ${(read / 2 ** 20).toFixed(1)} MiB read of 1024${ratio}`,
	);
}
